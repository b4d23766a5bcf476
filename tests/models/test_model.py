"""Loading models: whole or one sentence that names the folder, no code beside them is run, and what
tells one from another.
"""

import json
import shutil
from pathlib import Path

import pytest
from jinja2.exceptions import SecurityError
from safetensors.torch import load_file, save_file

from vlmgym.core import ConfigError
from vlmgym.dialogue.prompt import messages
from vlmgym.models.loading import load, load_config, load_processor, model_digest, model_path


@pytest.fixture
def folder(small, tmp_path):
    return Path(shutil.copytree(small, tmp_path / "model"))


def changed(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def spoil(folder, how):
    weights = next(folder.glob("*.safetensors"))
    if how == "an empty folder":
        for path in folder.iterdir():
            path.unlink()
    elif how == "no weights":
        weights.unlink()
    elif how == "damaged weights":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif how == "weights that are none":
        weights.write_bytes(b"")
    elif how == "half of the weights":
        tensors = load_file(weights)
        save_file(dict(list(tensors.items())[::2]), weights, {"format": "pt"})
    elif how == "other sizes":
        config = json.loads((folder / "config.json").read_text())
        config["text_config"]["intermediate_size"] = 2 * config["text_config"].get(
            "intermediate_size", 64
        )
        (folder / "config.json").write_text(json.dumps(config))
    elif how == "an unknown kind":
        changed(folder / "config.json", model_type="new_kind")
    elif how == "a text model":
        changed(folder / "config.json", model_type="llama", architectures=["LlamaForCausalLM"])
    elif how == "a broken config":
        (folder / "config.json").write_text('{"model_type": ')
    elif how == "a config of another type":
        (folder / "config.json").write_text("[1]")
    elif how == "no processor":
        for path in folder.glob("*processor*"):
            path.unlink()
    elif how == "a broken tokenizer":
        (folder / "tokenizer.json").write_text("{")


@pytest.mark.parametrize(
    "how",
    [
        "an empty folder", "no weights", "damaged weights", "weights that are none", "half of the " "weights", "other sizes",
        "an unknown kind", "a text model", "a broken config", "a config of another type", "no processor", "a broken tokenizer",
    ],
)  # fmt: skip
def test_a_model_that_cannot_be_loaded_whole_is_one_sentence_with_its_folder(folder, how):
    spoil(folder, how)
    with pytest.raises(ConfigError) as error:
        load(str(folder))
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 900


def test_a_hub_that_cannot_be_reached_is_said(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for ask in (load, load_config, load_processor, model_digest):
        with pytest.raises(ConfigError, match="nobody/nothing"):
            ask("nobody/nothing@v1")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a b",
        "owner/name@",
        "nul\0",
        "x" * 3 + "/.." * 3,
        "~nobody-at-all/model",
        "owner/name?x=1",
    ],
)
def test_names_that_no_model_has(name):
    with pytest.raises(ConfigError, match="model"):
        model_path(name)


@pytest.mark.parametrize("where", ["config.json", "processor_config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("kind", ["known", "unknown"])
def test_code_beside_a_model_is_never_run_and_nobody_is_asked(
    folder, tmp_path, monkeypatch, where, kind
):
    ran = tmp_path / "ran"
    (folder / "evil.py").write_text(f"open({str(ran)!r}, 'w')\nclass Evil: pass\n")
    path = folder / where
    names = {
        "config.json": ("AutoConfig", "AutoModelForImageTextToText"),
        "processor_config.json": ("AutoProcessor",),
    }
    names = names.get(where, ("AutoTokenizer",))
    values = {
        "auto_map": {
            name: "evil.Evil" if name != "AutoTokenizer" else ["evil.Evil", None] for name in names
        }
    }
    if kind == "unknown":
        key = {"config.json": "model_type", "processor_config.json": "processor_class"}.get(
            where, "tokenizer_class"
        )
        values[key] = "Unknown"
    if not path.exists():
        path.write_text("{}")
    changed(path, **values)
    asked = []
    monkeypatch.setattr("builtins.input", lambda *_: asked.append(1) or "y")
    try:
        load(str(folder))
        reason = ""
    except ConfigError as error:
        reason = str(error)
    assert not ran.exists()
    assert not asked
    assert not reason or str(folder) in reason
    assert reason == "" or kind == "unknown" or "never run" in reason


@pytest.mark.parametrize(
    "template",
    [
        "{{ cycler.__init__.__globals__.os.mkdir(RAN) }}",
        "{{ raise_exception.__globals__['__builtins__']['__import__']('os').mkdir(RAN) }}",
        "{% set x = messages.__class__.__base__.__subclasses__() %}{{ "
        "lipsum.__globals__['os'].mkdir(RAN) }}",
    ],
)
def test_a_chat_template_runs_no_code(folder, tmp_path, template):
    ran = tmp_path / "ran"
    for path in (folder / "chat_template.jinja", folder / "chat_template.json"):
        path.unlink(missing_ok=True)
    (folder / "chat_template.jinja").write_text(template.replace("RAN", repr(str(ran))))
    processor = load_processor(str(folder))
    assert "__globals__" in processor.chat_template
    with pytest.raises(SecurityError):
        processor.apply_chat_template(messages("x"), add_generation_prompt=True)
    assert not ran.exists()


def test_a_model_is_told_by_its_content_and_not_by_its_name(folder, tmp_path):
    twin = Path(shutil.copytree(folder, tmp_path / "twin"))
    assert model_digest(str(folder)) == model_digest(str(twin)) != model_digest("tiny")
    (twin / "README.md").write_text("a note")
    assert model_digest(str(folder)) == model_digest(str(twin))
    weights = next(twin.glob("*.safetensors"))
    tensors = load_file(weights)
    tensors[min(tensors)] = tensors[min(tensors)] + 1
    save_file(tensors, weights, {"format": "pt"})
    assert model_digest(str(folder)) != model_digest(str(twin))
    before = model_digest(str(folder))
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    assert model_digest(str(folder)) != before


def test_a_model_of_the_hub_is_told_by_its_commit(tmp_path, monkeypatch):
    from huggingface_hub import constants

    commit, cache = "0123456789abcdef0123456789abcdef01234567", tmp_path / "hub"
    snapshot = cache / "models--owner--name" / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    refs = cache / "models--owner--name" / "refs"
    refs.mkdir()
    (refs / "main").write_text(commit)
    (refs / "v1").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    for name in ("owner/name", "owner/name@v1", f"owner/name@{commit}"):
        assert model_digest(name) == f"commit:{commit}"
    with pytest.raises(ConfigError, match="loaded before"):
        model_digest("owner/name@v2")
