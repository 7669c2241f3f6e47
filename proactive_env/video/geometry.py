"""How large a frame is, and which way up."""

import math

from av.video.frame import VideoFrame

MAX_PIXELS = 128 * 28 * 28
"""Pixels of a frame, at most: 128 visual tokens of 28 x 28 pixels (MMDuet2)."""

SIZE_MULTIPLE = 28
"""Width and height of a frame are multiples of this many pixels."""


def frame_size(
    width: int, height: int, *, max_pixels: int = MAX_PIXELS, size_multiple: int = SIZE_MULTIPLE
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


def quarter_turns(picture: VideoFrame) -> int:
    """Counterclockwise quarter turns that set the picture upright."""
    return round(picture.rotation / 90) % 4
