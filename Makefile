# Two commands: `make demo` and `make test`. Both install what they need into .venv first.
PYTHON ?= python3
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
ifeq ($(strip $(UV_FIND_LINKS)),)
unexport UV_FIND_LINKS
endif
UV = VIRTUAL_ENV=.venv .venv/bin/uv pip install --quiet
# Where no folder of wheels offers the CPU build of torch, PyTorch's own index does.
TORCH_INDEX = $(if $(UV_FIND_LINKS),,--torch-backend cpu)

.PHONY: setup demo test

setup: .venv/installed .venv/browser

.venv/installed: pyproject.toml $(wildcard requirements/*)
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet uv
	$(UV) --editable ".[hub,openai,scenes,sft]" --group dev -r requirements/cpu.txt --overrides requirements/cpu-overrides.txt $(TORCH_INDEX)
	cp requirements/torchvision_on_cpu.* $$(.venv/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")
	touch $@

# The tests open pages in a browser: one that is there, or Debian's where apt may install it, or Playwright's own.
.venv/browser: .venv/installed
	command -v chromium || command -v chromium-browser || command -v google-chrome \
	|| { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq chromium; } \
	|| .venv/bin/playwright install chromium \
	|| echo "No browser could be installed: the tests of proactive show will fail."
	touch $@

demo: setup
	.venv/bin/proactive demo

test: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy -p proactive_env
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --quiet --strict --site-dir build/site
	OMP_NUM_THREADS=1 .venv/bin/pytest -n 2 --dist loadgroup --no-loadscope-reorder
