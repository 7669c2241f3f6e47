"""A video, of which tests say what its scenes are."""

import pytest
from builders import write_video


@pytest.fixture(scope="session")
def recorded(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("videos") / "clip.mp4", seconds=20)


@pytest.fixture
def clip(recorded, tmp_path):
    """A video of 20 s in a folder of its own."""
    (tmp_path / "clip.mp4").symlink_to(recorded)
    return tmp_path / "clip.mp4"
