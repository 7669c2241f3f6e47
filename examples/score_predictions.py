"""Score a file of predictions from elsewhere, in the benchmark's format: it takes annotations, no videos, no model."""

import json
from pathlib import Path

from proactive_env import datasets
from proactive_env.recipes.evaluate.predictions import read_predictions
from proactive_env.recipes.evaluate.score import score
from proactive_env.rewards import LexicalJudge

episodes = datasets.load("tinyworld", size=3)
with Path("predictions.jsonl").open("w") as file:  # your system writes this
    for episode in episodes:
        replies = [
            {"role": "assistant", "content": gold.text, "time": gold.reply_span.start + delay}
            for delay, gold in enumerate(episode.gold)  # each answer a second later than the one before
        ]
        file.write(json.dumps({"question_id": episode.question_id, "model_response_list": replies}) + "\n")

transcripts = read_predictions(Path("predictions.jsonl"), episodes)
scores = score(transcripts.values(), LexicalJudge(), on_question=lambda: None)
for question in scores.questions:
    for span in question.spans:
        print(question.question_id, f"delay {span.delay_s:g} s,", "PAUC by omega", span.pauc)
for subset, row in scores.as_dict()["subsets"].items():
    print(subset, {name: row[name] for name in ("questions", "spans", "pauc", "duplicates", "mean_delay_s", "covered")})
print("judged by", scores.judge)
