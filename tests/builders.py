"""Episodes, transcripts and videos that tests put together by hand."""

from pathlib import Path

import av
import numpy as np

from proactive_env.episode import Episode, GoldReply, Timespan, UserTurn
from proactive_env.rewards import Judge
from proactive_env.turn import Transcript, Turn


def gold(start, end, text="A red circle.", related_end=None, question="What appears?"):
    return GoldReply(
        text=text,
        question=question,
        reply_span=Timespan(start, end),
        related_span=Timespan(start, end if related_end is None else related_end),
    )


def episode(*golds, duration=20.0, video="video.mp4", **fields):
    defaults = {"question_id": "q", "user_turns": (UserTurn(time=0.0, text="What appears?"),)}
    return Episode(video=Path(video), duration=duration, gold=golds, **(defaults | fields))


def transcript(the_episode, replies, turns=20, **fields):
    """One-second turns; `replies` maps the second of the decision to what is said then."""
    played = (Turn(index=i, start=i, end=i + 1, reply=replies.get(i + 1)) for i in range(turns))
    return Transcript(the_episode, tuple(played), **fields)


def write_video(file, seconds=10, rate=4, size=(64, 48)):
    """A video whose picture k is grey of level 20 * (k mod 12)."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with av.open(file, "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast"})
        stream.width, stream.height = size
        for k in range(int(seconds * rate)):
            picture = np.full((size[1], size[0], 3), 20 * (k % 12), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return file


class FixedJudge(Judge):
    """Answers by a rule over the prediction; counts what it is asked."""

    def __init__(self, coverage=lambda text: 0, repeats=lambda earlier, reply: False):
        self.rule = coverage
        self.repeat_rule = repeats
        self.asked = []

    def coverage(self, question, gold, prediction, levels):
        self.asked.append(prediction)
        return self.rule(prediction)

    def repeats(self, earlier, reply):
        return self.repeat_rule(earlier, reply)

    def describe(self):
        return {"kind": "fixed", "model": None, "prompt_version": "0"}
