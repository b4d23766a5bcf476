"""What traces become: a Parquet table, data sets that trainers read, films."""

import numpy as np
import pytest
from PIL import Image

from vlmgym.cli import main
from vlmgym.core import ConfigError
from vlmgym.episodes.records import EvaluationRun
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import TraceWriter, load_trace
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.settings import Evaluation
from vlmgym.evals.turns_table import turns_table
from vlmgym.players.simple import Scripted
from vlmgym.players.teacher import Teacher
from vlmgym.render.frames import pictures
from vlmgym.report.video import video
from vlmgym.train.export import export_grpo, export_sft


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("export")
    for game in ("2048", "Swap"):
        task = Task(game=game, level="tiny", look="tiny", prompt="brief")
        evaluate(
            Teacher(0.4),
            task,
            Evaluation(episodes=6, turns=4),
            out / "eval" / "teacher" / game,
            progress=False,
        )
    return out


def traces(run):
    return sorted(run.glob("eval/*/*/trace.jsonl"))


def test_the_table_holds_every_turn_and_value(run, tmp_path, capsys):
    import pandas as pd

    assert main(["export", "turns", str(run), "--out", str(tmp_path / "t.parquet")]) == 0
    table = pd.read_parquet(tmp_path / "t.parquet")
    turns = [
        (load_trace(path).run, turn) for path in traces(run) for turn in load_trace(path).turns
    ]
    assert len(table) == len(turns)
    for (_, row), (about, turn) in zip(table.iterrows(), turns, strict=True):
        assert (row.player, row.game, row.episode, row.turn, row.seed) == (
            "teacher",
            about.game,
            turn.episode,
            turn.turn,
            turn.seed,
        )
        assert (row.reply, row.fault, row.action, row.p_acc) == (
            turn.reply,
            turn.fault,
            turn.action,
            turn.p_acc,
        )
        assert [list(cells) for cells in row.seen] == turn.seen
        assert row.term_regret == turn.terms["regret"]
    assert set(table.end) <= {"stopped", "terminated", "truncated"}
    with TraceWriter(tmp_path / "empty.jsonl") as writer:
        writer.write(EvaluationRun("p", "2048", "easy", "clean"))
    with pytest.raises(ConfigError, match="traces"):
        turns_table([tmp_path / "empty.jsonl"], tmp_path / "none.parquet")


def test_what_is_kept_for_sft(run, tmp_path):
    from datasets import load_from_disk

    turns = [turn for path in traces(run) for turn in load_trace(path).turns]
    good = [turn for turn in turns if turn.fault == "none" and turn.terms["format"]]
    assert 0 < len(good) < len(turns)
    found = load_from_disk(str(export_sft(traces(run), tmp_path / "good")))
    assert [row["completion"][0]["content"][0]["text"] for row in found] == [
        turn.reply for turn in good
    ]
    game, state = good[0].load()
    assert (np.array(found[0]["image"]) == np.array(pictures(game, state, "tiny")[0])).all()
    assert [part["type"] for part in found[0]["prompt"][0]["content"]] == ["image", "text"]
    assert len(load_from_disk(str(export_sft(traces(run), tmp_path / "all", "all")))) == len(turns)
    with pytest.raises(ConfigError, match="only"):
        export_sft(traces(run), tmp_path / "x", "best")
    with pytest.raises(ConfigError, match="out"):
        export_sft(traces(run), tmp_path / "good")


def test_trainers_read_the_data_sets(run, tmp_path):
    """One step of TRL's own SFTTrainer and GRPOTrainer, given nothing but the data set and the
    model.
    """
    import torch
    from datasets import load_from_disk
    from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

    from vlmgym.models.loading import load

    torch.set_num_threads(1)
    model, processor = load("tiny")
    common = {
        "per_device_train_batch_size": 4,
        "max_steps": 1,
        "report_to": [],
        "use_cpu": True,
        "save_strategy": "no",
        "bf16": False,
    }
    sft = load_from_disk(str(export_sft(traces(run), tmp_path / "sft"))).select_columns(
        ["prompt", "completion", "image"]
    )
    before = model.get_input_embeddings().weight.detach().clone()
    config = SFTConfig(str(tmp_path / "a"), max_length=None, learning_rate=1e-3, **common)
    SFTTrainer(model=model, args=config, train_dataset=sft, processing_class=processor).train()
    assert not torch.equal(before, model.get_input_embeddings().weight)
    states = load_from_disk(str(export_grpo(traces(run), tmp_path / "grpo")))
    assert len(set(states["state"])) == len(states)
    seen = []

    def reward(completions, state, **_):
        seen.extend(state)
        return [float(len(str(one))) for one in completions]

    config = GRPOConfig(
        str(tmp_path / "b"),
        num_generations=4,
        max_completion_length=8,
        learning_rate=1e-4,
        **common,
    )
    GRPOTrainer(
        model=model,
        reward_funcs=reward,
        args=config,
        train_dataset=states,
        processing_class=processor,
    ).train()
    assert set(seen) <= set(states["state"])
    assert len(seen) == 4


@pytest.mark.parametrize("name", ["film.mp4", "film.gif"])
def test_films_show_every_turn_and_the_end(run, tmp_path, name):
    folder = run / "eval" / "teacher" / "Swap"
    assert main(["video", str(folder), "--episode", "1", "--out", str(tmp_path / name)]) == 0
    turns = sum(turn.episode == 1 for turn in load_trace(folder / "trace.jsonl").turns)
    if name.endswith("gif"):
        with Image.open(tmp_path / name) as film:
            assert film.n_frames == turns + 1
        return
    import imageio_ffmpeg

    frames = imageio_ffmpeg.read_frames(str(tmp_path / name))
    about = next(frames)
    assert (about["codec"], about["pix_fmt"].partition("(")[0]) == ("h264", "yuv420p")
    assert about["duration"] == pytest.approx(2.0 * (turns + 1), abs=0.2)
    assert about["size"][0] % 2 == about["size"][1] % 2 == 0


def test_long_replies_are_cut_and_wrong_names_refused(tmp_path):
    task = Task(game="2048", level="tiny", look="tiny")
    long = (
        "<perception>"
        + "word " * 3000
        + "</perception><think>"
        + "x" * 5000
        + "</think><answer>1</answer>"
    )
    evaluate(Scripted(long), task, Evaluation(episodes=2, turns=1), tmp_path, progress=False)
    with Image.open(video(tmp_path / "trace.jsonl", 1, tmp_path / "a.gif")) as film:
        assert film.height == 540
    with pytest.raises(ConfigError, match=r"episode.*0, 1"):
        video(tmp_path / "trace.jsonl", 7, tmp_path / "a.gif")
    with pytest.raises(ConfigError, match=r"mp4 or .gif"):
        video(tmp_path / "trace.jsonl", 0, tmp_path / "a.avi")


def test_a_name_with_a_colon_is_a_file_and_no_address(run, tmp_path, monkeypatch):
    import pandas as pd
    from datasets import load_from_disk

    monkeypatch.chdir(tmp_path)
    assert main(["export", "turns", str(run), "--out", "os:abort"]) == 0
    assert len(pd.read_parquet(tmp_path / "os:abort")) > 0
    assert main(["export", "sft", str(run), "--out", "s3:rows"]) == 0
    assert len(load_from_disk(str(tmp_path / "s3:rows"))) > 0
