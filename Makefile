# Two commands matter: `make demo` and `make test`. Both create what is missing.

PYTHON ?= python3
VENV := .venv
CATALOG ?= examples/grocery
# Most of a test's time is waiting, so there are more processes than cores; `tests/sharing.py` says
# which tests go together. One thread each, or they would fight for the cores.
PROCESSES ?= 3
# Compiled modules are kept, whatever the environment says: each process of the tests, and each that
# they start, would compile all of them again.
export PYTHONDONTWRITEBYTECODE =
PYTEST := OMP_NUM_THREADS=1 $(VENV)/bin/pytest -n $(PROCESSES)
PIP := $(VENV)/bin/python -m pip install --quiet --progress-bar on -c constraints.txt

.PHONY: demo test fast lint docs audit clean

demo: $(VENV)/.serving
	$(VENV)/bin/lookstream demo $(CATALOG)

test: $(VENV)/.dev
	$(PYTEST)

fast: $(VENV)/.dev
	$(PYTEST) -m "not slow"

lint: $(VENV)/.dev
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/ruff check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/bandit --quiet --recursive --configfile pyproject.toml lookstream stream models index workers

# A link that leads nowhere is an error.
docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --strict --quiet

# Asks a service on the internet for known holes of what constraints.txt pins.
audit: $(VENV)/.dev
	$(VENV)/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

# What serving needs, and nothing else. Python compiles a module when it is first imported.
$(VENV)/.serving: pyproject.toml constraints.txt
	@echo "installing into $(VENV) (about 0.8 GB, a minute)"
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	test -e $(VENV)/.dev || $(PIP) --no-compile -e .
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt
	@echo "installing into $(VENV) (about 6 GB with torch, some minutes the first time)"
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -e ".[dev]"
	touch $@ $(VENV)/.serving

clean:
	rm -rf $(VENV) .lookstream build demo.html
