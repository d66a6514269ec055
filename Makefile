# The two commands a newcomer needs are `make demo` and `make test`; README.md says the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install -q

.PHONY: demo test test-fast test-long readme check format bench requirements clean

demo: $(VENV)/.demo
	$(BIN)/otpservice demo $(ARGS)

test: $(VENV)/.dev
	$(BIN)/python -m pytest $(ARGS)

# What starts no process of its own: under a minute.
test-fast: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not slow and not process" $(ARGS)

# The same tests with ten times the examples, and those that repeat races: half an hour.
test-long: $(VENV)/.dev
	$(BIN)/python -m pytest -p tests.long --hypothesis-profile=long -m "slow or not slow" $(ARGS)

# Puts what the commands of README.md print now into it; make test holds it to that.
readme: $(VENV)/.dev
	RENEW=1 $(BIN)/python -m pytest tests/e2e/test_readme_commands.py

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# bench/README.md says what it measures. ARGS=--quick makes fewer requests.
bench: $(VENV)/.bench
	$(BIN)/python -m bench $(ARGS)

# The newest versions that setup.cfg allows, with their hashes, for deploy/Dockerfile.
PINNED := --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate \
	--custom-compile-command "make requirements"
requirements: $(VENV)/bin/python
	$(PIP) uv
	$(BIN)/uv pip compile $(PINNED) setup.cfg -o deploy/requirements.txt >/dev/null
	echo setuptools | $(BIN)/uv pip compile $(PINNED) - -o deploy/requirements-build.txt >/dev/null

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("otpservice needs Python 3.11 or newer: make PYTHON=python3.11") if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(VENV)/bin/python setup.cfg
	$(PIP) -e '.[demo]'
	touch $@

$(VENV)/.dev: $(VENV)/bin/python setup.cfg
	$(PIP) -e '.[demo,test,check]'
	touch $@

$(VENV)/.bench: $(VENV)/bin/python setup.cfg
	$(PIP) -e '.[bench]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache
