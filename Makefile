# Everything runs in an environment of its own; `make demo` and `make test` build it where it is missing.
PYTHON ?= python3
VENV   ?= .venv
METHOD ?= sgdepth
SEED   ?= 1
OUT    ?= demo
PY     := $(VENV)/bin/python
# Numbers of the published code, and small recordings, lie beside the project where it is developed; a clone has none.
GOLDEN_DIR ?= ../shared/golden
NO_GOLDEN := $(if $(wildcard $(GOLDEN_DIR)),,--no-golden)
PYTEST := $(PY) -m pytest -n 2 --dist worksteal $(NO_GOLDEN)

# Processes of a test session read what one of them has compiled.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-long test-page bench bench-gpu docs docs-site clean

demo: $(VENV)/.installed
	$(PY) -m benchmarks.demo --method $(METHOD) --seed $(SEED) --out $(OUT)

test: $(VENV)/.installed-dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(if $(NO_GOLDEN),@echo "$(GOLDEN_DIR): no such folder; tests that compare with golden files are left out")
	$(PYTEST)

# Every fault of tests/reliability/ as often as it is promised, and files of every method.
test-long: $(VENV)/.installed-dev
	$(PYTEST) tests/reliability tests/test_export.py --full

# The page in a browser, with what it needs besides a Chromium; `make test` does the same where that is there already.
test-page: $(VENV)/.installed-dev
	$(PY) -c "import gradio, playwright" 2>/dev/null || \
		timeout 300 $(PY) -m pip install --disable-pip-version-check -q --retries 1 --timeout 20 gradio playwright
	$(PY) -m pytest -q -rs --no-golden tests/test_app.py

bench: $(VENV)/.installed
	$(PY) -m benchmarks $(if $(QUICK),--quick)

bench-gpu: $(VENV)/.installed
	$(PY) -m benchmarks --gpu

docs: $(VENV)/.installed
	$(PY) -m docs

# The documents as pages, in site/; a link that leads nowhere is an error.
docs-site: $(VENV)/.installed
	$(PY) -m mkdocs --version >/dev/null 2>&1 || $(PY) -m pip install --disable-pip-version-check -q mkdocs
	$(PY) -m mkdocs build --strict --quiet

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; pass PYTHON=...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.txt | $(VENV)/bin/python
	$(PY) -m pip install --disable-pip-version-check -q -r requirements.txt
	touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(PY) -m pip install --disable-pip-version-check -q -r requirements-dev.txt
	touch $@

clean:
	rm -rf $(VENV) $(OUT)
