# Two commands: `make demo` and `make test`. Both install what they need into .venv first.
PYTHON ?= python3
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
ifeq ($(strip $(UV_FIND_LINKS)),)
unexport UV_FIND_LINKS
endif

.PHONY: setup demo test

setup: .venv/installed

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet uv
	VIRTUAL_ENV=.venv .venv/bin/uv pip install --quiet --editable ".[hub,openai,plot]" --group dev
	touch $@

demo: setup
	.venv/bin/proactive demo

test: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	rm -rf build
	VIRTUAL_ENV=.venv .venv/bin/uv pip install --quiet --no-deps --target build/typed .
	cd build && MYPYPATH=typed ../.venv/bin/mypy --config-file ../pyproject.toml -p proactive_env
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --quiet --strict --site-dir build/site
	.venv/bin/pytest
