"""Every test runs on files of its own: the caches of the person who runs them are never touched."""

import os
import tempfile
from pathlib import Path

import pytest

os.environ["PROACTIVE_ENV_CACHE"] = tempfile.mkdtemp(prefix="proactive-env-tests-")
os.environ.pop("PROACTIVEVIDEOQA_ROOT", None)

ROOT = Path(__file__).resolve().parent.parent
REAL_DATA = Path(os.environ.get("PROACTIVE_ENV_REAL_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture
def real_data() -> Path:
    """A folder with real videos: `proactivevideoqa/` in the benchmark's layout, and clips in `videos/`."""
    if not REAL_DATA.is_dir():
        pytest.skip("no real videos here: set PROACTIVE_ENV_REAL_DATA to a folder that holds some")
    return REAL_DATA


@pytest.fixture(scope="session")
def tinyworld():
    from proactive_env import datasets

    return datasets.load("tinyworld", size=4)
