"""One dialogue as a picture: frames, gold spans, replies and the PAUC curve of each span, over video time."""

from pathlib import Path
from textwrap import shorten

from proactive_env.errors import InputError
from proactive_env.frame_cache import FrameCache
from proactive_env.recipes.evaluate.proactivevideoqa import LEVELS, points
from proactive_env.rewards.counts import in_some_span
from proactive_env.rewards.judge import Judge
from proactive_env.rewards.pauc import pauc
from proactive_env.turn import Transcript

THUMBNAILS = 12
_TOP = LEVELS - 1


def draw(transcript: Transcript, judge: Judge, file: Path) -> None:
    """Draw a dialogue into a PNG file.

    The curve is the quality of what is known so far, by ProactiveVideoQA's rules at omega 0; the shaded area over the
    span's is its PAUC.

    Args:
        transcript: A complete episode.
        judge: Scores the replies.
        file: Where the picture goes.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError("pictures need the package matplotlib: pip install 'proactive-env[plot]'") from error

    figure = Figure(figsize=(12, 5.2), layout="constrained")
    strip, lanes, curve = figure.subplots(3, 1, sharex=True, height_ratios=(1.2, 1.6, 1.6))
    end = transcript.turns[-1].end
    figure.suptitle(transcript.episode.question_id, fontsize=11, parse_math=False)

    width = end / THUMBNAILS
    frames = FrameCache().frames(transcript.episode.video, count=THUMBNAILS, frame_interval=width, max_pixels=128 * 128)
    for index, frame in enumerate(frames):
        strip.imshow(frame, extent=(index * width, (index + 1) * width, 0, 1), aspect="auto")
    strip.set(yticks=[], ylim=(0, 1))

    colors = mpl.colormaps["tab10"]
    for index, gold in enumerate(transcript.episode.gold):
        start, stop = gold.reply_span
        lanes.barh(1, stop - start, left=start, height=0.5, color=colors(index % 10), alpha=0.5)
        lanes.text(start, 1, " " + shorten(gold.text, 40), va="center", fontsize=8, parse_math=False)
        counted = points(transcript.replies, gold, judge)
        times = [start, *(time for time, _ in counted), stop]
        heights = [0.5, *(level for _, level in counted)]
        curve.stairs(heights, times, color=colors(index % 10), linewidth=2, baseline=0)
        curve.stairs(heights, times, color=colors(index % 10), alpha=0.25, fill=True)
        area = pauc(counted, gold.reply_span, max_score=_TOP, omega=0.0)
        curve.text((start + stop) / 2, _TOP * 1.04, f"{area:.2f}", ha="center", fontsize=9)
    for asked in transcript.episode.user_turns:
        if asked.time < end:
            lanes.axvline(asked.time, color="gray", linestyle=":")
            lanes.text(asked.time, 2, " " + shorten(asked.text, 60), va="center", fontsize=8, parse_math=False)
    for index, turn in enumerate(transcript.replies):
        inside = in_some_span(turn.end, transcript.episode.gold)
        lanes.plot(turn.end, 0, marker="o" if inside else "x", color="black" if inside else "crimson")
        lanes.text(
            turn.end, -0.22 - 0.2 * (index % 3), shorten(turn.reply or "", 24), ha="center", va="top", fontsize=7
        )
    lanes.set(yticks=[0, 1, 2], yticklabels=["replies", "gold", "user"], ylim=(-1, 2.5))
    curve.set(yticks=range(LEVELS), ylim=(0, _TOP * 1.2), ylabel="score", xlabel="video time (s)", xlim=(0, end))
    figure.savefig(file, dpi=110)
