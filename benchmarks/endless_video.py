"""Memory and time of a six-minute video, with everything kept and with `max_context`: a curve a turn, drawn to a file.

    python benchmarks/endless_video.py CLIP [PICTURE]

CLIP is repeated to 360 s and played at a frame a second, one frame a turn, silently, by the transformers agent with the
tiny checkpoint, in a process of its own for each setting.
"""

import asyncio
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path

import av

from proactive_env import agents
from proactive_env.environment import ProactiveVideoEnv
from proactive_env.episode import Episode, UserTurn
from proactive_env.recipes.training.tiny import make_tiny

SECONDS, RATE = 360, 4
SETTINGS = {
    "everything kept": "format=open_turn&threshold=1",
    "max_context=4096": "format=open_turn&threshold=1&max_context=4096",
}
Curve = list[tuple[float, float, float]]
"""Of each turn: megabytes of the process, tokens of the conversation, seconds."""


def main() -> None:
    """Play both and print and draw the curves."""
    clip, picture = Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None
    with tempfile.TemporaryDirectory() as folder:
        video, checkpoint = Path(folder) / "long.mp4", Path(folder) / "tiny"
        repeat(clip, video)
        make_tiny(checkpoint)
        with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            curves = {
                name: pool.apply(play, (video, f"transformers:{checkpoint}?{options}"))
                for name, options in SETTINGS.items()
            }
    for name, curve in curves.items():
        early, late = curve[30], curve[-1]
        times = [sum(seconds for _, _, seconds in curve[a:b]) / (b - a) for a, b in ((20, 60), (320, 360))]
        print(
            f"{name:17} turn 30: {early[0]:.0f} MB, {early[1]:.0f} tokens; turn {len(curve)}: {late[0]:.0f} MB, "
            f"{late[1]:.0f} tokens; mean of turns 320-360 over 20-60: {times[1] / times[0]:.2f} x",
            flush=True,
        )
    if picture:
        draw(curves, picture)


def repeat(clip: Path, video: Path) -> None:
    """Write CLIP again and again."""
    with av.open(video, "w") as out:
        stream = None
        written = 0
        while written < SECONDS * RATE:
            with av.open(clip) as container:
                step = max(1, round(float(container.streams.video[0].average_rate or RATE) / RATE))
                for number, frame in enumerate(container.decode(video=0)):
                    if number % step or written >= SECONDS * RATE:
                        continue
                    if stream is None:
                        stream = out.add_stream("libx264", rate=RATE, options={"preset": "ultrafast"})
                        stream.width, stream.height = frame.width, frame.height
                    out.mux(stream.encode(av.VideoFrame.from_ndarray(frame.to_ndarray(format="rgb24"), format="rgb24")))
                    written += 1
        if stream is not None:
            out.mux(stream.encode())


def play(video: Path, spec: str) -> Curve:
    """The curve of one setting."""
    episode = Episode(question_id="long", video=video, user_turns=(UserTurn(time=0.0, text="What is happening?"),))
    env = ProactiveVideoEnv([episode], frames_per_turn=1, full_video=True, frame_interval=1.0)
    curve: Curve = []
    with agents.load(spec) as agent:

        async def converse() -> None:
            observation, info = env.reset(seed=0)
            conversation = agent.open(info["history"])
            for _ in info["plan"].turns:
                started = time.perf_counter()
                reply = await conversation.respond(observation)
                curve.append((megabytes(), reply.stats["context_tokens"], time.perf_counter() - started))
                observation, *_ = env.step(reply.text)

        asyncio.run(converse())
    return curve


def megabytes() -> float:
    """Memory of this process that no file backs: decoded frames, mapped from the cache, do not count."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("RssAnon"))) / 1e3


def draw(curves: dict[str, Curve], picture: Path) -> None:
    """Memory and tokens a turn."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(11, 3), constrained_layout=True)
    titles = ("process, MB", "conversation, tokens", "a turn, ms")
    for axis, title, column, scale in zip(axes, titles, range(3), (1, 1, 1e3), strict=True):
        for name, curve in curves.items():
            axis.plot(range(1, len(curve) + 1), [point[column] * scale for point in curve], label=name, linewidth=1)
        axis.set(title=title, xlabel="turn (seconds of video)")
        axis.spines[["top", "right"]].set_visible(False)
    axes[2].set_ylim(0, 1.1e3 * sorted(point[2] for curve in curves.values() for point in curve)[-8])
    axes[0].legend(frameon=False)
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    main()
