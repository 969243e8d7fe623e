"""Training end to end, in process, on a two-layer model: what is written and what stops a run."""

import contextlib
import json
import math
import os
import re
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from goemotions import config
from goemotions.data import splits
from goemotions.data.labels import Labels
from goemotions.errors import UserError
from goemotions.evaluation.trained import Classifier
from goemotions.io.digests import sha256
from goemotions.metrics import thresholds
from goemotions.models.prepare import cache
from goemotions.network.classifier import build_classifier, check_max_length, parameter_groups
from goemotions.network.inference import Network
from goemotions.training import fit, losses, trainer
from tests.small import ROOT, launch, settings

pytestmark = pytest.mark.filterwarnings("default::DeprecationWarning", "default::FutureWarning")


def test_the_folder_loads_in_plain_transformers_and_names_the_labels(workspace):
    from transformers import pipeline

    (workspace / "data/sample/test.jsonl").unlink()  # which training does not read
    fit.train(config.parse(settings()), "bce")

    names = Labels.read(workspace / "data/sample").names
    folder = workspace / "models/trained/bce"
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
        "spm.model", "thresholds.json", "manifest.json",
    }  # fmt: skip
    classify = pipeline("text-classification", str(folder), top_k=None)
    found = classify(["thank you so much"])[0]
    assert {entry["label"] for entry in found} == set(names)
    # Multi-label: each score is a sigmoid of its own, so they do not sum to 1 as softmax's would.
    logits = classify.model(**classify.tokenizer("thank you so much", return_tensors="pt")).logits
    expected = dict(zip(names, torch.sigmoid(logits[0]).tolist(), strict=True))
    assert {e["label"]: e["score"] for e in found} == pytest.approx(expected, abs=1e-5)

    saved = json.loads((folder / "thresholds.json").read_text())
    assert set(saved["methods"]) == set(thresholds.METHODS)
    assert saved["preferred"] in thresholds.METHODS
    for method in saved["methods"].values():
        assert list(method["logits"]) == list(method["probabilities"]) == list(names)
        for name, threshold in method["logits"].items():
            assert method["probabilities"][name] == pytest.approx(1 / (1 + np.exp(-threshold)))


def test_curves_have_a_row_every_twenty_steps_at_the_last_and_every_epoch(workspace):
    fit.train(config.parse(settings(epochs=7)), "bce")
    folder = workspace / "metrics/training/bce"
    training = (folder / "training.csv").read_text().splitlines()
    assert training[0] == "step,loss,learning_rate,grad_norm"
    assert [line.split(",")[0] for line in training[1:]] == ["20", "35"]
    validation = (folder / "validation.csv").read_text().splitlines()
    assert validation[0] == "step,epoch,macro_f1,loss,average_precision"
    assert [line.split(",")[0] for line in validation[1:]] == [str(5 * n) for n in range(1, 8)]
    summary = json.loads((folder / "summary.json").read_text())
    best = max(float(line.split(",")[2]) for line in validation[1:])
    assert summary["validation_macro_f1"] == best
    assert summary["steps"] == 35
    assert summary["processes"] == 1


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(workspace):
    digests = []
    for seed in (1, 1, 2):
        raw = settings()
        raw["train"]["seed"] = seed
        fit.train(config.parse(raw), "bce")
        digests.append(sha256(workspace / "models/trained/bce/model.safetensors"))
    assert digests[0] == digests[1]
    assert digests[0] != digests[2]


def test_a_training_that_has_ended_has_left_its_process_group(workspace):
    from torch import distributed

    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        fit.train(config.parse(settings()), "bce")
        assert (workspace / "models/trained/bce/model.safetensors").is_file()
        assert not distributed.is_initialized()
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()


def test_a_half_precision_pickle_trains_in_float32_and_stays_finite(workspace, monkeypatch):
    """The Hub's DeBERTa-v3: pytorch_model.bin in float16 and spm.model, nothing else."""
    from transformers import AutoModel

    tiny = workspace / "models/deberta-v3-tiny"
    repo = workspace / "mirror/models/someone/half"
    repo.mkdir(parents=True)
    half = AutoModel.from_pretrained(tiny, dtype=torch.float32).half()
    torch.save(half.state_dict(), repo / "pytorch_model.bin")
    shutil.copy(tiny / "spm.model", repo)
    content = json.loads((tiny / "config.json").read_text()) | {"dtype": "float16"}
    (repo / "config.json").write_text(json.dumps(content))
    (repo / "tokenizer_config.json").write_text('{"do_lower_case": false, "vocab_type": "spm"}')
    raw = settings(learning_rate=1e-3)
    raw["model"] = "half"
    raw["models"]["half"] = {
        "source": "hub", "repo": "someone/half", "revision": "1a" * 20,
        "files": {path.name: sha256(path) for path in repo.iterdir()},
    }  # fmt: skip
    raw["recipes"]["half"] = raw["recipes"]["deberta-v3-tiny"]
    monkeypatch.setenv("GOEMOTIONS_MIRROR", "mirror")
    p = config.parse(raw)
    cache("half", p.models["half"], p.model_folder)
    cached = load_file(workspace / "models/half/model.safetensors")
    assert {tensor.dtype for tensor in cached.values()} == {torch.float16}

    fit.train(p, "bce")

    trained = load_file(workspace / "models/trained/bce/model.safetensors")
    assert {tensor.dtype for tensor in trained.values()} == {torch.float32}
    assert all(tensor.isfinite().all() for tensor in trained.values())


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(workspace):
    old = workspace / "models/trained/bce"
    old.mkdir(parents=True)
    (old / "kept").write_text("old")
    with pytest.raises(UserError, match=r"not finite at step \d+; .*learning_rate"):
        fit.train(
            config.parse(settings(learning_rate=1e30, head_learning_rate=1e30, epochs=8)), "bce"
        )
    assert [path.name for path in old.iterdir()] == ["kept"]


def test_a_model_that_has_learned_almost_nothing_is_named(workspace, capfd):
    slow = settings(learning_rate=1e-9, head_learning_rate=1e-9)
    fit.train(config.parse(slow), "bce")
    val = splits.load(workspace / "data/sample", "val")["val"].targets
    prevalence = val.mean(0)[val.any(0)].mean()
    said = capfd.readouterr().err
    assert "this model has learned almost nothing" in said
    assert f"and that of a constant prediction {prevalence:.3f}" in said
    assert "lower learning_rate in recipes.deberta-v3-tiny" in said

    texts = ("thanks a lot", "this is bad")  # of one label each, so there is something to learn
    contents = {
        name: splits.encode(
            splits.Row(f"{name}{index}", texts[index % 2], [index % 2]) for index in range(160)
        )
        for name in splits.SPLITS
    }
    labels = Labels.read(workspace / "data/sample")
    splits.write(workspace / "data/sample", contents, dict.fromkeys(contents, 160), labels)
    fit.train(config.parse(settings(epochs=8)), "bce")
    assert "almost nothing" not in capfd.readouterr().err
    summary = json.loads((workspace / "metrics/training/bce/summary.json").read_text())
    assert summary["validation_average_precision"] > 0.9


def test_a_missing_base_model_is_an_error_before_anything_is_loaded(workspace):
    (workspace / "models/deberta-v3-tiny/model.safetensors").unlink()
    with pytest.raises(
        UserError, match=r"is missing model\.safetensors; run `dvc repro cache_model`"
    ):
        fit.train(config.parse(settings()), "bce")


LAUNCHED = {
    "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "4", "MASTER_ADDR": "a", "MASTER_PORT": "29500"
}  # fmt: skip


@pytest.mark.parametrize(
    ("left", "named"),
    [
        ({"LOCAL_RANK": "0"}, "LOCAL_RANK is '0'"),
        ({"WORLD_SIZE": "4"}, "WORLD_SIZE is '4'"),
        ({"RANK": "1"}, "RANK is '1'"),
        ({"WORLD_SIZE": ""}, "WORLD_SIZE is ''"),
        ({"WORLD_SIZE": "two", "RANK": "0"}, "WORLD_SIZE is 'two'"),
        ({"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "a"}, "WORLD_SIZE is '2', RANK is '1'"),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, "OMPI_COMM_WORLD_SIZE is '2'"),
        ({"PMI_SIZE": "2"}, "PMI_SIZE is '2'"),
        ({"MV2_COMM_WORLD_SIZE": "2"}, "MV2_COMM_WORLD_SIZE is '2'"),
        (LAUNCHED | {"RANK": "4"}, "WORLD_SIZE is '4', RANK is '4', LOCAL_RANK is '0'"),
        (LAUNCHED | {"MASTER_PORT": "x"}, "WORLD_SIZE is '4', LOCAL_RANK is '0'"),
        (
            LAUNCHED | {"ACCELERATE_MIXED_PRECISION": "no"},  # accelerate started one process
            "WORLD_SIZE is '4', LOCAL_RANK is '0'",
        ),
    ],
)
def test_variables_left_over_from_a_launcher_are_named(workspace, monkeypatch, left, named):
    for name, value in left.items():
        monkeypatch.setenv(name, value)
    names = " ".join(re.findall(r"\w+(?= is)", named))
    message = (
        rf"{named}: launchers such as torchrun set that, but .*\. Run `unset {names}` and the same"
    )
    with pytest.raises(UserError, match=message):
        fit.train(config.parse(settings()), "bce")


@pytest.mark.parametrize(
    "left", [{"MASTER_ADDR": "a"}, {"WORLD_SIZE": "1", "RANK": "0"}, {"LOCAL_RANK": "-1"}]
)
def test_variables_that_ask_for_one_process_are_no_error(workspace, monkeypatch, left):
    for name, value in left.items():
        monkeypatch.setenv(name, value)
    fit.train(config.parse(settings(epochs=1)), "bce")
    assert (workspace / "models/trained/bce/model.safetensors").is_file()


def test_a_left_over_variable_ends_the_stage_with_one_error(workspace, tmp_path):
    process = launch(
        workspace, settings(), "accelerate.commands.launch", "--quiet",
        HF_HOME=str(tmp_path), ACCELERATE_LOG_LEVEL="ERROR", LOCAL_RANK="0",
    )  # fmt: skip
    stdout, stderr = process.communicate(timeout=200)
    assert process.returncode == 1
    assert stderr.startswith("error: LOCAL_RANK is '0': launchers such as torchrun set that")
    assert len(stderr.splitlines()) == 1
    assert stdout == ""


def test_more_processes_than_visible_gpus_are_refused(workspace, monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    fit.launch.check_processes(2)  # on CPUs any number may share them
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 1)
    with pytest.raises(UserError, match=r"2 processes started for 1 visible GPU\(s\); run"):
        fit.launch.check_processes(2)


@pytest.mark.parametrize("way", ["FSDP", "DEEPSPEED"])
def test_splitting_the_model_over_gpus_is_refused(workspace, monkeypatch, way):
    monkeypatch.setenv(f"ACCELERATE_USE_{way}", "true")
    with pytest.raises(UserError, match=rf"asks for {way}; every model here fits on one GPU"):
        fit.train(config.parse(settings()), "bce")


def test_a_compiler_that_accelerates_config_asks_for_is_refused(workspace, monkeypatch):
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "INDUCTOR")
    with pytest.raises(UserError, match=r"asks for torch dynamo \(INDUCTOR\)"):
        fit.train(config.parse(settings()), "bce")


@pytest.mark.parametrize(
    ("precision", "hardware", "expected"),
    [("auto", False, False), ("auto", True, True), ("fp32", True, False), ("bf16", False, True)],
)
def test_bf16_is_for_cpus_that_compute_in_it(monkeypatch, precision, hardware, expected):
    from goemotions.training import trainer

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: hardware)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert trainer.uses_bf16(precision) is expected


def test_bf16_that_a_gpu_only_emulates_does_not_count(monkeypatch):
    from goemotions.training import trainer

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    emulates = lambda including_emulation=True: including_emulation  # noqa: E731 - as a T4 answers
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", emulates)
    assert trainer.uses_bf16("auto") is False
    with pytest.raises(UserError, match=r"train.precision is bf16, and this GPU has no bfloat16"):
        trainer.uses_bf16("bf16")


def test_the_short_text_path_can_be_switched_off_and_changes_nothing(workspace, monkeypatch):
    from goemotions.network import short_text

    used, enable = [], short_text.enable
    monkeypatch.setattr(short_text, "enable", lambda model: (used.append(model), enable(model)))
    folder = workspace / "models/trained/bce"
    trained, logits, ours = [], [], []
    for on in (True, False):
        raw = settings()
        raw["train"]["short_text"] = on
        fit.train(config.parse(raw), "bce")
        trained.append(load_file(folder / "model.safetensors"))
        classifier = Classifier.load(folder)
        logits.append(classifier.logits(["thank you so much", "no"]))
        ours.append((len(used), isinstance(classifier.network, Network)))
    assert ours == [(1, True), (1, False)]
    assert all(torch.allclose(trained[0][name], trained[1][name], atol=1e-4) for name in trained[0])
    assert logits[0] == pytest.approx(logits[1], abs=1e-3)


def test_bf16_trains_float32_weights_and_fits_thresholds_to_float32_logits(workspace):
    folder, trained = workspace / "models/trained/bce", {}
    for precision in ("fp32", "bf16"):
        raw = settings()
        raw["train"]["precision"] = precision
        fit.train(config.parse(raw), "bce")
        summary = json.loads((workspace / "metrics/training/bce/summary.json").read_text())
        assert summary["precision"] == precision
        trained[precision] = load_file(folder / "model.safetensors")
    assert {tensor.dtype for tensor in trained["bf16"].values()} == {torch.float32}
    one, other = trained["fp32"], trained["bf16"]
    assert 0 < max((one[name] - other[name]).abs().max() for name in one) < 0.1

    val = splits.load(workspace / "data/sample", "val")["val"]
    fits = thresholds.fit(Classifier.load(folder).logits(val.texts), val.targets)
    saved = json.loads((folder / "thresholds.json").read_text())["methods"]
    for method, fitted in fits.items():
        # Logits in bfloat16 differ from these by more than 0.001.
        assert list(saved[method]["logits"].values()) == pytest.approx(fitted.logits, abs=1e-4)


def test_a_batch_with_fewer_rows_than_parts_is_refused(workspace, monkeypatch):
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "33")
    with pytest.raises(UserError, match=r"batch_size is 32: too few of 160 rows .* raise it, or"):
        fit.train(config.parse(settings()), "bce")


@pytest.mark.parametrize("given", ["two", "0", "-1", ""])
def test_a_number_of_parts_that_is_none_is_refused(workspace, monkeypatch, given):
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", given)
    message = f"ACCELERATE_GRADIENT_ACCUMULATION_STEPS is '{given}'; set it to a whole number"
    with pytest.raises(UserError, match=message):
        fit.train(config.parse(settings()), "bce")


def test_gradient_accumulation_does_not_change_the_result(workspace, monkeypatch):
    def losses():
        folder = workspace / "metrics/training/bce"
        training = (folder / "training.csv").read_text().splitlines()[1:]
        validation = (folder / "validation.csv").read_text().splitlines()[1:]
        return [float(x.split(",")[1]) for x in training] + [
            float(x.split(",")[3]) for x in validation
        ]

    # Batches of 5 rows, as micro-batches of 2, 1, 1 and 1: the mean over these is another one.
    raw = settings(epochs=2)
    raw["train"]["batch_size"] = 5
    fit.train(config.parse(raw), "bce")
    whole = losses()
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    fit.train(config.parse(raw), "bce")
    assert len(whole) == 4 + 2
    assert losses() == pytest.approx(whole, rel=2e-3)


def full_above(monkeypatch, rows):
    """A GPU that holds so many rows, as far as a machine without one can tell."""
    forward, held = trainer.LossTrainer.compute_loss, []

    def compute_loss(self, model, inputs, *arguments, **options):
        held.append(len(inputs["input_ids"]))
        if held[-1] > rows:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, model, inputs, *arguments, **options)

    monkeypatch.setattr(trainer.LossTrainer, "compute_loss", compute_loss)
    return held


def test_a_full_gpu_gets_the_same_batches_in_more_parts(workspace, monkeypatch, capfd):
    fit.train(config.parse(settings(epochs=6)), "bce")
    curve = workspace / "metrics/training/bce/training.csv"
    whole = [float(line.split(",")[1]) for line in curve.read_text().splitlines()[1:]]
    held = full_above(monkeypatch, 8)
    fit.train(config.parse(settings(epochs=6)), "bce")
    parts = [float(line.split(",")[1]) for line in curve.read_text().splitlines()[1:]]
    assert len(whole) > 0
    assert held[:3] == [32, 16, 8]
    assert max(held[2:]) == 8
    assert parts == pytest.approx(whole, rel=2e-3)
    said = capfd.readouterr().err
    assert "too small for 32 rows at a time: starting again with 2 parts of a batch of 32" in said
    assert "too small for 16 rows at a time: starting again with 4 parts of a batch of 32" in said


def test_a_gpu_too_small_for_one_row_is_an_error(workspace, monkeypatch):
    full_above(monkeypatch, 0)
    raw = settings()
    raw["train"]["batch_size"] = 4
    smaller = "lower train.max_length, or choose a smaller model than deberta-v3-tiny"
    with pytest.raises(UserError, match=rf"too small for 1 row\(s\) at a time; {smaller}"):
        fit.train(config.parse(raw), "bce")
    raw["train"]["batch_size"], raw["train"]["rows"] = 32, 155  # five batches of 31 rows
    with pytest.raises(UserError, match=rf"too small for 2 row\(s\) at a time; {smaller}"):
        fit.train(config.parse(raw), "bce")


@pytest.mark.parametrize("loss", ["two_way", "soft_f1"])
def test_a_loss_of_whole_batches_is_not_computed_in_parts(workspace, monkeypatch, loss):
    raw = settings()
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "2")
    message = f"losses.{loss}.function compares the rows of a batch, so splitting"
    with pytest.raises(UserError, match=message):
        fit.train(config.parse(raw), loss)
    monkeypatch.delenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS")
    held = full_above(monkeypatch, 8)
    with pytest.raises(UserError, match=r"32 row\(s\) at a time; lower train\.batch_size"):
        fit.train(config.parse(raw), loss)
    assert held == [32]


def test_only_losses_of_whole_batches_differ_in_parts():
    """A batch in four parts, each weighed by its share of the rows, as the Trainer does."""
    torch.manual_seed(0)
    logits, targets = torch.randn(32, 28).double(), (torch.rand(32, 28) < 0.1).double()
    counts = torch.tensor([*range(40, 68), 1000])
    entries = config.parse(settings()).losses
    differ = set()
    for entry in entries.values():
        loss = losses.build(entry, counts)
        parts = [loss(z, y) for z, y in zip(logits.split(8), targets.split(8), strict=True)]
        if abs(sum(parts) / 4 - loss(logits, targets)) > 1e-6:
            differ.add(entry.function)
    assert {entry.function for entry in entries.values()} == set(losses.FUNCTIONS)
    assert differ == losses.COMPARING_ROWS


@pytest.mark.parametrize("model", ["deberta-v3-tiny", "minilm-l6"])
def test_more_tokens_than_the_model_has_positions_for_are_refused(workspace, model):
    raw = settings()
    raw["model"], raw["train"]["max_length"] = model, 513
    p = config.parse(raw)
    if model == "minilm-l6":
        cache(model, p.models[model], p.model_folder)
    expected = f"train.max_length is 513; {model} takes at most 512 tokens: set it to 512 or less"
    with pytest.raises(UserError) as refused:
        fit.train(p, "bce")
    assert str(refused.value) == expected
    assert not (workspace / "models/trained").exists()


def test_mpnet_takes_two_tokens_fewer_than_it_has_positions(workspace):
    """Its positions are numbered from the one after the padding token's, 1."""
    raw = settings()
    p = config.parse(raw | {"train": raw["train"] | {"max_length": 511}})
    sizes = {"model_type": "mpnet", "max_position_embeddings": 512, "pad_token_id": 1}
    (workspace / p.model_folder / "config.json").write_text(json.dumps(sizes))
    with pytest.raises(UserError, match="takes at most 510 tokens: set it to 510 or less"):
        check_max_length(p)
    check_max_length(config.parse(raw | {"train": raw["train"] | {"max_length": 510}}))


def test_the_classifier_starts_at_the_log_odds_of_the_labels(workspace):
    train = splits.read(workspace / "data/sample/train.jsonl")
    p = config.parse(settings())
    loaded = build_classifier(p.model_folder, p.recipes["deberta-v3-tiny"], train)
    grief = train.labels.names.index("grief")
    positives = int(train.targets[:, grief].sum())
    expected = math.log((positives + 1) / (160 - positives + 1))
    assert loaded.classifier.bias[grief].item() == pytest.approx(expected, abs=1e-6)


def one_of_each():
    """Two rows, with one label each."""
    return splits.Split(["1", "2"], ["a", "b"], np.eye(2, dtype=bool), Labels(("yes", "no")))


def test_the_head_has_its_own_rate_and_only_matrices_decay(workspace):

    p = config.parse(settings(learning_rate=1e-5, head_learning_rate=1e-3))
    recipe = p.recipes["deberta-v3-tiny"]
    loaded = build_classifier(p.model_folder, recipe, one_of_each())
    names = {id(parameter): name for name, parameter in loaded.named_parameters()}
    found = {
        names[id(parameter)]: (group["lr"], group["weight_decay"])
        for group in parameter_groups(loaded, recipe, weight_decay=0.01)
        for parameter in group["params"]
    }
    assert set(found) == set(names.values())
    assert found["deberta.embeddings.word_embeddings.weight"] == (1e-5, 0.0)
    assert found["classifier.weight"] == (1e-3, 0.01)
    assert found["classifier.bias"] == (1e-3, 0.0)
    assert found["pooler.dense.weight"] == (1e-3, 0.01)
    layer = "deberta.encoder.layer.1.attention.self.query_proj"
    assert found[f"{layer}.weight"] == (1e-5, 0.01)
    assert found[f"{layer}.bias"] == (1e-5, 0.0)
    assert found["deberta.embeddings.LayerNorm.weight"] == (1e-5, 0.0)


def test_the_pooling_layer_of_minilm_starts_as_the_mean_over_its_tokens(tmp_path, monkeypatch):
    from transformers import AutoModel, AutoTokenizer

    raw = settings()
    raw["model"] = "minilm-l6"
    p = config.parse(raw)
    monkeypatch.chdir(tmp_path)
    cache("minilm-l6", p.models["minilm-l6"], p.model_folder)
    classifier = build_classifier(p.model_folder, p.recipes["minilm-l6"], one_of_each()).eval()
    tokenizer = AutoTokenizer.from_pretrained(p.model_folder)
    batch = tokenizer(["thank you so much", "no"], padding=True, return_tensors="pt")
    with torch.no_grad():
        tokens = (
            AutoModel.from_pretrained(p.model_folder, dtype=torch.float32)
            .eval()(**batch)
            .last_hidden_state
        )
        mask = batch["attention_mask"][..., None]
        mean = (tokens * mask).sum(1) / mask.sum(1)
        pooled = classifier.bert(**batch).last_hidden_state[:, 0]
    expected = torch.nn.functional.layer_norm(4 * mean + tokens[:, 0], (384,))
    assert torch.allclose(pooled, expected, atol=1e-4)


# 160 rows in 5 batches of 32, and in 7 of 22 or 23; validation has 120.
@pytest.mark.parametrize(("processes", "batch_size"), [(2, 32), (2, 23), (3, 32)])
def test_several_processes_train_to_the_weights_of_one(workspace, tmp_path, processes, batch_size):
    raw = settings()
    raw["train"]["batch_size"] = batch_size
    fit.train(config.parse(raw), "bce")
    alone = load_file(workspace / "models/trained/bce/model.safetensors")
    curve = np.genfromtxt(workspace / "metrics/training/bce/validation.csv", delimiter=",")
    process = launch(
        workspace, raw, "torch.distributed.run", f"--nproc_per_node={processes}",
        HF_HOME=str(tmp_path),
    )  # fmt: skip
    _, stderr = process.communicate(timeout=200)
    assert process.returncode == 0, stderr
    summary = json.loads((workspace / "metrics/training/bce/summary.json").read_text())
    assert summary["processes"] == processes
    assert summary["steps"] == 2 * math.ceil(160 / batch_size)
    together = load_file(workspace / "models/trained/bce/model.safetensors")
    assert set(together) == set(alone)
    for name, tensor in alone.items():
        assert torch.allclose(together[name], tensor, atol=1e-4), name
    moved = (
        together["deberta.encoder.layer.0.output.dense.weight"]
        - load_file(workspace / "models/deberta-v3-tiny/model.safetensors")[
            "encoder.layer.0.output.dense.weight"
        ]
    )
    assert moved.abs().max() > 1e-2
    shared = np.genfromtxt(workspace / "metrics/training/bce/validation.csv", delimiter=",")
    np.testing.assert_allclose(shared, curve, rtol=1e-6)


@pytest.mark.parametrize("state", ["full", "read-only"])
def test_a_disk_that_is_full_or_read_only(disk, inputs, state):
    workspace = shutil.copytree(inputs, disk.folder / "run")
    (workspace / "params.yaml").write_text(yaml.safe_dump(settings(epochs=1)))
    train = [sys.executable, str(ROOT / "stages/train.py")]
    if state == "full":
        with contextlib.suppress(OSError), (disk.folder / "other").open("wb") as other:
            while True:
                other.write(bytes(2**16))
        os.truncate(disk.folder / "other", (disk.folder / "other").stat().st_size - 2**16)
    else:
        subprocess.run(["mount", "-o", "remount,ro", disk.folder], check=True)
    done = subprocess.run(train, cwd=workspace, capture_output=True, text=True)
    assert done.returncode == 1
    reason = {"full": "No space left on device", "read-only": "Read-only file system"}[state]
    assert re.match(rf"error: .*{reason}.*; fix that", done.stderr.splitlines()[-1])
    assert "Traceback" not in done.stderr
    assert not (workspace / "models/trained/bce").exists()

    if state == "full":
        (disk.folder / "other").unlink()
    else:
        subprocess.run(["mount", "-o", "remount,rw", disk.folder], check=True)
    subprocess.run(train, cwd=workspace, check=True)
    assert (workspace / "models/trained/bce/manifest.json").is_file()


def test_a_lost_process_ends_the_others_with_an_error(workspace, tmp_path):
    import psutil

    launcher = launch(
        workspace, settings(epochs=5000), "torch.distributed.run", "--nproc_per_node=2",
        HF_HOME=str(tmp_path),
    )  # fmt: skip
    curve = workspace / "metrics/training/bce/training.csv"
    rows = 0
    while rows < 3:
        assert launcher.poll() is None, launcher.communicate()
        with contextlib.suppress(FileNotFoundError):  # it is written anew each time
            rows = len(curve.read_text().splitlines())
        time.sleep(0.2)
    workers = psutil.Process(launcher.pid).children()
    assert len(workers) == 2
    workers[1].kill()
    _, stderr = launcher.communicate(timeout=300)
    assert launcher.returncode != 0
    assert "Signal 9" in stderr
    assert not any(worker.is_running() for worker in workers)
    assert not (workspace / "models/trained/bce").exists()


def test_fewer_processes_than_the_config_asks_for_is_an_error(workspace, tmp_path):
    """On CPUs `accelerate launch` starts one process where two were asked for."""
    config = tmp_path / "hf/accelerate/default_config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text(
        "compute_environment: LOCAL_MACHINE\ndistributed_type: 'NO'\nmixed_precision: 'no'\n"
        "num_processes: 2\nnum_machines: 1\nuse_cpu: true\n"
    )
    process = launch(
        workspace, settings(), "accelerate.commands.launch", HF_HOME=str(tmp_path / "hf")
    )
    _, stderr = process.communicate(timeout=200)
    assert process.returncode != 0
    assert "asks for num_processes 2, and 1 started" in stderr
    assert "torchrun --nproc_per_node 2" in stderr
