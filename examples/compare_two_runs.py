"""Compare two agents on the same questions, paired, with a bootstrap interval: what `proactive score A B` prints."""

from proactive_env import agents, datasets
from proactive_env.agents.rollout import rollout
from proactive_env.recipes.evaluate.score import compare, score
from proactive_env.rewards import LexicalJudge


def play(spec, episodes):
    """The agent's transcripts, in the data set's order."""
    played = {}

    def keep(transcript):
        played[transcript.episode.question_id] = transcript

    with agents.load(spec) as agent:
        rollout(agent, episodes, environment={}, on_transcript=keep, on_bad_video=print)
    return [played[episode.question_id] for episode in episodes]


episodes = datasets.load("tinyworld", size=8)
runs = {
    spec: score(play(spec, episodes), LexicalJudge(), on_question=lambda: None) for spec in ("random?p=0.3", "late")
}
for spec, scores in runs.items():
    row = scores.as_dict()["subsets"]["TINYWORLD"]
    low, high = row["pauc_ci95"]
    print(f"{spec:13} PAUC {row['pauc']['0.5']:.1f} [{low:.1f}, {high:.1f}], delay {row['mean_delay_s']:.1f} s")

first, second = runs.values()
difference = compare(first.questions, second.questions)["TINYWORLD"]
gain, (low, high) = difference["pauc"]["0.5"].values()
print(f"second minus first over {difference['questions']} questions: PAUC {gain:+.1f} [{low:+.1f}, {high:+.1f}]")
