"""Pixel values written straight from frames and boards equal those of the library's own
processors.
"""

from pathlib import Path

import numpy as np
import pytest

from parts.miniature import allow_torchvision_beside_cpu_torch, save_qwen2_5_vl
from vlmgym.core import ConfigError, seeds_for
from vlmgym.core.threads import set_threads
from vlmgym.games import get_game
from vlmgym.render.frames import pictures, render
from vlmgym.render.looks import get_look
from vlmgym.render.pixel_values import TOLERANCE, Pixels, use_pixel_cache

allow_torchvision_beside_cpu_torch()
hf = pytest.importorskip("transformers")


def processors():
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    size = {"shortest_edge": 56 * 56, "longest_edge": 1280 * 28 * 28}
    return {
        "llava (SigLIP)": (hf.SiglipImageProcessor(size={"height": 112, "width": 112}), (112, 112)),
        "llava (CLIP)": (
            hf.CLIPImageProcessor(
                size={"shortest_edge": 224}, crop_size={"height": 224, "width": 224}
            ),
            (224, 224),
        ),
        "gemma3": (hf.Gemma3ImageProcessor(size={"height": 224, "width": 224}), (224, 224)),
        "qwen2.5-vl": (hf.Qwen2VLImageProcessor(size=size), (252, 336)),
        "qwen2.5-vl (PIL)": (Qwen2VLImageProcessorPil(size=size), (252, 336)),
        "qwen3-vl": (
            hf.Qwen2VLImageProcessor(
                patch_size=16, size=size, image_mean=[0.5] * 3, image_std=[0.5] * 3
            ),
            (256, 320),
        ),
    }


FAMILIES = processors()
GAMES = (("2048", "tiny"), ("ShisenSho", "normal"), ("Swap", "easy"))


def states(name, level, count=3):
    game = get_game(name)
    return game, game.reset(game.level(level), seeds_for("test", name, level, count))


def close(ours, theirs):
    assert set(ours) == set(theirs)
    for name, value in ours.items():
        assert value.shape == np.asarray(theirs[name]).shape
        assert np.abs(value - np.asarray(theirs[name])).max() <= TOLERANCE


@pytest.mark.parametrize(("name", "level"), GAMES)
@pytest.mark.parametrize("family", FAMILIES)
def test_frames_and_boards_equal_the_processor(family, name, level):
    processor, (height, width) = FAMILIES[family]
    look = f"clean:height={height},width={width},margin=9,coordinates=false"
    game, state = states(name, level)
    pixels = Pixels(processor)
    assert pixels.exact(height, width)
    theirs = processor(pictures(game, state, look), return_tensors="np")
    close(pixels.frames(render(game, state, look)), theirs)
    close(pixels.boards(game, state, look), theirs)
    set_threads(2)
    try:
        close(pixels.boards(game, state, look), theirs)
    finally:
        set_threads(0)


@pytest.mark.parametrize("extra", ["noise=0.1", "score=true", "noise=0.05,rotation=10"])
def test_looks_that_are_more_than_cells_go_through_frames(extra):
    processor, (height, width) = FAMILIES["qwen2.5-vl"]
    look = f"clean:height={height},width={width},{extra}"
    game, state = states("2048", "tiny")
    close(
        Pixels(processor).boards(game, state, look),
        processor(pictures(game, state, look), return_tensors="np"),
    )


def test_other_sizes_are_left_to_the_processor():
    processor, (height, width) = FAMILIES["qwen2.5-vl"]
    pixels = Pixels(processor)
    assert not pixels.exact(height + 1, width)  # resized
    assert not pixels.exact(height + 14, width)  # one patch more, but half a merged one
    assert not Pixels(FAMILIES["gemma3"][0]).exact(112, 112)
    idefics = hf.Idefics3ImageProcessor(
        size={"longest_edge": 128}, max_image_size={"longest_edge": 64}
    )
    assert not Pixels(idefics).exact(128, 128)  # splits pictures


def test_pictures_that_are_no_whole_patches_are_refused():
    """They would be written beyond the array."""
    processor, (height, width) = FAMILIES["qwen2.5-vl"]
    frames = np.zeros((1, height + 14, width, 3), np.uint8)
    with pytest.raises(ConfigError, match=rf"^size = .{height + 14} x {width}.: .* 28 pixels"):
        Pixels(processor).frames(frames)


def test_a_processor_that_does_more_is_noticed():
    class Odd(hf.SiglipImageProcessor):
        def preprocess(self, images, **options):
            out = super().preprocess(images, **options)
            out["pixel_values"] = out["pixel_values"] * 1.001
            return out

    assert not Pixels(Odd(size={"height": 56, "width": 56})).exact(56, 56)


def test_a_buffer_is_used_and_checked():
    processor, (height, width) = FAMILIES["qwen2.5-vl"]
    game, state = states("2048", "tiny")
    look = f"clean:height={height},width={width}"
    pixels = Pixels(processor)
    fresh = pixels.boards(game, state, look)["pixel_values"]
    room = np.full_like(fresh, 7)
    again = pixels.boards(game, state, look, room)["pixel_values"]
    assert np.shares_memory(again, room)
    assert (again == fresh).all()
    with pytest.raises(ConfigError, match="out"):
        pixels.boards(game, state, look, room[:-1])


class Shell:
    def __init__(self, image_processor):
        self.image_processor = image_processor


def counted(processor):
    shell, seen = use_pixel_cache(Shell(processor)), []
    plain = shell.image_processor.pixels.frames
    shell.image_processor.pixels.frames = lambda frames, out=None: (
        seen.append(len(frames)) or plain(frames, out)
    )
    return shell.image_processor, seen


@pytest.mark.parametrize("family", FAMILIES)
def test_quickened_processors_give_the_same_and_work_once(family):
    _, (height, width) = FAMILIES[family]
    plain, quick = processors()[family][0], processors()[family][0]
    quick, seen = counted(quick)
    assert type(quick).__name__ == type(plain).__name__
    assert isinstance(quick, type(plain))
    game, state = states("Swap", "easy")
    images = pictures(
        game,
        state[[0, 1, 0, 2, 1]],
        f"clean:height={height},width={width},margin=9,coordinates=false",
    )
    theirs = plain(images, return_tensors="pt")
    for given in (images, [[one] for one in images]):
        ours = quick(given, return_tensors="pt")
        assert all((ours[k] - theirs[k]).abs().max() <= TOLERANCE for k in theirs)
        assert set(ours) == set(theirs)
    # the trial of the size, three different pictures; the second call found them
    assert seen == [2, 3]
    other = quick(images[0].resize((width + 30, height)), return_tensors="pt")
    assert set(other) == set(theirs)
    assert seen[2:] in ([], [2])


def test_quickened_processors_save_what_they_were(tmp_path: Path):
    plain, quick = (
        processors()["qwen2.5-vl"][0],
        use_pixel_cache(Shell(processors()["qwen2.5-vl"][0])).image_processor,
    )
    plain.save_pretrained(tmp_path / "a")
    quick.save_pretrained(tmp_path / "b")
    assert (tmp_path / "a" / "preprocessor_config.json").read_text() == (
        tmp_path / "b" / "preprocessor_config.json"
    ).read_text()
    assert use_pixel_cache(Shell(quick)).image_processor is quick
    with_options = quick(
        pictures(*states("2048", "tiny"), "clean:height=252,width=336"),
        do_normalize=False,
        return_tensors="np",
    )
    assert with_options["pixel_values"].min() >= 0


@pytest.mark.parametrize("name", ["tiny", "qwen2_5_vl"])
def test_models_are_told_the_past_and_the_board_in_words(name, tmp_path):
    from vlmgym.models.loading import load
    from vlmgym.players.base import Query
    from vlmgym.players.local import LocalPlayer

    model, processor = load("tiny" if name == "tiny" else str(save_qwen2_5_vl(tmp_path)))
    game, look = (
        get_game("2048"),
        get_look("tiny" if name == "tiny" else "clean:width=112,height=112"),
    )
    state = game.reset(game.level("tiny"), seeds_for("test", "2048", "tiny", 2))
    player = LocalPlayer(model, processor, name=name, look=look, style="brief", max_new_tokens=4)
    past = [[(state[0], "<answer>1</answer>")], []]
    pictures = {"image": 3, "both": 3, "text": 0}
    for observation, count in pictures.items():
        query = Query(game, state, look, "brief", observation, past)
        inputs = player.inputs.of([query])
        shown = int((inputs["input_ids"] == model.config.image_token_id).sum())
        alone = player.inputs.of([Query(game, state[0], look, "brief")])
        assert shown == count * int((alone["input_ids"] == model.config.image_token_id).sum())
        assert len(player.answer([query])[0]) == 2
        text = processor.tokenizer.decode(inputs["input_ids"][0])
        assert ("|" in text.replace("<|", "").replace("|>", "")) == (observation != "image")
