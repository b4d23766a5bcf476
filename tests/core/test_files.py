"""Files that outlive a kill: whole or not there, one sentence for what is wrong, one process a
folder.
"""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import vlmgym
from vlmgym.core import ConfigError
from vlmgym.core.errors import one_line
from vlmgym.core.files import (
    BusyError,
    FileError,
    digest_of,
    only_process,
    read_json,
    read_json_lines,
    shown,
    whole_text,
    write_atomically,
    write_json,
)


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_json(path, {"a": 2})
    assert read_json(path) == {"a": 1}
    assert [one.name for one in tmp_path.iterdir()] == ["a.json"]


def test_what_is_no_regular_file_is_not_replaced(tmp_path):
    with pytest.raises(ConfigError, match="regular"):
        write_atomically(tmp_path, "x")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="regular"):
        write_atomically(tmp_path / "pipe", "x")


def test_many_that_write_one_file_at_once_all_succeed_and_it_is_whole(tmp_path):
    path, values = tmp_path / "a.json", [{"who": k, "long": "x" * 5000} for k in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(write_json, path, value) for value in values * 25]:
            done.result()
    assert read_json(path) in values
    assert [one.name for one in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1, {"a": -float("inf")}]])
def test_numbers_that_json_cannot_hold_are_not_written(tmp_path, value):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"\xff\xfe{", "UTF-8"),
        (b"[" * 100_000, "no JSON"),
        (b"[1]", "list"),
        (b"1", "int"),
    ],
)
def test_json_that_is_none_is_said_in_one_sentence_with_the_file(tmp_path, content, word):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(FileError, match=word) as error:
        read_json(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_json_with_a_byte_order_mark_is_read(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf{}")
    assert read_json(tmp_path / "a.json") == {}


def test_a_folder_is_held_by_one_process_and_the_other_is_told_by_which(tmp_path):
    code = "from pathlib import Path; from vlmgym.core.files import only_process\n"
    code += f"with only_process(Path({str(tmp_path)!r}), 'evaluates'): pass"
    with only_process(tmp_path, "evaluates"):
        other = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
    assert f"BusyError: {tmp_path}: process {os.getpid()} on" in other.stderr.replace(
        "vlmgym.core.files.", ""
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_same_process_does_not_hold_a_folder_twice(tmp_path):
    with (
        only_process(tmp_path, "evaluates"),
        pytest.raises(BusyError),
        only_process(tmp_path, "evaluates"),
    ):
        pass


def test_a_digest_is_of_content_and_names_not_of_place(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text("1")
    assert digest_of(tmp_path / "a") == digest_of(tmp_path / "b")
    (tmp_path / "b" / "x").rename(tmp_path / "b" / "y")
    assert digest_of(tmp_path / "a") != digest_of(tmp_path / "b")
    with pytest.raises(FileError, match="none"):
        digest_of(tmp_path / "none")


@pytest.mark.parametrize(
    ("text", "wanted"), [("a\ud83d", "a�"), ("\udc00b", "�b"), ("\U0001f600é", "\U0001f600é")]
)
def test_halves_of_characters_are_replaced_and_whole_ones_kept(text, wanted):
    assert whole_text(text) == wanted
    whole_text(text).encode()


def test_the_records_of_a_log_are_read_up_to_where_it_was_cut(tmp_path):
    path = tmp_path / "log.jsonl"
    assert read_json_lines(path) == []
    path.write_text('{"a": NaN, "b": "x\u2028y"}\n{"a": 2}\n{"a": ')
    first, second = read_json_lines(path)
    assert (first["b"], second) == ("x\u2028y", {"a": 2})
    for line, said in (("[1]", "line 2 holds a list"), ("{", "line 2 is no JSON")):
        path.write_text(f'{{"a": 1}}\n{line}\n')
        with pytest.raises(FileError, match=said):
            read_json_lines(path)


def test_one_rule_says_what_steers_a_terminal():
    for text in ("a\x1b[31m", "\u202eevil", "\ud83d", "a\r\nb", "\u2028", "\x7f", "\xa0"):
        assert shown(text) == one_line(text) != text
        assert shown(text).isprintable()
    assert shown("模型 é") == one_line("模型 é") == "模型 é"


def test_files_of_json_are_read_in_one_place():
    """A file that is read beside it would be a traceback where it is damaged."""
    source = Path(vlmgym.__file__).parent
    found = [
        path.name
        for path in source.rglob("*.py")
        if re.search(r"json\.loads?\([^\n]*read_text", path.read_text("utf-8"))
    ]
    assert found == []
