"""The size of a frame, from the picture's and the pixels that it may have."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proactive_env.video import frame_size


@pytest.mark.parametrize(
    ("picture", "frame"),
    [
        ((1280, 720), (420, 224)),  # scaled down and cut, as smart_resize does
        ((720, 1280), (224, 420)),
        ((280, 140), (280, 140)),  # fits as it is
        ((300, 150), (308, 140)),  # rounded, up and down
        ((1, 1), (28, 28)),  # never smaller than one square
        ((100_000, 10), (3584, 28)),  # the long side gives way, for there is no shorter side
    ],
)
def test_frame_size(picture, frame):
    assert frame_size(*picture) == frame


@settings(deadline=None)
@given(
    width=st.integers(1, 20_000),
    height=st.integers(1, 20_000),
    size_multiple=st.sampled_from([1, 14, 28, 32]),
    squares=st.integers(1, 4000),
)
def test_frame_size_fits_and_keeps_the_aspect_within_one_step(width, height, size_multiple, squares):
    max_pixels = squares * size_multiple**2 + size_multiple**2 // 2
    frame = frame_size(width, height, max_pixels=max_pixels, size_multiple=size_multiple)
    assert frame[0] * frame[1] <= max_pixels
    assert all(side >= size_multiple and side % size_multiple == 0 for side in frame)
    scale = (max_pixels / (width * height)) ** 0.5  # of the largest picture that fits
    steps_off = [
        max(abs(frame[0] - width * factor), abs(frame[1] - height * factor)) / size_multiple for factor in (1.0, scale)
    ]
    vanishing = min(width, height) * min(1.0, scale) < size_multiple
    assert vanishing or min(steps_off) <= 1


def test_frame_size_without_room_for_a_square():
    with pytest.raises(ValueError, match="found 783; give 784 or more"):
        frame_size(640, 480, max_pixels=783)
