"""Documents name what is there: modules, functions and files."""

import importlib
import re
from pathlib import Path

import pytest

import vlmgym
from parts.folders import ROOT

PACKAGES = [
    path.name for path in Path(vlmgym.__file__).parent.iterdir() if (path / "__init__.py").exists()
]


PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md")),
]


def dotted(page):
    """What a page writes as ``package.module.name``."""
    text = (ROOT / page).read_text(encoding="utf-8")
    pattern = rf"`(?:vlmgym\.)?((?:{'|'.join(PACKAGES)})\.[A-Za-z_][A-Za-z_0-9.]*?)(?:\(\))?`"
    return sorted(set(re.findall(pattern, text)))


def is_there(name):
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(("vlmgym", *parts[:length])))
        except ModuleNotFoundError as error:
            if not error.name.startswith("vlmgym"):
                return True  # a module that needs an extra
            continue
        for attribute in parts[length:]:
            found = getattr(found, attribute, None)
        return found is not None
    return False


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_names_is_there(page):
    assert [name for name in dotted(page) if not is_there(name)] == []


def test_the_walk_is_a_walk():
    assert len(dotted("docs/architecture.md")) > 25
    assert not is_there("train.grpo.no_such_function")


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_are_there(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:src|docs|tests|benchmarks|examples)/[\w./-]+)`", text))
    named |= set(re.findall(r"python ((?:benchmarks|examples|tools)/[\w./-]+\.py)", text))
    named |= {
        str((ROOT / page).parent.joinpath(link).resolve().relative_to(ROOT))
        for link in re.findall(r"\]\(([\w./-]+)\)", text)
    }
    within = rf"`((?:{'|'.join(PACKAGES)})/[\w./-]+\.py)`"  # of the package
    named |= {f"src/vlmgym/{name}" for name in re.findall(within, text)}
    missing = [name for name in sorted(named) if not (ROOT / name).exists() and "NAME" not in name]
    assert missing == []


def test_the_readme_has_a_line_for_every_package():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    tree = text.partition("## The files")[2].partition("```")[2].partition("```")[0]
    assert [name for name in PACKAGES if f"{name}/" not in tree] == []


def test_the_readme_counts_the_games():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (count,) = re.findall(r"^([0-9]+) games \(", text, re.MULTILINE)
    assert int(count) == len(vlmgym.GAMES), "the games in README.md, by hand"
