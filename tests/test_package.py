"""The package as people meet it: installed, imported from anywhere, light, documented with examples that run."""

import doctest
import importlib
import json
import os
import pkgutil
import subprocess
import sys

import pytest
from conftest import ROOT

WHERE = (
    "import proactive_env as p, proactive_env.agents as a, proactive_env.rewards.pauc as r;"
    "print(p.__file__, a.__file__, r.__file__)"
)


def python(code, cwd, **env):
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize("inside", [True, False], ids=["from the root", "from elsewhere"])
def test_editable_install_imports_the_checkout(inside, tmp_path):
    files = python(WHERE, ROOT if inside else tmp_path).split()
    assert files == [
        str(ROOT / "proactive_env" / path) for path in ("__init__.py", "agents/__init__.py", "rewards/pauc.py")
    ]


@pytest.mark.xdist_group("engines")  # where the cluster's test builds a wheel, too
def test_a_wheel_imports_in_an_empty_folder_under_one_name(tmp_path):
    command = [
        sys.executable,
        "-m",
        "uv",
        "build",
        "--wheel",
        "--quiet",
        "--no-build-isolation",
        "-o",
        str(tmp_path),
        str(ROOT),
    ]
    subprocess.run(command, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)],
        check=True,
    )
    assert {path.name for path in site.iterdir() if path.is_dir() and "." not in path.name} - {"bin"} == {
        "proactive_env"
    }
    files = python(WHERE, tmp_path, PYTHONPATH=str(site)).split()
    assert all(file.startswith(str(site)) for file in files)
    assert (site / "proactive_env" / "py.typed").exists()


def test_the_core_imports_nothing_heavy(tmp_path):
    code = "import proactive_env, proactive_env.environment, sys, json; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(python(code, tmp_path))
    assert not {"torch", "transformers", "ray", "vllm", "openai", "typer"} & set(loaded)


def test_sibling_rooms_cannot_be_imported_by_their_folder_names(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text("import rewards\nfrom agents import base\nimport recipes.cli\n")
    command = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--config",
        str(ROOT / "pyproject.toml"),
        "--select",
        "TID251",
        str(bad),
    ]
    found = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    assert found.count("TID251") == 3


def modules():
    package = importlib.import_module("proactive_env")
    return [package.__name__, *(found.name for found in pkgutil.walk_packages(package.__path__, "proactive_env."))]


@pytest.mark.parametrize("name", modules())
def test_examples_in_docstrings_run(name):
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} must open with its policy"
    assert doctest.testmod(module).failed == 0


def test_imports_point_one_way():
    """Recipes import agents, rewards and core; agents and rewards import core; core imports neither."""
    core = [path for path in (ROOT / "proactive_env").rglob("*.py") if path.name != "testing.py"]
    offenders = [
        str(path)
        for folder, banned in (
            (core, ("agents", "rewards", "recipes")),
            ((ROOT / "rewards").rglob("*.py"), ("agents", "recipes")),
            ((ROOT / "agents").rglob("*.py"), ("rewards", "recipes")),
        )
        for path in folder
        for line in path.read_text().splitlines()
        if line.startswith(tuple(f"{word} proactive_env.{name}" for word in ("from", "import") for name in banned))
    ]
    assert offenders == []
