"""The rules that scenes of every source follow.

1. What lies outside the video is cut off.
2. Scenes that start together are one, with both texts.
3. A scene ends where the next one starts if they overlap, or if less than `min_seconds` lie between them. A longer gap
   belongs to no scene.
4. A scene shorter than `min_seconds` joins the next one if that follows at once, else the one before; a short scene
   alone runs on into the gap after it, or is dropped where the video ends first.
5. A scene longer than `max_seconds` becomes equal parts, each with its text.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

from proactive_env.recipes.data.scenes.config import SceneConfig
from proactive_env.recipes.data.scenes.scene import Scene


def arrange(scenes: Iterable[Scene], duration: float, config: SceneConfig) -> tuple[Scene, ...]:
    """Scenes in order, disjoint, inside the video and `min_seconds` to `max_seconds` long; times in milliseconds.

    Args:
        scenes: In any order.
        duration: Length of the video in seconds.
        config: The bounds.
    """
    end, shortest = math.floor(duration * 1000) / 1000, config.min_seconds
    inside = (_with_end(scene, min(scene.end, end)) for scene in scenes if scene.start < end)
    distinct = fold(sorted(inside, key=lambda scene: scene.start), _start_together)
    rows = _join_short(list(_close_gaps(distinct, shortest)), shortest)
    whole = (_with_end(scene, max(scene.end, scene.start + shortest)) for scene in rows)
    parts = (part for scene in whole if scene.end <= end for part in _split(scene, config.max_seconds))
    return tuple(_in_milliseconds(part) for part in parts)


def fold(scenes: Iterable[Scene], belong: Callable[[Scene, Scene], bool]) -> list[Scene]:
    """Scenes with each joined to the one before it where the two `belong` together."""
    folded: list[Scene] = []
    for scene in scenes:
        if folded and belong(folded[-1], scene):
            folded[-1] = _joined(folded[-1], scene)
        else:
            folded.append(scene)
    return folded


def _joined(earlier: Scene, later: Scene) -> Scene:
    text = " ".join(filter(None, (earlier.text, later.text)))
    return Scene(start=earlier.start, end=max(earlier.end, later.end), text=text)


def _start_together(earlier: Scene, later: Scene) -> bool:
    return earlier.start == later.start


def _close_gaps(scenes: Sequence[Scene], shortest: float) -> Iterator[Scene]:
    for scene, following in pairwise(scenes):
        yield _with_end(scene, following.start) if following.start - scene.end < shortest else scene
    yield from scenes[-1:]


def _join_short(scenes: Sequence[Scene], shortest: float) -> list[Scene]:
    forwards = fold(scenes, lambda earlier, later: earlier.end == later.start and earlier.seconds < shortest)
    return fold(forwards, lambda earlier, later: earlier.end == later.start and later.seconds < shortest)


def _split(scene: Scene, longest: float) -> Iterator[Scene]:
    count = math.ceil(scene.seconds / longest)
    bounds = [scene.start + scene.seconds * index / count for index in range(count)]
    for start, end in pairwise([*bounds, scene.end]):
        yield Scene(start=start, end=end, text=scene.text)


def _with_end(scene: Scene, end: float) -> Scene:
    return Scene(start=scene.start, end=end, text=scene.text)


def _in_milliseconds(scene: Scene) -> Scene:
    return Scene(start=round(scene.start, 3), end=round(scene.end, 3), text=scene.text)
