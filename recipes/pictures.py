"""Pictures out of files, as a person sees them, and into pages and messages: JPEGs as data URLs."""

import base64
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps


def open_picture(file: Path) -> Image.Image:
    """The picture in a file, RGB: upright as its EXIF tag says, on white where it is transparent, of any bit depth.

    Raises:
        ValueError: it cannot be read to its end, or is an animation.
    """
    try:
        with Image.open(file) as image:
            pictures = getattr(image, "n_frames", 1)
            if pictures > 1 and image.format != "MPO":  # a telephone's JPEG with previews
                raise ValueError(f"an animation of {pictures} pictures, where one that stands still is needed")
            image.load()
            return _seen(ImageOps.exif_transpose(image))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # SyntaxError: Pillow, broken PNG
        raise ValueError(f"{file}: expected a picture that can be read, found: {error}") from error


def _seen(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image, np.float64) / 257).clip(0, 255).round().astype(np.uint8))
    if image.has_transparency_data:
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image.convert("RGBA"))
    return image.convert("RGB")


def jpeg_url(frame: NDArray[np.uint8], quality: int) -> str:
    """A frame, RGB of shape (height, width, 3), as a JPEG in a data URL."""
    out = BytesIO()
    Image.fromarray(frame).save(out, "JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
