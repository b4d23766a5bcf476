"""Traces: written whole or not at all, read with every field checked, and true in themselves."""

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from parts.commands import eval_words
from parts.folders import GOLDEN
from parts.mutate import deep_text, every_cut, json_mutations, mutations
from parts.trace_readers import HOW, TASK, readers
from vlmgym.cli import main
from vlmgym.core import VlmGymError, seeds_for
from vlmgym.episodes.records import Episode, EvaluationRun
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import TraceError, TraceWriter, load_trace, read_trace, repair
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.folders import places
from vlmgym.evals.leaderboards import leaderboard
from vlmgym.evals.reading import load
from vlmgym.evals.rescoring import rescore
from vlmgym.evals.settings import Evaluation
from vlmgym.games import GAMES, state_text
from vlmgym.players.base import Answer
from vlmgym.players.simple import Random, Scripted


def lines_of(name):
    return (GOLDEN / name / "trace.jsonl").read_bytes().splitlines(keepends=True)


def records_of(name):
    return [json.loads(line) for line in lines_of(name)]


def written(path, records):
    path.write_text(
        "".join(json.dumps(record) + "\n" for record in records),
        encoding="utf-8",
        errors="surrogatepass",
    )
    return path


@pytest.mark.parametrize("name", ["api", "human", "random", "scripted", "teacher"])
def test_traces_of_earlier_versions_are_read(tmp_path, name):
    trace = load_trace(GOLDEN / name / "trace.jsonl")
    assert len(trace.turns) == sum(one.turns for one in trace.episodes)
    assert trace.run.identity == ""
    assert [turn.load()[0].name for turn in trace.turns] == [trace.run.game] * len(trace.turns)
    if name != "human":
        assert len(leaderboard([GOLDEN / name], tmp_path)) == 1
        again = rescore(GOLDEN / name, tmp_path / "again")
        old = json.loads((GOLDEN / name / "summary.json").read_text())
        assert again["metrics"]["success"]["mean"] == old["metrics"]["success"]["mean"]
        assert again["rescored"]["left_out"] == 0


def test_what_an_earlier_version_began_is_not_mixed_with_a_player_it_did_not_record(tmp_path):
    shutil.copytree(GOLDEN / "random", tmp_path / "old")
    before = (tmp_path / "old/trace.jsonl").read_bytes()
    with pytest.raises(VlmGymError, match="earlier version, which did not record who played"):
        evaluate(Random(), TASK, HOW, tmp_path / "old", progress=False)
    assert (tmp_path / "old/trace.jsonl").read_bytes() == before


def test_an_evaluation_begun_with_other_faults_is_not_continued_but_read_and_rescored(tmp_path):
    old = tmp_path / "old"
    summary = evaluate(Random(), TASK, HOW, old, progress=False)
    assert summary["attribution"] == load_trace(old / "trace.jsonl").run.attribution == 2
    run, *lines = (old / "trace.jsonl").read_text().splitlines(keepends=True)
    before = run.replace(',"attribution":2', "") + "".join(lines[:-1])
    (old / "trace.jsonl").write_text(before)
    with pytest.raises(VlmGymError, match=r"tells other faults apart.*read and rescored") as error:
        evaluate(Random(), TASK, HOW, old, progress=False)
    assert "\n" not in str(error.value)
    assert (old / "trace.jsonl").read_text() == before
    (old / "summary.json").unlink()
    (evaluated,) = load([old])
    assert evaluated.metrics["fault_misread"].n == 0
    assert evaluated.metrics["fault_reasoning"].n > 0
    assert all(np.isnan(values["fault_misread"]) for values in evaluated.values.values())
    again = rescore(old, tmp_path / "again")
    assert again["metrics"]["fault_misread"]["n"] > 0
    assert load_trace(tmp_path / "again" / "trace.jsonl").run.attribution == 2
    evaluate(Random(), TASK, HOW, tmp_path / "again", progress=False)


@pytest.mark.parametrize("name", GAMES)
def test_the_score_of_an_episode_is_the_sum_of_its_gains_in_every_game(tmp_path, name):
    how = Evaluation(episodes=4, turns=6, oracle=False)
    evaluate(Random(), Task(game=name, level="tiny", look="tiny"), how, tmp_path, progress=False)
    assert len(load_trace(tmp_path / "trace.jsonl").episodes) == 4


@pytest.mark.parametrize(
    ("number", "field", "value"),
    [
        (1, "fault", "mine"), (1, "problem", ""), (-1, "end", "won"), (1, "seconds", float("nan")), (1, "seconds", -1),
        (1, "seconds", 10**400), (1, "seed", -1), (1, "seed", 2**64), (1, "episode", 1.5), (1, "episode", True), (1, "terms", {}),
        (1, "terms", {"game": 50.0, "format": 1.0, "perception": 1.0, "cells": 1.0, "regret": 0.0}), (1, "seen", [[1], [1, 2]]),
        (1, "seen", [["x"]]), (1, "usage", {"input_tokens": -5}), (1, "usage", {"cost": float("inf")}), (1, "reply", None),
        (1, "p_acc", 1), (1, "action", -2), (0, "about", {"a": float("nan")}), (0, "player", 5), (0, "schema", 9),
        (1, "gain", 0.5), (-1, "reward", float("inf")), (-1, "turns", "2"), (0, "evaluation", []), (1, "colour", "red"),
        (1, "kind", "tune"), (1, "oracle_value", float("-inf")), (0, "about", json.loads("[" * 60 + "]" * 60)),
    ],
)  # fmt: skip
def test_a_field_that_cannot_be_is_named_with_file_and_line(tmp_path, number, field, value):
    records = records_of("random")
    records[number][field] = value
    path = written(tmp_path / "t.jsonl", records)
    line = number + 1 if number >= 0 else len(records) + 1 + number
    with pytest.raises(TraceError, match=rf"t\.jsonl:{line}: not a trace record") as found:
        list(read_trace(path))
    assert field in str(found.value) or str(value) in str(found.value)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    "line",
    [
        b"1",
        b"null",
        b"[]",
        b'"x"',
        b"{}",
        b"\xff\xfe",
        b"{",
        deep_text(100_000).encode(),
        b'{"kind":["run"]}',
        b"NaN",
        b"9" * 5000,
    ],
)
def test_a_line_that_is_no_record_is_named(tmp_path, line):
    lines = lines_of("random")
    (tmp_path / "t.jsonl").write_bytes(b"".join([*lines[:2], line + b"\n", *lines[2:]]))
    with pytest.raises(TraceError, match=r"t\.jsonl:3: not a trace record"):
        load_trace(tmp_path / "t.jsonl")


def test_empty_and_short_traces(tmp_path):
    path = tmp_path / "trace.jsonl"
    for data, said in (
        (b"", "no run line"),
        (lines_of("random")[1], "no run line at the beginning"),
    ):
        path.write_bytes(data)
        with pytest.raises(TraceError, match=said):
            load_trace(path)
        with pytest.raises(TraceError):
            places([tmp_path])
    path.write_bytes(lines_of("random")[0])
    assert load_trace(path).turns == []
    with pytest.raises(TraceError, match="there is no such file"):
        load_trace(tmp_path / "none.jsonl")
    with pytest.raises(TraceError, match="cannot be read"):
        load_trace(tmp_path)


def falsehoods():
    """What contradicts itself in a trace, by what is said of it."""

    def change(number, **values):
        records = records_of("random")
        records[number] |= values
        return records

    whole = records_of("random")
    turns = [i for i, one in enumerate(whole) if one["kind"] == "turn"]
    episodes = [i for i, one in enumerate(whole) if one["kind"] == "episode"]
    yield "is there twice", [*whole[: turns[0] + 1], whole[turns[0]], *whole[turns[0] + 1 :]]
    yield (
        "has 1 turns, the last of them is number 1",
        [one for i, one in enumerate(whole) if i != turns[0]],
    )
    yield (
        "is said to have 2 turns, and has 1",
        [one for i, one in enumerate(whole) if i != turns[2]],
    )
    yield "score of episode 0", change(episodes[0], score=10**9)
    yield "reward of episode 0", change(episodes[0], reward=999.0)
    yield (
        "reward of episode",
        change(
            turns[0], terms=whole[turns[0]]["terms"] | {"game": -whole[turns[0]]["terms"]["game"]}
        ),
    )
    yield "another seed than its turns", change(episodes[0], seed=5)
    yield "of several seeds", change(turns[0], seed=5)
    yield "repetition 1, of 1", change(episodes[0], repeat=1)
    yield (
        "one more than the 2",
        [*whole, whole[episodes[0]] | {"episode": 2, "turns": 0, "score": 0, "reward": 0.0}],
    )
    yield "ended before", [*whole, whole[episodes[0]] | {"end": "terminated"}]
    yield "second run line", [*whole, whole[0]]
    yield "is said to have 9 turns", change(episodes[0], turns=9)


@pytest.mark.parametrize(("said", "records"), falsehoods(), ids=[said for said, _ in falsehoods()])
def test_a_trace_that_contradicts_itself_is_refused(tmp_path, said, records):
    with pytest.raises(TraceError, match=said):
        load_trace(written(tmp_path / "trace.jsonl", records))


def test_a_failed_episode_may_be_tried_again_and_have_more_turns_than_it_failed_with(tmp_path):
    whole = records_of("random")
    failed = whole[-1] | {"turns": 1, "end": "failed", "reward": 0.0, "score": 0}
    turn = next(one for one in whole if one["kind"] == "turn" and one["episode"] == 1)
    failed |= {"reward": turn["terms"]["game"], "score": turn["gain"]}
    load_trace(written(tmp_path / "under way.jsonl", [*whole[:-1], failed]))
    trace = load_trace(written(tmp_path / "done.jsonl", [*whole[:-1], failed, whole[-1]]))
    assert [one.end for one in trace.episodes] == ["stopped", "stopped"]


def test_halves_of_characters_are_replaced_where_traces_are_read(tmp_path):
    records = records_of("random")
    records[1]["reply"], records[0]["about"] = "a\ud83d", {"x": ["\udc00"]}
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    trace = load_trace(path)
    assert trace.turns[0].reply == "a\ufffd"
    assert trace.run.about == {"x": ["\ufffd"]}


def test_every_cut_of_a_trace_is_read_up_to_its_last_whole_line_and_repaired(tmp_path):
    data, path = b"".join(lines_of("random")[:3]), tmp_path / "trace.jsonl"
    for part in [data, *every_cut(data)][::5]:
        path.write_bytes(part)
        whole = part.count(b"\n")
        assert len(list(read_trace(path))) == whole
        assert repair(path) == len(part) - part.rfind(b"\n") - 1
        assert path.read_bytes() == part[: part.rfind(b"\n") + 1]


def test_a_trace_that_another_program_wrote_goes_on(tmp_path):
    """Blanks between the values of a line say nothing; they are no sign of a foreign file."""
    whole = evaluate(Random(), TASK, HOW, tmp_path, progress=False)
    path = tmp_path / "trace.jsonl"
    kept = load_trace(path)
    (tmp_path / "summary.json").unlink()
    written(path, [json.loads(line) for line in path.read_text().splitlines()])
    assert evaluate(Random(), TASK, HOW, tmp_path, progress=False)["metrics"] == whole["metrics"]
    assert load_trace(path).turns == kept.turns


def test_a_trace_of_other_boards_measures_nothing_and_says_so(tmp_path, capsys):
    evaluate(Random(), TASK, HOW, tmp_path / "run", progress=False)
    records = [json.loads(line) for line in (tmp_path / "run/trace.jsonl").read_text().splitlines()]
    game = GAMES["Swap"]
    for record in records:
        if record["kind"] == "turn":
            record["state"] = state_text(
                game, game.reset("tiny", seeds_for("free", "other", "tiny", 1))
            )
    written(tmp_path / "run/trace.jsonl", records)
    assert main(["rescore", str(tmp_path / "run"), "--out", str(tmp_path / "again")]) == 1
    assert "or recorded on another board" in capsys.readouterr().out


FOREIGN = (
    *(b"my only copy", b"one line\nand half of another", b'{"a": 1}\n{"b"', b"\x00" * 10, b"{}"),
    *(b"  ", b" \n {", b'\n{"kind":"run",'),
)


@pytest.mark.parametrize("data", FOREIGN)
def test_files_of_others_are_never_touched(tmp_path, data):
    path = tmp_path / "trace.jsonl"
    path.write_bytes(data)
    for work in (
        lambda: repair(path),
        lambda: TraceWriter(path),
        lambda: evaluate(Random(), TASK, HOW, tmp_path, progress=False),
    ):
        with pytest.raises(TraceError, match="left as it is"):
            work()
        assert path.read_bytes() == data
    (tmp_path / "folder" / "trace.jsonl").mkdir(parents=True)
    with pytest.raises(TraceError, match="no file"):
        TraceWriter(tmp_path / "folder" / "trace.jsonl")


def test_a_write_that_fails_leaves_nothing_of_its_record(tmp_path, monkeypatch):
    """A disk that fills up in the middle of a line: the file is as before, and goes on whole when
    there is room again.
    """
    trace = load_trace(GOLDEN / "random" / "trace.jsonl")
    path, true_write = tmp_path / "trace.jsonl", os.write
    with TraceWriter(path) as writer:
        writer.write(trace.run, trace.turns[0])
        before = path.read_bytes()
        calls = []

        def write(file, data):
            calls.append(len(data))
            if len(calls) > 1:
                raise OSError(errno.ENOSPC, "No space left on device")
            return true_write(file, data[: len(data) // 2])

        monkeypatch.setattr(os, "write", write)
        with pytest.raises(OSError, match="No space left") as found:
            writer.write(trace.turns[1], trace.turns[2])
        assert found.value.filename == str(path)
        assert path.read_bytes() == before
        monkeypatch.undo()
        writer.write(trace.turns[1])
    assert len(list(read_trace(path))) == 3


@pytest.mark.parametrize("room", [100, 4000])
def test_a_full_disk_is_one_sentence_and_the_same_command_goes_on(tmp_path, room):
    words = eval_words(tmp_path / "out", episodes=3, turns=3)
    call = [sys.executable, "-m", "vlmgym", *words]

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    full = subprocess.run(call, preexec_fn=limit, capture_output=True, text=True, check=False)
    assert full.returncode == 2
    assert "Traceback" not in full.stderr
    assert full.stderr.splitlines()[-1].startswith("vlmgym eval: ")
    assert "File too large" in full.stderr
    trace = tmp_path / "out" / "trace.jsonl"
    assert not trace.exists() or trace.read_bytes()[-1:] in (b"", b"\n")
    kept = len(load_trace(trace).turns) if trace.exists() and trace.stat().st_size else 0
    assert main(words) == 0
    found = load_trace(trace)
    assert kept <= len(found.turns) == sum(one.turns for one in found.episodes)


def test_answers_with_numbers_that_are_none_are_never_written(tmp_path):
    with TraceWriter(tmp_path / "trace.jsonl") as writer, pytest.raises(ValueError, match="JSON"):
        writer.write(Episode(0, 0, 0, 0, float("nan"), "stopped"))
    assert (tmp_path / "trace.jsonl").read_bytes() == b""
    assert Answer("a\ud83d").text == "a\ufffd"


def test_a_turn_that_comes_twice_is_refused_and_nothing_is_counted_double(tmp_path):
    evaluate(Random(), TASK, HOW, tmp_path, progress=False)
    path = tmp_path / "trace.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], lines[1], *lines[2:]]))
    with pytest.raises(TraceError, match="turn 0 of episode 0 is there twice"):
        evaluate(Random(), TASK, HOW, tmp_path, progress=False)


def survived(folder, out):
    """Run all readers; returns how many went well.

    Anything but an error of ours in one line is a failure.
    """
    good = 0
    for read in readers(folder, out):
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        said = ""
        try:
            read()
            good += 1
        except VlmGymError as error:
            said = str(error)
        assert "\n" not in said
    return good


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    evaluate(Scripted("nothing"), TASK, HOW, folder, progress=False)
    return folder


def test_damaged_traces_end_in_sentences(tmp_path, sound):
    data, folder = (sound / "trace.jsonl").read_bytes(), tmp_path / "run"
    results = []
    for mutant in mutations(data, 120, 1):
        shutil.copytree(sound, folder, dirs_exist_ok=True)
        (folder / "trace.jsonl").write_bytes(mutant)
        results.append(survived(folder, tmp_path / "out"))
    assert 0 < sum(results) < 7 * len(results)


@pytest.mark.parametrize("file", ["trace.jsonl", "summary.json"])
def test_values_of_any_kind_in_any_place_end_in_sentences(tmp_path, sound, file):
    text = (sound / file).read_text()
    value = (
        [json.loads(line) for line in text.splitlines()]
        if file == "trace.jsonl"
        else json.loads(text)
    )
    folder, results = tmp_path / "run", []
    for mutant in json_mutations(value, 150, 2):
        shutil.copytree(sound, folder, dirs_exist_ok=True)
        try:
            lines = mutant if file == "trace.jsonl" and isinstance(mutant, list) else [mutant]
            (folder / file).write_text(
                "".join(json.dumps(one) + "\n" for one in lines), "utf-8", "surrogatepass"
            )
        except (RecursionError, ValueError):  # deeper, or longer, than Python writes
            continue
        results.append(survived(folder, tmp_path / "out"))
    assert 0 < sum(results) < 7 * len(results)


def test_an_unreadable_summary_counts_as_not_there(tmp_path, sound):
    for data in (b"", b"{", b"[]", b"\xff", b'{"identity": 5}', deep_text(100_000).encode()):
        folder = tmp_path / "run"
        shutil.copytree(sound, folder, dirs_exist_ok=True)
        (folder / "summary.json").write_bytes(data)
        evaluate(Scripted("nothing"), TASK, HOW, folder, progress=False)
        assert json.loads((folder / "summary.json").read_text()) == json.loads(
            (sound / "summary.json").read_text()
        )


def test_a_run_line_of_another_version_is_told_by_its_schema(tmp_path):
    path = tmp_path / "trace.jsonl"
    with TraceWriter(path) as writer:
        writer.write(replace(EvaluationRun("p", "2048", "tiny", "tiny"), schema=2))
    with pytest.raises(TraceError, match="schema 2, this version reads 1"):
        load_trace(path)


def test_a_folder_with_an_evaluation_of_its_own_and_a_run_counts_each_once(tmp_path, capsys):
    """One player first, two in the same folder later: three evaluations, and as many rows, in
    whatever way they are named.
    """
    words = [
        "eval",
        "--game",
        "2048",
        "--level",
        "tiny",
        "--episodes",
        "2",
        "--turns",
        "2",
        "--out",
        str(tmp_path),
    ]
    assert main([*words, "--player", "random"]) == 0
    assert main([*words, "--player", "random", "--player", "oracle"]) == 0
    rows = (tmp_path / "leaderboard.csv").read_text().splitlines()[1:]
    assert len({row.partition(",")[0] for row in rows}) == len(rows) == 3
    folders = [tmp_path, *tmp_path.glob("eval/*/*"), tmp_path]
    assert [place.player for place in places(folders)] == [
        place.player for place in places([tmp_path])
    ]
    capsys.readouterr()
