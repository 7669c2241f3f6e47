"""Every test runs on files of its own: the caches of the person who runs them are never touched."""

import os
import tempfile
from pathlib import Path

import pytest
from paths import ROOT

os.environ["PROACTIVE_ENV_CACHE"] = tempfile.mkdtemp(prefix="proactive-env-tests-")
os.environ.pop("PROACTIVEVIDEOQA_ROOT", None)

REAL_DATA = Path(os.environ.get("PROACTIVE_ENV_REAL_DATA", ROOT.parent / "shared" / "data"))


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(config, items):
    """For several workers: what runs Ray or vLLM goes to one of them, before all else; other files stay whole."""
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            group = "engines" if "vllm_url" in item.fixturenames else item.path.name
            item.add_marker(pytest.mark.xdist_group(group))
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.get_closest_marker("xdist_group").args != ("engines",))


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


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory):
    """A folder with the tiny Qwen2.5-VL."""
    from proactive_env.recipes.training.tiny import make_tiny

    folder = tmp_path_factory.mktemp("tiny") / "checkpoint"
    make_tiny(folder)
    return folder


@pytest.fixture(scope="session")
def talkative_checkpoint(tiny_checkpoint, tmp_path_factory):
    """A folder with a tiny Qwen2.5-VL whose random replies depend on the frames."""
    from vllm_server import make_talkative

    folder = tmp_path_factory.mktemp("talkative") / "checkpoint"
    make_talkative(tiny_checkpoint, folder)
    return folder


@pytest.fixture(scope="session")
def vllm_url(talkative_checkpoint, tmp_path_factory):
    """The base URL of a vLLM server with the talkative checkpoint, under the name `tiny`."""
    from vllm_server import vllm_server

    with vllm_server(talkative_checkpoint, tmp_path_factory.mktemp("vllm") / "server.log") as url:
        yield url


@pytest.fixture(scope="session")
def llava_checkpoint(tmp_path_factory):
    """A folder with a tiny model of another family."""
    from models import make_llava

    folder = tmp_path_factory.mktemp("llava")
    make_llava(folder)
    return folder


@pytest.fixture(scope="session")
def sixty_turns(tmp_path_factory):
    """Observations of 64 turns of one frame: the real VAD clip, or a made one where there is none."""
    from builders import episode, gold, write_video

    from proactive_env.environment import ProactiveVideoEnv

    video = REAL_DATA / "proactivevideoqa" / "VAD" / "videos" / "Explosion016_x264.mp4"
    if not video.is_file():
        video = write_video(tmp_path_factory.mktemp("video") / "made.mp4", seconds=32.1, rate=10, size=(320, 240))
    played = [episode(gold(6, 16), duration=32.1, video=video)]
    env = ProactiveVideoEnv(played, frame_interval=0.5, frames_per_turn=1, full_video=True)
    observation, info = env.reset(seed=0)
    observations = [observation]
    for _ in info["plan"].turns[1:]:
        observations.append(env.step("NO REPLY")[0])
    return observations
