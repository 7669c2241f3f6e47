"""Every script of examples/ runs as it stands, and every notebook's cells in order, in an empty folder, offline."""

import json
import subprocess
import sys

import pytest
from paths import ROOT

EXAMPLES = ROOT / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
LONGEST = 40
"""Lines of a script: it shows one thing."""


def run(file, folder):
    done = subprocess.run([sys.executable, str(file)], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_scripts_run(script, tmp_path):
    assert len(script.read_text().splitlines()) <= LONGEST
    assert run(script, tmp_path), "it shows nothing"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_cells_run(notebook, tmp_path):
    cells = [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]
    (tmp_path / "cells.py").write_text("\n\n".join("".join(cell["source"]) for cell in cells))
    run("cells.py", tmp_path)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_notebooks_are_nbformat_4_and_hold_no_results(notebook):
    content = json.loads(notebook.read_text())
    assert (content["nbformat"], content["metadata"]["kernelspec"]["name"]) == (4, "python3")
    ids = [cell["id"] for cell in content["cells"]]
    assert len(set(ids)) == len(ids)
    for cell in content["cells"]:
        keys = {"cell_type", "id", "metadata", "source"}
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)
            keys |= {"outputs", "execution_count"}
        assert cell.keys() == keys


def test_the_list_names_every_example():
    listed = (EXAMPLES / "README.md").read_text()
    assert len(SCRIPTS) >= 10
    assert len(NOTEBOOKS) >= 2
    for example in (*SCRIPTS, *NOTEBOOKS):
        assert f"]({example.name})" in listed
