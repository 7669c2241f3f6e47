"""Play a vision-language checkpoint, here a random one of a million parameters, with silence that costs no tokens."""

from pathlib import Path

from proactive_env import agents, datasets
from proactive_env.agents.rollout import rollout
from proactive_env.recipes.training.tiny import make_tiny

make_tiny(Path("tiny"))  # or a folder of yours, or a name on the Hugging Face Hub
episodes = datasets.load("tinyworld", size=2)
played = []
with agents.load("transformers:tiny?format=open_turn&max_new_tokens=8&threshold=0.95") as agent:
    rollout(agent, episodes, environment={}, on_transcript=played.append, on_bad_video=print, concurrency=2)

for transcript in played:
    stats = [turn.stats for turn in transcript.turns]
    print(transcript.episode.question_id)
    print(f"  spoke at {len(transcript.replies)} of {len(stats)} turns")
    print("  P(speak):", " ".join(f"{turn['p_speak']:.2f}" for turn in stats))
    drawn, read = (int(sum(turn[name] for turn in stats)) for name in ("drawn_tokens", "prompt_tokens"))
    print(f"  {drawn} tokens drawn, {read} read, {sum(turn['seconds'] for turn in stats) / len(stats):.3f} s a turn")
