# Two commands matter: `make demo` and `make test`. Both create what is missing.

PYTHON ?= python3
VENV := .venv
CATALOG ?= examples/grocery

.PHONY: demo test fast lint audit clean

demo: $(VENV)/.installed
	$(VENV)/bin/lookstream demo $(CATALOG)

test: $(VENV)/.installed
	$(VENV)/bin/pytest

fast: $(VENV)/.installed
	$(VENV)/bin/pytest -m "not slow"

lint: $(VENV)/.installed
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/ruff check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/bandit --quiet --recursive --configfile pyproject.toml lookstream stream models index workers

# Asks a service on the internet for known holes of what constraints.txt pins.
audit: $(VENV)/.installed
	$(VENV)/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

$(VENV)/.installed: pyproject.toml constraints.txt
	@echo "installing into $(VENV) (about 6 GB with torch, some minutes the first time)"
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --progress-bar on -c constraints.txt -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) .lookstream demo.html
