"""Photographs of others: pictures, links and archives of any kind are drawn right or named."""

from __future__ import annotations

import contextlib
import http.server
import io
import os
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from parts.mutate import mutations
from parts.photographs import CIFAR, GAME, cifar_folder, class_folder
from vlmgym.games import GAMES
from vlmgym.render import cifar, photos
from vlmgym.render.cifar import fetch_cifar10
from vlmgym.render.looks import get_look
from vlmgym.render.photos import photographs
from vlmgym.render.sources import PARTS, PhotoError, data_folder


def one_class(root: Path, count: int = 5) -> Path:
    """A source with the class ``cat``, whose pictures lie in the folder that is returned."""
    return class_folder(root, ("cat",), count) / "cat"


def saved(picture: Image.Image, path: Path, **how: object) -> Image.Image:
    """A picture as it comes back from a file, as the photograph of a tile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **how)  # type: ignore[arg-type]
    return photos._read_picture(path)


def halves(mode: str, left: object, right: object) -> Image.Image:
    picture = Image.new(mode, (16, 16), left)  # type: ignore[arg-type]
    picture.paste(right, (8, 0, 16, 16))  # type: ignore[arg-type]
    return picture


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_a_photograph_stands_upright_whichever_way_the_camera_was_held(
    turn: int, suffix: str, tmp_path: Path
) -> None:
    upright = np.zeros((24, 16, 3), np.uint8)
    upright[:12, :8] = 255  # white at the top left alone
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1], 5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1), 7: upright[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(upright, -1),
    }[turn]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = turn
    found = saved(
        Image.fromarray(np.ascontiguousarray(stored)), tmp_path / f"a.{suffix}", exif=exif
    )
    assert found.size == (16, 24)
    assert (np.abs(np.asarray(found).astype(int) - upright) < 60).mean() > 0.95


def test_every_kind_of_picture_has_its_right_colours(tmp_path: Path) -> None:
    def colours(picture: Image.Image, name: str, **how: object) -> list[tuple[int, ...]]:
        found = saved(picture, tmp_path / name, **how)
        assert found.mode == "RGB"
        return [found.getpixel((x, 8)) for x in (3, 12)]  # type: ignore[misc]

    assert colours(halves("L", 40, 200), "grey.png") == [(40,) * 3, (200,) * 3]
    deep = Image.fromarray(np.repeat([[1000, 40_000]], 8, 1).repeat(16, 0).astype(np.uint16))
    assert colours(deep, "deep.png") == [(1000 >> 8,) * 3, (40_000 >> 8,) * 3]
    assert colours(halves("1", 0, 1), "bit.png") == [(0,) * 3, (255,) * 3]
    assert colours(halves("RGB", "red", "blue").quantize(4), "palette.png") == [
        (255, 0, 0),
        (0, 0, 255),
    ]
    assert colours(halves("RGBA", (255, 0, 0, 255), (0, 0, 0, 0)), "alpha.png") == [
        (255, 0, 0),
        (255, 255, 255),
    ]
    assert colours(halves("LA", (9, 255), (0, 0)), "grey-alpha.png") == [(9,) * 3, (255,) * 3]
    assert colours(halves("RGB", "red", "blue"), "keyed.png", transparency=(0, 0, 255)) == [
        (255, 0, 0),
        (255, 255, 255),
    ]
    assert colours(deep, "deep-keyed.png", transparency=40_000) == [(1000 >> 8,) * 3, (255,) * 3]
    assert colours(halves("RGB", "red", "blue"), "plain.bmp") == [(255, 0, 0), (0, 0, 255)]
    ink = colours(halves("CMYK", (0, 255, 255, 0), (0, 0, 0, 255)), "ink.jpg", quality=95)
    assert np.abs(np.array(ink) - [(255, 0, 0), (0, 0, 0)]).max() < 12


def poison(kind: str, folder: Path) -> Path:
    """Something that is called like a picture, put into a class folder."""
    path = folder / "z.png"
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a folder":
        path.mkdir()
    elif kind == "a dangling link":
        path.symlink_to("nowhere.png")
    elif kind == "a link to a device":
        path.symlink_to("/dev/zero")
    elif kind == "a link out of the folder":
        Image.new("RGB", (8, 8)).save(folder.parent.parent / "outside.png")
        path.symlink_to(folder.parent.parent / "outside.png")
    elif kind == "a link to itself":
        path.symlink_to("z.png")
    elif kind == "a link to a folder":
        (folder.parent.parent / "more").mkdir()
        path = folder / "more"
        path.symlink_to(folder.parent.parent / "more")
    elif kind == "left behind by another system":
        path = folder / "._x.jpg"
        path.write_bytes(b"\0\5\x16\7")
    elif kind == "a program for Ghostscript":
        path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    elif kind == "a GIF":
        Image.new("L", (9, 9)).save(path, "GIF")
    elif kind == "15,000 x 15,000":
        Image.new("1", (15_000, 15_000)).save(path)
    elif kind == "8,000 x 8,000":
        Image.new("1", (8_000, 8_000)).save(path)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "a folder deep down":
        path = folder.joinpath(*["x"] * 100)
        path.mkdir(parents=True)
    elif kind == "half a WebP":
        Image.new("RGB", (64, 64)).save(path, "WEBP")
        path.write_bytes(path.read_bytes()[:-9])
    return path


@pytest.mark.parametrize(
    "kind",
    [
        "a pipe", "a folder", "a dangling link", "a link to a device", "a link out of the folder", "a link to itself",
        "a link to a folder", "left behind by another system", "a program for Ghostscript", "a GIF", "15,000 x 15,000",
        "8,000 x 8,000", "empty", "a folder deep down", "half a WebP",
    ],
)  # fmt: skip
def test_what_is_called_like_a_picture_and_is_none_is_named_before_anything_is_drawn(
    kind: str, tmp_path: Path
) -> None:
    folder = one_class(tmp_path / "zoo")
    bad = poison(kind, folder)
    with pytest.raises(PhotoError) as error:
        photographs(str(tmp_path / "zoo"), ("cat",))
    assert str(bad) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("where", ["", "cat"])
def test_a_folder_that_may_not_be_entered_is_named(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files can be listed, and nothing else be asked of them."""
    one_class(tmp_path / "zoo")
    real = os.stat

    def stat(path: object, *rest: object, **options: object) -> os.stat_result:
        if Path(str(path)).parent == tmp_path / "zoo" / where:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *rest, **options)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(os, "stat", stat)
    monkeypatch.setattr(photos, "open_regular", lambda path: stat(path))
    with pytest.raises(PhotoError, match=rf"{tmp_path / 'zoo' / where}/.*Permission denied"):
        photographs(str(tmp_path / "zoo"), ("cat",))


def test_links_within_the_folder_and_hidden_folders_are_no_fault(tmp_path: Path) -> None:
    folder = one_class(tmp_path / "zoo")
    (folder / "again.png").symlink_to("0.png")
    (folder / ".thumbnails").mkdir()
    (folder / ".thumbnails" / "0.png").write_bytes(b"")
    (folder / "notes.txt").write_text("no picture")
    found = photographs(str(tmp_path / "zoo"), ("cat",))
    assert sum(found.counts[part][0] for part in PARTS) == 6


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../zoo/cat", "a/b", "/etc", "a\\b", ".cat", "a\0"]
)
def test_no_class_name_leads_out_of_the_folder(name: str, tmp_path: Path) -> None:
    one_class(tmp_path / "zoo")
    with pytest.raises(PhotoError, match="a class of photographs is called"):
        photographs(str(tmp_path / "zoo"), ("cat", name))


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp"])
def test_a_damaged_picture_is_drawn_or_named(suffix: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    picture, exif = Image.fromarray(rng.integers(0, 256, (24, 20, 3), np.uint8)), Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / f"a.{suffix}"
    picture.save(path, **({} if suffix == "bmp" else {"exif": exif}))
    faults, drawn = list[str](), 0
    for data in mutations(path.read_bytes(), 300, 3):
        path.write_bytes(data)
        try:
            drawn += photos._read_picture(path).mode == "RGB"
        except PhotoError as error:
            faults.append(str(error))
    assert all(str(path) in fault and "\n" not in fault for fault in faults)
    assert drawn + len(faults) == 300
    assert len(faults) > 20


@pytest.mark.parametrize("source", ["pipe", "/dev/zero", "/dev/null", "a\0b", "x" * 5000, "loop"])
def test_a_source_that_is_no_folder_and_no_archive_is_said(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    os.symlink("loop", "loop")
    with pytest.raises(PhotoError, match=r"Look\.photos"):
        photographs(source, CIFAR)


def archive_of(path: Path, members: list[tuple[str, int, bytes]]) -> Path:
    """A packed archive; each member is a name, a size, and the content, which zeros follow."""
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, size, content in members:
            info = tarfile.TarInfo(name)
            info.size = size
            archive.addfile(info, io.BytesIO(content + bytes(size - len(content))))
    return path


def test_archives_are_read_up_to_the_size_of_the_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = cifar_folder(tmp_path / "cifar")
    whole = [
        (path.name, path.stat().st_size, path.read_bytes()) for path in sorted(folder.glob("*.bin"))
    ]
    good = archive_of(tmp_path / "good.tar.gz", whole)
    assert photographs(str(good), CIFAR).counts == photographs(str(folder), CIFAR).counts
    twice = archive_of(tmp_path / "twice.tar.gz", [*whole, whole[0]])
    with pytest.raises(PhotoError, match="is in it twice"):
        photographs(str(twice), CIFAR)
    large = archive_of(
        tmp_path / "large.tar.gz", [("data_batch_1.bin", 30_730_000 + 3073, b""), *whole]
    )
    with pytest.raises(PhotoError, match="30730000 are right"):
        photographs(str(large), CIFAR)
    monkeypatch.setattr(cifar, "CIFAR_BYTES", 2_000_000)
    other = archive_of(tmp_path / "other.tar.gz", [("zeros", 5_000_000, b""), *whole])
    with pytest.raises(PhotoError, match="unpacks to more than 2000000 bytes"):
        photographs(str(other), CIFAR)
    long_name = archive_of(tmp_path / "name.tar.gz", [("n" * 5_000_000, 0, b""), *whole])
    with pytest.raises(PhotoError, match="unpacks to more than 2000000 bytes"):
        photographs(str(long_name), CIFAR)


def test_nothing_of_an_archive_is_unpacked_to_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Members that would lead out of a folder, links and devices: read as what they are called, or
    passed over.
    """
    folder = cifar_folder(tmp_path / "cifar")
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    path = archive_of(
        inside / "x.tar.gz", [("../../up.bin", 9, b"up"), (str(tmp_path / "absolute"), 9, b"x")]
    )
    with tarfile.open(path, "w:gz") as archive:
        for name, kind in (
            ("../../link", tarfile.SYMTYPE),
            ("hard", tarfile.LNKTYPE),
            ("dev", tarfile.CHRTYPE),
            ("p", tarfile.FIFOTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        for file in sorted(folder.glob("*.bin")):
            info = tarfile.TarInfo(f"../../{file.name}")
            info.size = file.stat().st_size
            archive.addfile(info, io.BytesIO(file.read_bytes()))
    monkeypatch.chdir(inside)
    before = sorted(tmp_path.rglob("*"))
    assert photographs(str(path), CIFAR).counts == photographs(str(folder), CIFAR).counts
    assert sorted(tmp_path.rglob("*")) == before
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo("data_batch_1.bin")
        info.type, info.linkname = tarfile.SYMTYPE, str(folder / "data_batch_1.bin")
        archive.addfile(info)
    with pytest.raises(PhotoError, match=r"no data_batch_1\.bin in it"):
        photographs(str(path), CIFAR)


def test_a_damaged_archive_is_said(tmp_path: Path) -> None:
    folder = cifar_folder(tmp_path / "cifar")
    path = archive_of(
        tmp_path / "a.tar.gz",
        [(one.name, 3073, one.read_bytes()[:3073]) for one in sorted(folder.glob("*.bin"))],
    )
    faults = []
    for number, data in enumerate(mutations(path.read_bytes(), 100, 5)):
        (tmp_path / f"{number}.tar.gz").write_bytes(data)
        try:
            photographs(str(tmp_path / f"{number}.tar.gz"), CIFAR)
        except PhotoError as error:
            faults.append(str(error))
    assert len(faults) > 50
    assert not any("\n" in fault for fault in faults)


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("VLMGYM_DATA", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54_321)
    for ask in (
        data_folder,
        lambda: photographs("auto", CIFAR),
        lambda: photographs("~/zoo", ("cat",)),
    ):
        with pytest.raises(PhotoError, match="VLMGYM_DATA"):
            ask()


def test_missing_photographs_are_said_before_anything_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VLMGYM_DATA", str(tmp_path))
    with pytest.raises(PhotoError, match="vlmgym photos cifar10"):
        photos.check(GAME, GAME.level("paper"), get_look("paper"))
    photos.check(GAME, GAME.level("normal"), get_look("paper"))
    photos.check(GAMES["Swap"], GAMES["Swap"].level("paper"), get_look("paper"))


def test_a_download_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "9" * 400 if "header" in self.path else "x")
            self.end_headers()
            with contextlib.suppress(OSError):
                while True:
                    self.wfile.write(bytes(100_000))

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setattr(cifar, "CIFAR_BYTES", 1_000_000)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endless)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in ("cifar.tar.gz", "header.tar.gz"):
        with pytest.raises(PhotoError, match="cannot be downloaded"):
            fetch_cifar10(
                f"http://127.0.0.1:{server.server_port}/{name}",
                "0" * 32,
                tmp_path / "data",
                progress=False,
            )
    assert list((tmp_path / "data").iterdir()) == []
    server.shutdown()
    server.server_close()


def test_a_picture_of_another_format_is_told_which_are_read(tmp_path: Path) -> None:
    folder = class_folder(tmp_path / "pets", ("cat", "dog"), 5)
    Image.new("P", (8, 8)).save(folder / "cat" / "disguised.png", "GIF")
    with pytest.raises(PhotoError, match="its content is none of PNG, JPEG, WEBP, BMP") as error:
        photographs(str(folder), ("cat", "dog"))
    assert "disguised.png" in str(error.value)
