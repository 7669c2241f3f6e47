"""Pictures in pages and messages: JPEGs as data URLs."""

import base64
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def jpeg_url(frame: NDArray[np.uint8], quality: int) -> str:
    """A frame, RGB of shape (height, width, 3), as a JPEG in a data URL."""
    out = BytesIO()
    Image.fromarray(frame).save(out, "JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
