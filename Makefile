# Two commands matter: `make demo` (the whole story on two CPU cores) and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DONE   := $(VENV)/.installed

# torchvision lies apart, for the tests of architectures whose processors need it: PyPI's wheel breaks imports beside a CPU torch.
.PHONY: setup test lint demo clean

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

test: lint
	$(BIN)/pytest

demo: setup
	$(BIN)/vlmgym demo --out runs/demo

clean:
	rm -rf $(VENV) runs build src/*.egg-info
