"""Settings files: whatever lies in them, there is a value or one sentence that says where it is wrong."""

import math
import os
import re
import time
from pathlib import Path

import pytest
import yaml

from parts.settings_files import BUNDLED, PRICES, ROOT, fuzz_settings, said
from vlmgym.cli import main
from vlmgym.core import ConfigError, VlmGymError
from vlmgym.core.config import (
    FOLDERS,
    find,
    read_file,
    read_prices,
    read_settings,
    read_value,
    read_yaml,
)
from vlmgym.core.files import FileError


def test_damaged_settings_give_a_value_or_one_sentence(tmp_path):
    for name, (tried, wrong) in fuzz_settings(120, 1, tmp_path).items():
        assert (tried, wrong) == (120, 0), name


def with_numbers(value):
    """What PyYAML read, with 1e-6 a number, as it is in YAML 1.2."""
    if isinstance(value, dict):
        return {key: with_numbers(one) for key, one in value.items()}
    if isinstance(value, list):
        return [with_numbers(one) for one in value]
    return (
        float(value)
        if isinstance(value, str) and re.fullmatch(r"[0-9.]+e-?[0-9]+", value)
        else value
    )


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_bundled_files_mean_what_yaml_says(path):
    assert read_settings(path) == with_numbers(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize(
    ("text", "where", "reason"),
    [
        ("a: 1\nb: [", "line 2, column 5", "end"),
        ("a:\n\tb: 1", "line 2, column 1", r"'\\t'"),
        ("a: 1\na: 2", "line 2, column 1", "comes twice"),
        ("a: &x [1]\nb: *x", "line 2, column 4", "aliases"),
        ("a: {b: 1}\n<<: {c: 2}", "line 2, column 1", "merge keys"),
        ("a: 1e400", "line 1, column 4", "no number"),
        ("a: .nan", "line 1, column 4", "no number"),
        ("a: -.inf", "line 1, column 4", "no number"),
        ("a: " + "9" * 400, "line 1, column 4", "no number"),
        ("a: " + "9" * 5000, "line 1, column 4", "no number"),
        ("a: !!python/name:os.abort", "line 1, column 4", "tags"),
        ("a: !!float x", "line 1, column 4", "tags"),
        ("[" * 100_000, "line 1, column 34", "levels"),
        ("? [a]\n: 1", "line 1, column 3", "key"),
        ("a: 1\n---\nb: 2", "line 2, column 1", "document"),
        ("a:\n  \x01", "line 2, column 3", "special characters"),
        ('a: "\\ud83d"', "line 1, column 4", "half a character"),
        ('a: "\\U99999999"', "", "no readable YAML"),
    ],
)
def test_yaml_that_is_none_is_said_with_its_line_and_column(text, where, reason):
    with pytest.raises(FileError, match=reason) as error:
        read_yaml(text, "some.yaml")
    assert str(error.value).startswith(f"some.yaml, {where}" if where else "some.yaml")
    assert said(error.value)
    assert len(str(error.value)) < 300


def test_a_small_file_that_grows_without_end_is_refused_at_once(tmp_path, capsys):
    lines = ["a0: &x0 [lol, lol]"] + [
        f"a{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]" for n in range(1, 12)
    ]
    (tmp_path / "laughs.yaml").write_text("\n".join(lines))
    for n in range(20):  # each names the one before twice
        (tmp_path / f"{n}.yaml").write_text(
            f"base: [{n - 1}.yaml, ./{n - 1}.yaml]\n" if n else "model: tiny\n"
        )
    begin = time.process_time()
    assert (
        main(
            [
                "eval",
                "--player",
                "random",
                "--protocol",
                str(tmp_path / "laughs.yaml"),
                "--out",
                str(tmp_path / "o"),
            ]
        )
        == 2
    )
    assert "aliases" in capsys.readouterr().err
    assert read_file("recipe", tmp_path / "19.yaml") == {"model": "tiny"}
    assert time.process_time() - begin < 5


def test_values_are_what_is_written():
    assert read_yaml("a: 1e-6") == {"a": 1e-6}
    assert read_yaml("[1., .5, -2e3, +7, 010, 0.0]") == [1.0, 0.5, -2000.0, 7, 10, 0.0]
    assert read_yaml("[1:30, 2024-01-01, 1_000, 0x1F, =]") == [
        "1:30",
        "2024-01-01",
        "1_000",
        "0x1F",
        "=",
    ]
    assert read_yaml("{2048: a, true: b, null: c, 1.50: d}") == {
        "2048": "a",
        "true": "b",
        "null": "c",
        "1.50": "d",
    }
    assert read_yaml('{"a": "\\ud83d\\ude00", "b": [null, true, "é"]}') == {
        "a": "😀",
        "b": [None, True, "é"],
    }, "JSON is YAML"
    assert read_yaml("") is None


def test_a_byte_order_mark_is_no_part_of_the_settings(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfmodel: tiny\n")
    assert read_settings(tmp_path / "a.yaml") == {"model": "tiny"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("model: tiny".encode("utf-16"), "UTF-16, allowed is UTF-8"),
        (b"model: \xff", "no text in UTF-8 (byte 7)"),
        (b"# " + b"x" * 1_000_000, "larger than"),
        (b"", "a YAML mapping"),
        (b"[1]", "a YAML mapping"),
    ],
)
def test_every_command_says_what_is_wrong_with_a_settings_file(tmp_path, capsys, content, reason):
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    commands = {
        "train": ["train", str(path), "--out", str(tmp_path / "o")],
        "plan": ["plan", str(path)],
        "eval": [
            "eval",
            "--player",
            "random",
            "--protocol",
            str(path),
            "--out",
            str(tmp_path / "o"),
        ],
        "prices": [
            "eval",
            "--player",
            "random",
            "--game",
            "Swap",
            "--prices",
            str(path),
            "--out",
            str(tmp_path / "o"),
        ],
        "study": ["reproduce", "--study", str(path), "--list", "--out", str(tmp_path / "o")],
    }
    for name, call in commands.items():
        assert main(call) == 2, name
        text = capsys.readouterr().err
        assert str(path) in text
        assert name == "prices" or reason in text
        assert text.count("\n") == 1
    assert not (tmp_path / "o").exists(), "nothing is written"


def test_what_is_no_file_is_said(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    for name in ("pipe.yaml", "folder.yaml", "loop.yaml", "none.yaml", "x" * 300, "a\0b"):
        with pytest.raises(VlmGymError):
            read_settings(tmp_path / name)
        for kind in FOLDERS:
            with pytest.raises(ConfigError, match="a file, or one of"):
                find(kind, str(tmp_path / name))
    for name in ("/dev/zero", "/dev/null"):
        with pytest.raises(FileError, match="a pipe or device"):
            read_settings(Path(name))


def test_bundled_files_are_found_by_their_names_alone():
    assert find("recipe", "tiny/g0") == ROOT / "recipes/tiny/g0.yaml"
    assert find("protocol", "quick") == ROOT / "protocols/quick.yaml"
    with pytest.raises(ConfigError, match=r"one of .*tiny/g0"):
        find("recipe", "../protocols/quick")


@pytest.mark.parametrize(
    "text",
    [
        "grpo.lr=[",
        "grpo.lr",
        "=5",
        "tasks.²=1",
        "tasks.9.level=easy",
        "tasks." + "9" * 5000 + "=1",
        "a=*b",
        "a=.inf",
        "a" * 2 + ".a" * 5000 + "=1",
    ],
)
def test_an_override_that_cannot_be_is_one_sentence(text, tmp_path, capsys):
    assert main(["train", "tiny/g0", "--set", text, "--out", str(tmp_path / "o")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("option", ["--sampling", "--api"])
def test_fields_of_a_command_line_are_read_alike(option, tmp_path, capsys):
    for text in ("a=[", "a", "a=.nan"):
        assert (
            main(
                [
                    "eval",
                    "--player",
                    "random",
                    "--game",
                    "Swap",
                    option,
                    text,
                    "--out",
                    str(tmp_path / "o"),
                ]
            )
            == 2
        )
        assert option in capsys.readouterr().err
    assert read_value("--x", "a.b=1e-3") == 1e-3


@pytest.mark.parametrize(
    "text",
    [
        "m: 5",
        "m: [1]",
        "m: {input: -1}",
        "m: {input: true}",
        "m: {other: 1}",
        "m: {input: '1'}",
        "[1]",
        "m: {input: .inf}",
        "m: {input: 1e400}",
        "m: {input: .nan}",
    ],
)
def test_prices_are_finite_numbers_from_0_on(text, tmp_path):
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(VlmGymError):
        read_prices(tmp_path / "p.yaml")
    (tmp_path / "p.yaml").write_bytes(PRICES)
    assert read_prices(tmp_path / "p.yaml")["other/model"] == {"input": 0.1, "output": 0.1}
    assert math.isfinite(read_prices(tmp_path / "p.yaml")["gpt-large"]["output"])
