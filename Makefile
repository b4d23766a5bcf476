# Two commands matter: `make demo` (the whole story on two CPU cores) and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DONE   := $(VENV)/.installed

# torchvision lies apart, for the tests of architectures whose processors need it: PyPI's wheel breaks imports beside a CPU torch.
.PHONY: setup test test-inspect test-verl test-survival lint demo bench browser docs clean

setup: $(DONE)

$(DONE): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[train,dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-deps --target $(VENV)/torchvision torchvision
	touch $@

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
	$(BIN)/pytest --numprocesses 2 --dist loadfile

test-inspect:  # the bridge to Inspect AI, whose packages do not go with those of training
	$(PYTHON) -m venv $(VENV)-inspect
	$(VENV)-inspect/bin/pip install --quiet --disable-pip-version-check --editable '.[inspect]' pytest
	$(VENV)-inspect/bin/python -m pytest --noconftest -o addopts= tests/inspect

test-verl:  # the adapter to verl, whose packages do not go with those of training
	$(PYTHON) -m venv $(VENV)-verl
	$(VENV)-verl/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(VENV)-verl/bin/pip install --quiet --disable-pip-version-check --editable '.[verl]' torch==$$($(VENV)-verl/bin/python -c "import torch; print(torch.__version__.split('+')[0])") pytest
	$(VENV)-verl/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-deps --target $(VENV)-verl/torchvision torchvision
	$(VENV)-verl/bin/python -m pytest -o addopts= --confcutdir tests/verl tests/verl

test-survival: setup  # runs killed at random moments, with one process and with two; some minutes
	$(BIN)/pytest -o addopts= -s -p no:cacheprovider tests/survival

docs: setup
	$(BIN)/vlmgym gallery --out docs/games

bench: setup
	$(BIN)/vlmgym bench --out runs/bench

demo: setup
	$(BIN)/vlmgym demo --out runs/demo

clean:
	rm -rf $(VENV) runs build src/*.egg-info
