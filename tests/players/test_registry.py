"""Every player stands once, in one table; whatever names players follows from it."""

import json

import pytest

from parts.folders import DOCS
from vlmgym.cli import main
from vlmgym.core import ConfigError
from vlmgym.players import registry
from vlmgym.players.registry import (
    KINDS,
    PLAYERS,
    PlayerKind,
    is_heavy,
    make_player,
    named_players,
    table,
)
from vlmgym.players.simple import Scripted


def words(folder):
    """A word of every kind."""
    replies = folder / "replies.json"
    replies.write_text(json.dumps(["a", "b"]))
    details = {
        "scripted": f":{replies}",
        "local": ":tiny",
        "relay": ":tiny+tiny",
        "api": ":m",
        "anthropic": ":m",
    }
    return [word + details.get(word, "") for word in KINDS]


def test_every_word_of_the_table_makes_a_player_that_is_as_heavy_as_it_says(tmp_path):
    for word in words(tmp_path):
        player = make_player(word)
        assert player.heavy == is_heavy(word), word
        assert player.sees in ("picture", "state", "nothing"), word


def test_a_new_player_is_its_class_and_one_entry(monkeypatch):
    kind = PlayerKind("echo:TEXT", "says it", lambda asked: Scripted(asked.details), label=str)
    monkeypatch.setattr(registry, "KINDS", {**KINDS, "echo": kind})
    assert make_player("echo:hello").replies == "hello"
    assert not is_heavy("echo:hello")
    assert named_players(["echo:hello", "random"]) == {"hello": "echo:hello", "random": "random"}
    assert "| `echo:TEXT` | says it |" in table()


@pytest.mark.parametrize(
    "word",
    [
        "",
        ":",
        "nobody",
        "random:1",
        "oracle:x",
        "local",
        "local:",
        "relay:tiny",
        "relay:tiny+",
        "relay:+tiny",
        "scripted:",
        "api:",
        "anthropic",
    ],
)
def test_what_is_no_player_is_told_all_words(word):
    with pytest.raises(ConfigError) as error:
        make_player(word)
    assert str(error.value) == f"player = {word!r}: allowed is {PLAYERS}"
    assert ", ".join(kind.form for kind in KINDS.values()) == PLAYERS


def test_help_and_the_document_name_every_player(capsys):
    with pytest.raises(SystemExit):
        main(["eval", "--help"])
    shown = "".join(capsys.readouterr().out.split())
    assert PLAYERS.replace(" ", "") in shown
    assert table() in (DOCS / "evaluation.md").read_text(encoding="utf-8")
