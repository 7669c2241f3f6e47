"""TinyWorld: short videos of coloured shapes that enter, move, change and leave, drawn by the library itself.

A story is a pure function of (seed, split, index), so a larger size never changes earlier episodes. Annotations are
exact, except in the train split, where many are coarse, as scene bounds in real training data are.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from proactive_env.datasets.tinyworld.film import COLOURS, RATE, SHAPES, SIDE, Act, Film, Look
from proactive_env.episode import Episode, GoldReply, Timespan, UserTurn
from proactive_env.errors import DatasetError
from proactive_env.plugin import did_you_mean
from proactive_env.video import cache_folder

VERSION = "v1"
"""Part of the videos' path; changes whenever a story or a picture does."""
SPLITS = ("train", "validation", "test")

# Lengths of time below are counted in pictures, RATE of them a second.
PAUSE = (RATE + 1, 3 * RATE)
"""Shortest and longest time without an object before an act: room for a question after the last reply span."""
PLAIN = (RATE, 2 * RATE)
"""Shortest and longest time for which an object is there before it changes or moves."""
MOTION = 6
"""Time that an entrance, a change or a move takes."""
VISIBLE = {2: (5 * RATE, 9 * RATE), 3: (4 * RATE, 7 * RATE)}
"""Shortest and longest time for which an answer can be seen, by number of acts; a video then lasts 15 to 40 seconds."""
LATENCY = RATE
"""Time for which a reply still counts after its object is gone."""
TAIL = 3 * RATE // 2
"""Time without an object after the last act."""
COARSE_SHARE = 0.4
"""Probability that a reply span of the train split ends at a random moment while its object is still there."""
COARSE_SHORTEST = 3 * RATE // 2
"""Shortest length of such a reply span."""

# Lengths below are pixels.
RADIUS, GROWN_RADIUS, SHRUNK_RADIUS = 10, 16, 5
MOVE = 16
CENTRE = SIDE / 2
DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "top": (0, -1), "bottom": (0, 1)}


class _Thing(NamedTuple):
    colour: str
    shape: str

    def __str__(self) -> str:
        return f"{self.colour} {self.shape}"

    def at(self, x: float, y: float) -> Look:
        return Look(*COLOURS[self.colour], RADIUS, x, y)


class _Scene(NamedTuple):
    """What an act shows, and the answer to be given."""

    answer: str
    shape: str
    plain: int
    """Time for which the first look stands still."""
    looks: tuple[Look, Look, Look]
    """The object before the answer can be seen, as soon as it can, and at the end."""


class _Question(NamedTuple):
    text: str
    stage: Callable[[np.random.Generator], _Scene]
    """Draws something that answers the question."""


def load(
    root: Path | None = None, *, split: str | None = None, size: int | None = None, seed: int = 0
) -> tuple[Episode, ...]:
    """The first `size` episodes of a split; writes the videos that are not there yet.

    Args:
        root: folder of the videos; default: `tinyworld` in the library's cache folder.
        split: "train", "validation" or "test"; default "test".
        size: number of episodes, at least 1; default 64.
        seed: at least 0; another seed, other episodes.

    Raises:
        DatasetError: an unknown split, or a size or seed that is too small.
        OSError: the folder cannot be written.
    """
    split = "test" if split is None else split
    size = 64 if size is None else size
    if split not in SPLITS:
        raise DatasetError(f"tinyworld has no split {split!r}{did_you_mean(split, SPLITS)}")
    if size < 1 or seed < 0:
        raise DatasetError(f"size must be at least 1 and seed at least 0, found size={size} and seed={seed}")
    folder = (cache_folder() / "tinyworld" if root is None else root) / VERSION / f"{seed}-{split}"
    plans = [_plan(seed, split, index, folder) for index in range(size)]
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(lambda plan: plan[1].write(plan[0].video), plans))
    return tuple(episode for episode, _ in plans)


def texts(count: int = 256) -> tuple[str, ...]:
    """What is asked and answered in `count` train episodes, in order, once each; no video is drawn."""
    episodes = (_plan(0, "train", index, Path())[0] for index in range(count))
    spoken = ([part.text for part in episode.user_turns] + [part.text for part in episode.gold] for episode in episodes)
    return tuple(dict.fromkeys(chain.from_iterable(spoken)))


def _plan(seed: int, split: str, index: int, folder: Path) -> tuple[Episode, Film]:
    """An episode and its video, not drawn yet."""
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    count = int(rng.integers(2, 4))
    second = int(rng.integers(1, count)) if rng.random() < 0.5 else None
    question = _ask(rng)
    user_turns = [UserTurn(time=0.0, text=question.text)]
    acts: list[Act] = []
    gold: list[GoldReply] = []
    now = 0
    for number in range(count):
        entry = now + _between(rng, PAUSE)
        if number == second:
            while question.text == user_turns[0].text:
                question = _ask(rng)
            user_turns.append(UserTurn(time=int(rng.integers(now + LATENCY, entry)) / RATE, text=question.text))
        scene = question.stage(rng)
        while scene.answer in {reply.text for reply in gold}:
            scene = question.stage(rng)
        start = entry + scene.plain + MOTION
        now = _end(rng, start, VISIBLE[count])
        before, after, last = scene.looks
        acts.append(Act(scene.shape, {entry: before, start - MOTION: before, start: after, now: last}))
        gold.append(_gold(rng, split, question.text, scene.answer, start, now))
    film = Film(tuple(acts), now + TAIL)
    episode = Episode(
        question_id=f"tinyworld-{seed}-{split}-{index:05d}",
        video=folder / f"{index:05d}.mp4",
        duration=film.pictures / RATE,
        user_turns=tuple(user_turns),
        gold=tuple(gold),
        subset="TINYWORLD",
        frames_per_turn=2,
    )
    return episode, film


def _between(rng: np.random.Generator, bounds: tuple[int, int]) -> int:
    return int(rng.integers(*bounds, endpoint=True))


def _pick(rng: np.random.Generator, names: Iterable[str]) -> str:
    return str(rng.choice(list(names)))


def _end(rng: np.random.Generator, start: int, visible: tuple[int, int]) -> int:
    # Objects leave on odd seconds: at a frame a second, one or two of them a turn, the last turn of a reply span, which
    # decides a second later, is then the one that shows that the object is gone.
    shortest, longest = visible
    end = start + _between(rng, (shortest, longest - 2 * RATE + 1))
    return end + (RATE - end) % (2 * RATE)


def _gold(rng: np.random.Generator, split: str, question: str, answer: str, start: int, end: int) -> GoldReply:
    reply_end = end + LATENCY
    if split == "train" and rng.random() < COARSE_SHARE:
        reply_end = _between(rng, (start + COARSE_SHORTEST, end))
    return GoldReply(
        text=answer,
        question=question,
        reply_span=Timespan(start / RATE, reply_end / RATE),
        related_span=Timespan(start / RATE, (reply_end - LATENCY) / RATE),
    )


def _ask(rng: np.random.Generator) -> _Question:
    """A question, each kind as likely as the others."""
    text = _pick(rng, _STAGES)
    thing = _Thing(_pick(rng, COLOURS), _pick(rng, SHAPES))
    return _Question(text.format(thing), partial(_STAGES[text], thing))


def _appear(_: _Thing, rng: np.random.Generator) -> _Scene:
    thing = _Thing(_pick(rng, COLOURS), _pick(rng, SHAPES))
    x, y = CENTRE + rng.uniform(-11, 11, 2)
    right, down = DIRECTIONS[_pick(rng, DIRECTIONS)]
    drift_x, drift_y = rng.uniform(-5, 5, 2)
    looks = thing.at(x + SIDE * right, y + SIDE * down), thing.at(x, y), thing.at(x + drift_x, y + drift_y)
    return _Scene(f"A {thing}.", thing.shape, 0, looks)


def _change(thing: _Thing, rng: np.random.Generator) -> _Scene:
    plain = thing.at(*CENTRE + rng.uniform(-6, 6, 2))
    changes = {
        "grows": plain._replace(radius=GROWN_RADIUS),
        "shrinks": plain._replace(radius=SHRUNK_RADIUS),
        **{f"turns {name}": Look(*COLOURS[name], *plain[3:]) for name in COLOURS if name != thing.colour},
    }
    change = _pick(rng, changes)
    return _Scene(f"It {change}.", thing.shape, _between(rng, PLAIN), (plain, changes[change], changes[change]))


def _move(thing: _Thing, rng: np.random.Generator) -> _Scene:
    direction = _pick(rng, DIRECTIONS)
    right, down = DIRECTIONS[direction]
    there = thing.at(CENTRE + MOVE * right, CENTRE + MOVE * down)
    return _Scene(f"To the {direction}.", thing.shape, _between(rng, PLAIN), (thing.at(CENTRE, CENTRE), there, there))


_STAGES = {"What appears?": _appear, "What does the {} do?": _change, "Where does the {} go?": _move}
