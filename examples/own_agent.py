"""An agent of one's own: it says what it sees when the picture changes; played on many episodes at once."""

from proactive_env import agents, datasets
from proactive_env.agents import Agent, Conversation
from proactive_env.agents.rollout import rollout
from proactive_env.testing import check_agent
from proactive_env.turn import NO_REPLY, Reply


class Change(Agent):
    """Speaks when the mean of a turn's frames moves by `threshold` grey levels."""

    def __init__(self, threshold=0.5):
        self.threshold = threshold

    def open(self, history=(), episode=None):
        return Watching(self.threshold)  # what belongs to an episode belongs into the conversation


class Watching(Conversation):
    """One episode."""

    def __init__(self, threshold):
        self.threshold, self.before = threshold, None

    async def respond(self, observation):
        level = float(observation["frames"].mean())
        moved = 0.0 if self.before is None else abs(level - self.before)
        self.before = level
        return Reply("Something changes." if moved > self.threshold else NO_REPLY, {"moved": moved})


if __name__ == "__main__":
    agent = agents.load(f"{__file__}:Change?threshold=2")  # the same string works after --agent
    check_agent(agent)
    episodes, played = datasets.load("tinyworld", size=4), []
    rollout(agent, episodes, environment={}, on_transcript=played.append, on_bad_video=print, concurrency=4)
    for transcript in played:
        times = [f"{turn.end:g} s (moved {turn.stats['moved']:.2f})" for turn in transcript.replies]
        print(transcript.episode.question_id, "spoke at", ", ".join(times))
