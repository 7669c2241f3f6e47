"""The package as people meet it: installed, imported from anywhere, light, documented with examples that run."""

import ast
import doctest
import importlib
import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

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
@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_a_distribution_holds_every_file_under_one_name(kind, tmp_path):
    """A wheel, made from the tree or from the sdist of it: the folders that are links in the tree are folders in it."""
    uv = [sys.executable, "-m", "uv"]
    build = [*uv, "build", "--quiet", "--no-build-isolation", "--out-dir", str(tmp_path)]
    subprocess.run([*build, *(["--wheel"] if kind == "wheel" else []), str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    subprocess.run([*uv, "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)], check=True)
    names = {path.name for path in site.iterdir() if path.is_dir() and "." not in path.name}
    assert names - {"bin"} == {"proactive_env"}
    assert files_below(site / "proactive_env") == files_below(ROOT / "proactive_env")
    files = python(WHERE, tmp_path, PYTHONPATH=str(site)).split()
    assert all(file.startswith(str(site)) for file in files)


def files_below(folder):
    """Every file of a package, links followed."""
    found = (Path(top) / name for top, _, names in os.walk(folder, followlinks=True) for name in names)
    return {str(file.relative_to(folder)) for file in found if "__pycache__" not in file.parts}


def test_editors_and_people_see_the_rooms():
    package = importlib.import_module("proactive_env")
    assert {"agents", "datasets", "rewards", "testing"} <= set(dir(package))
    for name in package.__all__:
        assert getattr(package, name) is not None


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


MAY_NOT_IMPORT = {
    "proactive_env": ("proactive_env.agents", "proactive_env.rewards", "proactive_env.recipes"),
    "rewards": ("proactive_env.agents", "proactive_env.recipes"),
    "agents": ("proactive_env.rewards", "proactive_env.recipes"),
    "recipes": ("proactive_env.recipes.cli", "proactive_env.testing"),
    "recipes/evaluate/rules": ("typer", "proactive_env.recipes.console"),
}
"""Imports point one way: recipes -> agents, rewards -> core. Programs are imported by nobody."""
LOOKS_UP = {"proactive_env/testing.py", "proactive_env/__init__.py"}
"""Testing checks everything; the package shows its rooms to editors."""


def imported(file):
    """The modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{name.name}" for name in node.names)


@pytest.mark.parametrize("room", MAY_NOT_IMPORT)
def test_imports_point_one_way(room):
    files = [file for file in (ROOT / room).rglob("*.py") if str(file.relative_to(ROOT)) not in LOOKS_UP]
    assert files
    offenders = [
        (str(file), module)
        for file in files
        if not (room == "recipes" and file.is_relative_to(ROOT / "recipes" / "cli"))
        for module in imported(file)
        if module.startswith(tuple(f"{banned}." for banned in MAY_NOT_IMPORT[room])) or module in MAY_NOT_IMPORT[room]
    ]
    assert offenders == []
