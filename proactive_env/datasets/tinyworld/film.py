"""TinyWorld's pictures: one flat shape at a time on a dark background, drawn with numpy and written as H.264 by PyAV.

A file is written once, under a temporary name first, so that several processes may write the same one at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import av
import numpy as np
from numpy.typing import NDArray

SIDE = 56
"""Width and height of a picture, pixels."""
RATE = 8
"""Pictures a second. Times are counted in pictures here and in the stories."""

BACKGROUND = (20, 20, 28)
COLOURS = {
    "red": (230, 50, 50),
    "green": (50, 190, 70),
    "blue": (60, 100, 250),
    "yellow": (245, 215, 50),
    "purple": (190, 60, 220),
    "white": (240, 240, 240),
}

Array = NDArray[np.float64]

SHAPES: dict[str, Callable[[Array, Array, float], Array]] = {
    "circle": lambda x, y, r: np.hypot(x, y) - r,
    "square": lambda x, y, r: np.maximum(abs(x), abs(y)) - 0.9 * r,
    "triangle": lambda x, y, r: np.maximum(y - 0.8 * r, (1.8 * abs(x) - y - r) / np.hypot(1.8, 1)),
    "cross": lambda x, y, r: np.maximum(np.maximum(abs(x), abs(y)) - r, np.minimum(abs(x), abs(y)) - r / 3),
}
"""Signed distances in pixels, negative inside, of points (x, y) from the outline of a shape of radius r at (0, 0)."""

_Y, _X = np.mgrid[:SIDE, :SIDE] + 0.5


class Look(NamedTuple):
    """How and where an object is drawn: 8-bit colour, radius and centre in pixels, y downwards."""

    red: float
    green: float
    blue: float
    radius: float
    x: float
    y: float


@dataclass(frozen=True)
class Act:
    """One object's time on screen."""

    shape: str
    keyframes: dict[int, Look]
    """Looks by picture number, ascending, linear in between; at the last of these pictures the object is gone."""

    def look(self, picture: int) -> Look | None:
        """The object's look in a picture, or None when it is not on screen."""
        pictures = list(self.keyframes)
        if not pictures[0] <= picture < pictures[-1]:
            return None
        columns = zip(*self.keyframes.values(), strict=True)
        return Look(*(float(np.interp(picture, pictures, column)) for column in columns))


@dataclass(frozen=True)
class Film:
    """A video before it is drawn: its acts and its length in pictures."""

    acts: tuple[Act, ...]
    pictures: int

    def draw(self, picture: int) -> NDArray[np.uint8]:
        """One picture, (SIDE, SIDE, 3) RGB."""
        image = np.full((SIDE, SIDE, 3), BACKGROUND, np.float64)
        for act in self.acts:
            if look := act.look(picture):
                distance = SHAPES[act.shape](_X - look.x, _Y - look.y, look.radius)
                image += np.clip(0.5 - distance, 0, 1)[..., None] * (look[:3] - image)
        return image.round().astype(np.uint8)

    def write(self, path: Path) -> None:
        """Write the MP4 file `path` unless it is there already.

        Raises:
            OSError: the folder cannot be written.
        """
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{uuid4().hex}.tmp")
        try:
            self._encode(partial)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    def _encode(self, path: Path) -> None:
        # One thread: the same bytes every time. No B-frames: timestamps start at 0.
        options = {"preset": "veryfast", "crf": "18", "bf": "0", "threads": "1"}
        with av.open(path, "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=RATE, options=options)
            stream.width = stream.height = SIDE
            stream.pix_fmt = "yuv420p"
            for picture in range(self.pictures):
                frame = av.VideoFrame.from_ndarray(self.draw(picture), format="rgb24")
                frame.pts = picture
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
