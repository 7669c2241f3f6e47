"""Every Python example of the README and the docs runs as it stands, page by page; what they name is there."""

import importlib.util
import os
import re
import subprocess
import sys
import tomllib

import pytest
import typer
from paths import ROOT

import proactive_env
from proactive_env.recipes.cli import app
from proactive_env.recipes.training.grpo.config import GrpoConfig, PlayConfig
from proactive_env.recipes.training.grpo.prepare.flags import flags

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
ALL_TEXTS = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "examples" / "README.md"]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)")
MADE = {"examples.md", "reference/cli.md", "reference/configs.md"}
"""The pages that docs/hooks.py makes."""


@pytest.mark.parametrize("page", [page for page in PAGES if BLOCK.search(page.read_text())], ids=lambda page: page.stem)
def test_examples_run(page, tmp_path):
    (tmp_path / "page.py").write_text("\n".join(BLOCK.findall(page.read_text())))
    command = [sys.executable, "page.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("text", ALL_TEXTS, ids=lambda text: str(text.relative_to(ROOT)))
def test_links_lead_somewhere(text):
    """On GitHub, where no mkdocs checks them."""
    for link in LINK.findall(text.read_text()):
        target = (text.parent / link).resolve()
        made = target.is_relative_to(ROOT / "docs") and str(target.relative_to(ROOT / "docs")) in MADE
        assert made or target.exists(), link


@pytest.mark.parametrize("text", ALL_TEXTS, ids=lambda text: str(text.relative_to(ROOT)))
def test_what_no_index_has_is_not_installed_from_one(text):
    assert not re.search(r"pip install ['\"]?proactive-env", text.read_text())


@pytest.fixture(scope="module")
def hooks():
    spec = importlib.util.spec_from_file_location("docs_hooks", ROOT / "docs" / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_the_command_line_has_every_command(hooks):
    page = hooks.cli_page()
    group = typer.main.get_command(app)
    for name, command in group.commands.items():
        for path in [f"{name} {one}" for one in getattr(command, "commands", {})] or [name]:
            assert f"\n## proactive {path}\n" in page


def test_the_page_of_configs_has_every_key_and_preset(hooks):
    page = hooks.configs_page()
    for model, presets, _ in hooks.RECIPES.values():
        assert f"\n### {model.__name__}\n" in page
        assert all(f"| `{name}` |" in page for name in model.model_fields)
        assert all(f"`--config {file.stem}`" in page for file in (presets.glob("*.yaml") if presets else ()))


def test_names_in_other_trainers_are_those_of_the_configs_and_of_the_flags(tmp_path):
    """The first column has keys of GrpoConfig and PlayConfig, the second what `proactive grpo` hands to OpenRLHF."""
    everything = {
        "kl": 0.1,
        "importance_correction": True,
        "held_out": {"benchmark": "tinyworld"},
        "offload_adam": True,
    }
    config = GrpoConfig(model="m", train={"benchmark": "tinyworld"}, gradient_checkpointing=True, **everything)
    known = {word.removeprefix("--") for word in flags(config, tmp_path, most_images=1, cuda=True)}
    known |= {"train.num_episodes", "train.max_epochs"}  # left at OpenRLHF's 1
    keys = {*GrpoConfig.model_fields, *(f"play.{name}" for name in PlayConfig.model_fields)}
    rows = re.findall(r"^\| (`.*?|always 1) \| (.*?) \|", (ROOT / "docs/reference/other-trainers.md").read_text(), re.M)
    assert len(rows) > 25
    for ours, theirs in rows:
        assert {name.split(":")[0] for name in re.findall(r"`([^`]*)`", ours)} <= keys, ours
        assert {name.split()[0] for name in re.findall(r"`([^`]*\.[^`]*)`", theirs)} <= known, theirs


def test_one_version():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)[1]
    assert declared == cited == proactive_env.__version__
    assert f"\n## {declared}" in (ROOT / "CHANGELOG.md").read_text()
