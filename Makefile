# Every target does its own set-up, in .venv, with pip alone; the first one that runs takes a few minutes and 2 GB.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest -q --timeout 600

.PHONY: quickstart test test-long test-devices test-devices-short test-browser test-ship test-all lint format setup clean

setup: $(STAMP)

$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v < (3, 14) else f"dsmobile needs Python 3.11 to 3.13, this is {v[0]}.{v[1]}: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[export,device,report,bench,dev]'
	touch $(STAMP)

quickstart: $(STAMP)
	$(BIN)/dsmobile quickstart --force

# What pip alone can test: what measures has the machine to itself, the rest runs in two processes.
QUICK    := not slow and not long and not devices and not browser and not ship
MEASURES := $(addprefix tests/benchmark/test_,bench_local.py bundle.py injected.py measure.py sustained.py) \
            tests/device_bench tests/devices/test_keeping.py tests/test_pipeline.py
test: $(STAMP) lint
	$(PYTEST) -m '$(QUICK)' -n 2 --dist loadfile $(foreach path,$(MEASURES),--ignore=$(path))
	$(PYTEST) -m '$(QUICK)' $(MEASURES)

# What pip alone can test and takes long: equality with every reference, weights of every kind, hostile files of every kind.
test-long: $(STAMP)
	$(PYTEST) -m 'long and not slow' -n 2 --dist loadfile

# A real sshd on loopback, ARM systems under QEMU with an sshd of their own, a whole emulated ARM machine: needs scripts/setup-system.
test-devices: $(STAMP)
	$(PYTEST) -m devices

test-devices-short: $(STAMP)
	$(PYTEST) -m 'devices and not slow'

# The report in headless Chromium (scripts/setup-system).
test-browser: $(STAMP)
	$(PYTEST) -m browser

# What is shipped, by those who take it: the Kotlin compiler, MediaPipe, TFLite Micro (pip, pinned and cached), LiteRT.js and MediaPipe Web in Chromium
# (npm, pinned and cached), packages of apps by the tools that Android has for them: needs scripts/setup-system.
test-ship: $(STAMP)
	$(PYTEST) -m ship

test-all: $(STAMP) lint
	$(PYTEST)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) dist build dsmobile-out dsmobile-quickstart
