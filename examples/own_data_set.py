"""A data set of one's own: JSON lines beside the videos, checked, then played by name."""

import json
from pathlib import Path

from proactive_env import agents, datasets
from proactive_env.agents.rollout import rollout
from proactive_env.testing import check_dataset

(drawn,) = datasets.load("tinyworld", "clips", size=1)  # stands for your video: draws one below clips/
row = {
    "question_id": "q1",
    "video": str(drawn.video.relative_to("clips")),  # relative to the file
    "user_turns": [{"time": 0, "text": "What appears?"}],
    "gold": [
        {
            "text": "A red circle.",
            "question": "What appears?",
            "reply_span": [3, 9],  # when a reply counts, seconds
            "related_span": [3, 8],  # when the video shows it
        }
    ],
}
file = Path("clips", "episodes.jsonl")
file.write_text(json.dumps(row) + "\n")

episodes = datasets.load("jsonl", file)
check_dataset(episodes)
played = []
rollout(agents.load("oracle"), episodes, environment={}, on_transcript=played.append, on_bad_video=print)
for turn in played[0].replies:
    print(f"{turn.end:g} s: {turn.reply}")
print(f"on the command line: proactive eval --benchmark jsonl --data {file} --agent oracle")
