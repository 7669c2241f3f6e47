"""A model that answers every prompt of a build by a rule, and videos to ask it about."""

import json
import threading
import zlib

from builders import write_video

from proactive_env.recipes.data.construct.ask import PROBE
from proactive_env.recipes.data.construct.prompts import FOLDER, read_prompt

PROMPTS = {read_prompt(file.stem): file.stem for file in FOLDER.glob("*.txt")}


class ScriptedModel:
    """Answers by rule; holds its answers back from the `hold[0]`-th question of the prompt `hold[1]` on."""

    def __init__(self, hold=None):
        self.hold = hold
        self.released = threading.Event()
        self.answered = []
        self.asked = dict.fromkeys(PROMPTS.values(), 0)
        self.own = {}  # what is answered to a prompt instead
        self.lock = threading.Lock()

    def __call__(self, asked):
        if asked["system"] == PROBE:
            return "Hello."
        name = PROMPTS[asked["system"]]
        with self.lock:
            self.asked[name] += 1
            held = self.hold and self.hold[1] == name and self.asked[name] >= self.hold[0]
        if held:
            self.released.wait()
            return "too late"
        with self.lock:
            self.answered.append(tuple(asked.items()))
        answer = self.own.get(name, getattr(self, name))(asked)
        return answer if isinstance(answer, str) else f"<think>{{?}}</think>Here it is:\n{json.dumps(answer)}\n"

    def caption(self, asked):
        return {"caption": f"Something happens while it says {asked['Subtitle']!r}."}

    def questions(self, asked):
        scenes = [label for label in asked if label.startswith("Scene ")]
        return {
            "questions": [
                {
                    "question": f"What is new {question}?",
                    "answers": [
                        {"scene": number, "answer": "NO REPLY" if number % 3 == question % 3 else answer(number)}
                        for number in range(1, len(scenes) + 1)
                    ],
                }
                for question in range(int(asked["Number of questions"]))
            ]
        }

    def guess(self, asked):
        return {"answer": "Nothing."}

    def guessed(self, asked):
        return {"scenes": []}

    def supported(self, asked):
        return {"supported": True}

    def summary(self, asked):
        return {"answer": " Then ".join(text for label, text in asked.items() if label.startswith("Answer "))}


def stutter(model, times):
    """Nonsense for some messages at first, and for one scene always; `times` counts the answers to a message."""

    def stuttering(asked):
        with model.lock:
            times[asked["dialogue"]] += 1
        name, lot = PROMPTS[asked["system"]], zlib.crc32(asked["dialogue"].encode()) % 4
        if (lot == 0 and times[asked["dialogue"]] == 1) or "a.mp4 says line 5" in asked.get("Subtitle", ""):
            return "nonsense"
        return getattr(model, name)(asked)

    model.own = dict.fromkeys(PROMPTS.values(), stuttering)
    return model


def answer(number):
    return f"Number{number} steps{number} out{number}."


def make_videos(folder, names, seconds=40, scene_seconds=5):
    """Videos with a subtitle for each scene, and no two alike."""
    for name in names:
        file = write_video(folder / name, seconds=seconds, rate=2, size=(56, 56))
        file.write_bytes(file.read_bytes() + (8 + len(name)).to_bytes(4) + b"free" + name.encode())
        cues = [
            f"{n + 1}\n00:00:{start:02},000 --> 00:00:{start + scene_seconds:02},000\n{name} says line {n}.\n"
            for n, start in enumerate(range(0, seconds, scene_seconds))
        ]
        file.with_suffix(".srt").write_text("\n".join(cues))
    return folder


def contents(folder):
    """The bytes of everything that a build leaves, but for the record of its calls."""
    assert not list(folder.glob("*.partial"))
    return {
        file.name: file.read_bytes()
        for file in folder.glob("*.*")
        if file.name not in (".lock", "usage.json") and file.is_file()
    }
