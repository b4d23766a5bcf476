# Two commands matter: `make demo` (the whole story on two CPU cores) and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DONE   := $(VENV)/.installed

# torchvision lies apart, for the tests of architectures whose processors need it: PyPI's wheel breaks imports beside a CPU torch.
.PHONY: setup lock test test-inspect test-verl test-survival test-fuzz lint demo bench browser docs clean
PIP := pip install --quiet --disable-pip-version-check

setup: $(DONE)

# All but PyTorch comes with its hashes (requirements.lock, written from constraints.txt by `make lock`).
$(DONE): pyproject.toml constraints.txt requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/$(PIP) --no-deps --require-hashes --requirement requirements.lock
	$(BIN)/$(PIP) --no-deps --constraint constraints.txt torch
	$(BIN)/$(PIP) --no-deps --no-build-isolation --editable .
	$(BIN)/$(PIP) --constraint constraints.txt --no-deps --target $(VENV)/torchvision torchvision
	$(BIN)/pip check
	touch $@

lock:  # after a change of constraints.txt
	$(BIN)/python tools/lock.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Some tests click in a real browser. VLMGYM_NO_BROWSER=1 leaves them out.
browser:
	@test "$$VLMGYM_NO_BROWSER" = 1 || command -v chromium || command -v chromium-browser || command -v google-chrome \
	  || (apt-get update -qq && apt-get install -y -qq chromium >/dev/null) \
	  || (echo "the browser tests need Chromium: install it, or set VLMGYM_NO_BROWSER=1 to leave them out" && false)

test: lint browser
	$(BIN)/vlmgym compile
	$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

test-inspect:  # the bridge to Inspect AI, whose packages do not go with those of training
	$(PYTHON) -m venv $(VENV)-inspect
	$(VENV)-inspect/bin/$(PIP) --constraint constraints-inspect.txt --editable '.[inspect]' pytest
	$(VENV)-inspect/bin/python -m pytest --noconftest -o addopts= tests/inspect

test-verl:  # the adapter to verl, whose packages do not go with those of training
	$(PYTHON) -m venv $(VENV)-verl
	$(VENV)-verl/bin/$(PIP) --constraint constraints-verl.txt torch
	$(VENV)-verl/bin/$(PIP) --constraint constraints-verl.txt --editable '.[verl]' pytest
	$(VENV)-verl/bin/$(PIP) --constraint constraints.txt --no-deps --target $(VENV)-verl/torchvision torchvision
	$(VENV)-verl/bin/python -m pytest -o addopts= --confcutdir tests/verl tests/verl

test-survival: setup  # runs killed at random moments, with one process and with two; some minutes
	$(BIN)/pytest -o addopts= -s -p no:cacheprovider tests/survival

test-fuzz: setup  # readers of what others wrote, with many damaged inputs; some minutes
	$(BIN)/python -m pytest -o addopts= -s tests/fuzz

docs: setup  # what is written from the classes
	$(BIN)/vlmgym gallery --out docs/games
	$(BIN)/python tools/tables.py

bench: setup  # BENCH="--only rules" for some rows
	$(BIN)/python benchmarks/bench.py --out runs/bench $(BENCH)

demo: setup
	$(BIN)/vlmgym demo --out runs/demo

clean:
	rm -rf $(VENV) runs build src/*.egg-info
