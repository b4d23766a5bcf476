"""Photographs: every source in its true format, two parts that share no picture, and evaluation
that sees the test part only.
"""

from __future__ import annotations

import hashlib
import http.server
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest

from parts.photographs import CIFAR, DIGITS, GAME, cifar_file, cifar_folder, class_folder, contents
from vlmgym import core
from vlmgym.episodes.task import Task
from vlmgym.evals.settings import Evaluation, starts
from vlmgym.render import render
from vlmgym.render.cifar import fetch_cifar10
from vlmgym.render.frames import tile_boxes
from vlmgym.render.looks import Look, get_look
from vlmgym.render.photos import photographs
from vlmgym.render.sources import PARTS, PhotoError, Photographs


@pytest.fixture(params=["digits", "archive", "unpacked", "folder", "folder with parts"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Photographs:
    if request.param == "digits":
        return photographs("auto", DIGITS)
    if request.param == "archive":
        return photographs("auto", CIFAR)
    if request.param == "unpacked":
        return photographs(str(cifar_folder(tmp_path / "cifar")), CIFAR)
    if request.param == "folder":
        return photographs(str(class_folder(tmp_path / "pets", ("cat", "dog"), 12)), ("cat", "dog"))
    for seed, part in enumerate(PARTS):
        class_folder(tmp_path / "parts" / part, ("cat", "dog"), 5, seed)
    return photographs(str(tmp_path / "parts"), ("cat", "dog"))


def test_the_parts_share_no_picture(source: Photographs) -> None:
    found = contents(source)
    train, test = set().union(*found["train"]), set().union(*found["test"])
    assert train
    assert test
    assert not train & test


def test_the_bundled_digits_are_those_of_scikit_learn() -> None:
    from sklearn import datasets

    true = datasets.load_digits()
    for digit in range(10):
        mine = sorted(
            (255 - np.asarray(photographs("auto", DIGITS).load(part, digit, n))).tobytes()
            for part in PARTS
            for n in range(photographs("auto", DIGITS).counts[part][digit])
        )
        assert mine == sorted(
            (image * 15).astype(np.uint8).tobytes() for image in true.images[true.target == digit]
        )


def test_cifar_pictures_are_those_of_the_file(tmp_path: Path) -> None:
    folder = cifar_folder(tmp_path / "cifar")
    found = photographs(str(folder), ("dog", "cat"))
    raw = np.frombuffer((folder / "test_batch.bin").read_bytes(), np.uint8).reshape(-1, 3073)
    dogs = raw[raw[:, 0] == 5, 1:]
    assert found.counts["test"] == (len(dogs), 6)
    picture = np.asarray(found.load("test", 0, 1))
    assert picture.shape == (32, 32, 3)
    assert (picture[3, 7] == dogs[1].reshape(3, 32, 32)[:, 3, 7]).all()


def test_copies_of_a_class_are_different_pictures(source: Photographs) -> None:
    rng = np.random.default_rng(0)
    least = min(min(source.counts[part]) for part in PARTS)
    for _ in range(50):
        test, kind, luck = (
            bool(rng.integers(2)),
            int(rng.integers(len(source.names))),
            int(rng.integers(1 << 20)),
        )
        copies = np.arange(min(least, 16))
        variants = (16 * luck + copies).astype(np.int32)
        numbers = source.choose(
            np.full(len(copies), test), np.full(len(copies), kind), variants, 10_000
        )
        assert len(set(numbers.tolist())) == len(copies)
        assert numbers.max() < source.counts[PARTS[test]][kind]


def test_all_pictures_come_up() -> None:
    found = photographs("auto", DIGITS)
    luck = (16 * np.arange(20_000)).astype(np.int32)
    numbers = found.choose(np.zeros(len(luck), bool), np.full(len(luck), 3), luck, 10_000)
    assert len(set(numbers.tolist())) == found.counts["train"][3]
    assert np.bincount(numbers).min() > 70  # 137 expected


def shown(split: str, look: Look, classes: str, count: int = 40) -> set[bytes]:
    """The tiles of many fresh games of a split, as they are drawn."""
    level = GAME.level("normal", classes=classes)
    state = GAME.reset(level, core.seeds_for(split, GAME.name, "normal", count))
    frames = render(GAME, state, look)
    boxes = tile_boxes(GAME, level, look).reshape(-1, 4)
    return {frame[y0:y1, x0:x1].tobytes() for frame in frames for x0, y0, x1, y1 in boxes}


@pytest.mark.parametrize("classes", ["digits", "cifar10"])
def test_training_and_evaluation_show_different_photographs(classes: str) -> None:
    """Defect 9 of the published code: photographs of one split in training and evaluation."""
    look = Look(tile=32)
    train, test = shown("train", look, classes), shown("test", look, classes)
    assert not train & test
    for split in ("pretrain", "pilot"):
        assert shown(split, look, classes) & train, "all but the test split show the train part"
        assert not shown(split, look, classes) & test


def test_evaluation_uses_the_test_part_only() -> None:
    for start in ("reset", "walk"):
        task = Task(game=GAME.name, level="tiny", look="tiny", walk_max=5)
        state = starts(task, Evaluation(episodes=30, start=start))
        assert GAME.scene(state).test.all()
        assert GAME.scene(GAME.step(state, np.full(30, -1))[0]).test.all()
        assert not GAME.scene(task.states("train", 30)).test.any()
        assert not GAME.scene(task.states("pretrain", 30)).test.any()


def test_a_fresh_deal_within_an_episode_stays_in_its_part() -> None:
    level = GAME.level("tiny", restart=True, max_steps=0)
    state = GAME.reset(level, core.seeds_for("test", GAME.name, "tiny", 8))
    for _ in range(40):
        value = GAME.oracle(state)
        state, _ = GAME.step(state, np.nanargmax(value, axis=1))
        assert GAME.scene(state).test.all()
        assert ((state.photos > 0) | (state.board == 0)).all()


def test_four_tiles_of_a_class_show_four_photographs() -> None:
    level = GAME.level("normal")
    state = GAME.reset(level, core.seeds_for("train", GAME.name, "normal", 5))
    frames, boxes = (
        render(GAME, state, Look(tile=32)),
        tile_boxes(GAME, level, Look(tile=32)).reshape(-1, 4),
    )
    for row in range(5):
        for kind in np.unique(state.board[row]):
            places = np.flatnonzero(state.board[row].ravel() == kind)
            tiles = {frames[row][y0:y1, x0:x1].tobytes() for x0, y0, x1, y1 in boxes[places]}
            assert len(places) == 4
            assert len(tiles) == 4


def test_a_photograph_stays_where_it_is_until_it_is_matched() -> None:
    level = GAME.level("normal")
    state = GAME.reset(level, core.seeds_for("test", GAME.name, "normal", 3))
    after, _ = GAME.step(state, np.nanargmax(GAME.oracle(state), axis=1))
    stays = after.board > 0
    assert (after.board == state.board)[stays].all()
    look = get_look("photo")
    a, b = (
        render(GAME, state, get_look(look, noise=0)),
        render(GAME, after, get_look(look, noise=0)),
    )
    boxes = tile_boxes(GAME, level, look)
    for row, r, c in zip(*np.nonzero(stays), strict=True):
        x0, y0, x1, y1 = boxes[r, c]
        assert (a[row, y0:y1, x0:x1] == b[row, y0:y1, x0:x1]).all()


def test_variety_bounds_the_photographs_in_use() -> None:
    assert len(shown("train", Look(tile=16, variety=2), "digits")) <= 2 * 10
    assert len(shown("train", Look(tile=16), "digits")) > 300


def test_clear_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PhotoError, match="no such file or folder"):
        photographs(str(tmp_path / "nowhere"), CIFAR)
    with pytest.raises(PhotoError, match="need the path"):
        photographs("auto", ("cat", "dog"))
    folder = cifar_folder(tmp_path / "cifar")
    with pytest.raises(PhotoError, match="no class 'lion'"):
        photographs(str(folder), ("cat", "lion"))
    broken = tmp_path / "broken.tar.gz"
    broken.write_bytes(b"no archive")
    with pytest.raises(PhotoError, match="no readable archive"):
        photographs(str(broken), CIFAR)
    (folder / "test_batch.bin").write_bytes(b"x" * 5000)
    with pytest.raises(PhotoError, match="no multiple of 3073"):
        photographs(str(folder), CIFAR[::-1])
    (folder / "test_batch.bin").unlink()
    with pytest.raises(PhotoError, match=r"no test_batch\.bin"):
        photographs(str(folder), CIFAR[1:])
    cifar_file(folder / "test_batch.bin")
    data = bytearray((folder / "test_batch.bin").read_bytes())
    data[0] = 77
    (folder / "test_batch.bin").write_bytes(data)
    with pytest.raises(PhotoError, match="the label 77"):
        photographs(str(folder), CIFAR[2:])
    with tarfile.open(tmp_path / "python.tar.gz", "w:gz") as archive:
        archive.add(folder / "data_batch_1.bin", "data_batch_1")
    with pytest.raises(PhotoError, match="the binary version of CIFAR-10 is needed"):
        photographs(str(tmp_path / "python.tar.gz"), CIFAR)
    class_folder(tmp_path / "one", ("cat", "dog"), 1)
    with pytest.raises(PhotoError, match="no picture of the class 'cat' in the train part"):
        photographs(str(tmp_path / "one"), ("cat", "dog"))
    for part in PARTS:
        class_folder(tmp_path / "same" / part, ("cat",), 3)
    with pytest.raises(PhotoError, match="3 pictures of the class 'cat' are in train and in test"):
        photographs(str(tmp_path / "same"), ("cat",))
    monkeypatch.setenv("VLMGYM_DATA", str(tmp_path))
    with pytest.raises(PhotoError, match="run `vlmgym photos cifar10`"):
        photographs("auto", CIFAR)


def test_a_folder_of_class_folders_plays(tmp_path: Path) -> None:
    names = tuple(["owl", "fox", "bee", "ant"])
    root = class_folder(tmp_path / "zoo", names, 10)
    level = GAME.level("easy", classes=",".join(names))
    state = GAME.reset(level, core.seeds_for("test", GAME.name, "easy", 2))
    assert GAME.scene(state).names == ("empty", *names)
    frames = render(GAME, state, Look(photos=str(root), tile=24, gap=0))
    assert frames.shape == (2, 96, 96, 3)
    for bad in ("cat", "cat,cat,dog,bee", "cat,empty,dog,bee", "cat,,dog,bee", "a|b,c,d,e"):
        with pytest.raises(core.ConfigError, match=r"LevelShisenShoPhotos\.classes"):
            GAME.level("easy", classes=bad)


def test_download_is_checked(tmp_path: Path) -> None:
    payload = b"pretend archive" * 1000
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "cifar.tar.gz").write_bytes(payload)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(tmp_path / "web"))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/cifar.tar.gz"
    md5 = hashlib.md5(payload, usedforsecurity=False).hexdigest()
    with pytest.raises(PhotoError, match="nothing was kept"):
        fetch_cifar10(url, "0" * 32, tmp_path / "data", progress=False)
    assert list((tmp_path / "data").iterdir()) == []
    path = fetch_cifar10(url, md5, tmp_path / "data", progress=False)
    assert path.read_bytes() == payload
    server.shutdown()
    server.server_close()
    assert fetch_cifar10(url, md5, tmp_path / "data", progress=False) == path, (
        "a good download is kept"
    )
    with pytest.raises(PhotoError, match="cannot be downloaded"):
        fetch_cifar10(url, "1" * 32, tmp_path / "other", progress=False)
