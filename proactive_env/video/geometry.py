"""How large a frame is, and which way up: rotation, flips and pixel aspect as a player applies them."""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import numpy as np
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from numpy.typing import NDArray

MAX_PIXELS = 128 * 28 * 28
"""Pixels of a frame, at most: 128 visual tokens of 28 x 28 pixels (MMDuet2)."""

SIZE_MULTIPLE = 28
"""Width and height of a frame are multiples of this many pixels."""

_SKEW = 0.02  # of a display matrix whose rotation is taken for a multiple of 90 degrees: about 1 degree


def frame_size(
    width: float, height: float, *, max_pixels: int = MAX_PIXELS, size_multiple: int = SIZE_MULTIPLE
) -> tuple[int, int]:
    """Return the (width, height) in pixels of the frame made from a picture of `width` x `height` pixels.

    Both sides are multiples of `size_multiple`, at least one, and their product is at most `max_pixels`. The rounding
    is that of Qwen's `smart_resize`: each side to the nearest multiple, or, if that is too large, scaled down and cut
    off. A side that would vanish keeps one multiple, and the other is squeezed as far as `max_pixels` demands.

    Raises:
        ValueError: `max_pixels` has no room for `size_multiple` x `size_multiple` pixels.
    """
    most = max_pixels // size_multiple**2
    if most < 1:
        raise ValueError(
            f"expected max_pixels to hold {size_multiple} x {size_multiple} pixels, found {max_pixels}; "
            f"give {size_multiple**2} or more"
        )
    columns, rows = (max(1, round(side / size_multiple)) for side in (width, height))
    if columns * rows > most:
        scale = math.sqrt(max_pixels / (width * height)) / size_multiple
        columns, rows = (min(max(1, math.floor(side * scale)), most) for side in (width, height))
    return columns * size_multiple, rows * size_multiple


@dataclass(frozen=True)
class Geometry:
    """How stored pictures become upright ones: transposed first, then flipped."""

    width: float
    """Of an upright picture; pixels that are not square are stretched, none is lost."""
    height: float
    transposed: bool = False
    flipped: tuple[bool, bool] = (False, False)
    """Upside down, and left to right."""

    @classmethod
    def of(cls, first: VideoFrame, pixel_aspect: Fraction | None) -> "Geometry":
        """That of a file.

        Args:
            first: The first picture out of the decoder, which alone carries the file's display matrix.
            pixel_aspect: Width of a stored pixel over its height; None or 0: unknown, taken for 1.

        Raises:
            ValueError: the pictures are to be turned by an angle that is no multiple of 90 degrees.
        """
        aspect = float(pixel_aspect or 1)
        width, height = first.width * max(1.0, aspect), first.height * max(1.0, 1 / aspect)
        matrix = cast("Mapping[Type, bytes]", first.side_data).get(Type.DISPLAYMATRIX)
        if matrix is None:
            return cls(width, height)
        a, b, _, c, d, *_ = struct.unpack("=9i", bytes(matrix))
        straight, crossed = max(abs(a), abs(d)), max(abs(b), abs(c))
        if crossed <= _SKEW * straight:
            return cls(width, height, flipped=(d < 0, a < 0))
        if straight <= _SKEW * crossed:
            return cls(height, width, transposed=True, flipped=(b < 0, c < 0))
        raise ValueError("expected pictures turned by a multiple of 90 degrees, found another angle; write it upright")

    def stored(self, size: tuple[int, int]) -> tuple[int, int]:
        """The (width, height) to scale a stored picture to, so that it has `size` when it is upright."""
        return (size[1], size[0]) if self.transposed else size

    def upright(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A stored picture, (height, width, 3), set upright."""
        vertical, horizontal = self.flipped
        turned = picture.swapaxes(0, 1) if self.transposed else picture
        return turned[:: -1 if vertical else 1, :: -1 if horizontal else 1]
