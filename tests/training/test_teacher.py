"""Learning from another model's logits."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.special import expit, rel_entr, softmax

from goemotions import config
from goemotions.data import splits
from goemotions.errors import UserError
from goemotions.evaluation.trained import Classifier
from goemotions.training import fit, teacher
from goemotions.training.losses import distillation
from tests.small import launch, settings


def logits(seed, rows=6, labels=5):
    return 3 * np.random.default_rng(seed).normal(size=(rows, labels))


def apart(student, taught, temperature, *, single=False):
    given = torch.from_numpy(student), torch.from_numpy(taught)
    return float(distillation(*given, temperature=temperature, single=single))


@pytest.mark.parametrize("temperature", [0.5, 1, 2, 7])
def test_the_distance_of_labels_is_their_divergence_times_the_squared_temperature(temperature):
    p, q = (expit(logits(seed) / temperature) for seed in (1, 2))
    divergence = rel_entr(p, q) + rel_entr(1 - p, 1 - q)
    expected = temperature**2 * divergence.mean()
    assert apart(logits(2), logits(1), temperature) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("temperature", [0.5, 2])
def test_the_distance_of_single_label_rows_is_that_of_their_softmax(temperature):
    p, q = (softmax(logits(seed) / temperature, axis=1) for seed in (1, 2))
    expected = temperature**2 * rel_entr(p, q).sum(1).mean()
    found = apart(logits(2), logits(1), temperature, single=True)
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("single", [True, False])
def test_a_student_that_equals_its_teacher_has_no_distance_and_no_gradient(single):
    student = torch.from_numpy(logits(1)).requires_grad_()
    found = distillation(student, torch.from_numpy(logits(1)), temperature=2, single=single)
    found.backward()
    assert found.item() == pytest.approx(0, abs=1e-12)
    assert student.grad.abs().max() < 1e-12


def test_half_precision_and_large_logits_keep_the_distance_finite():
    student, taught = torch.tensor([[200.0, -200.0]]).bfloat16(), torch.tensor([[-200.0, 200.0]])
    assert distillation(student, taught, temperature=1, single=False).item() == 200


def read(workspace):
    return splits.read(workspace / "data/sample/train.jsonl")


def write(workspace, name="other", split=None, values=None):
    split = split or read(workspace)
    if values is None:
        values = logits(0, len(split.ids), len(split.labels))
    teacher.write(workspace / "teachers" / name, split, values, {"experiments": []})
    return values


def test_what_is_written_is_read_for_the_rows_that_are_asked_for(workspace):
    split = read(workspace)
    values = write(workspace)
    folder = workspace / "teachers/other"
    np.testing.assert_allclose(teacher.read(folder, split), values, rtol=1e-3)
    some = dataclasses.replace(split, ids=split.ids[5:2:-1], texts=split.texts[5:2:-1])
    np.testing.assert_allclose(teacher.read(folder, some), values[5:2:-1], rtol=1e-3)
    assert json.loads((folder / "teacher.json").read_text()) == {"experiments": []}


def refused(workspace, name="other", split=None):
    with pytest.raises(UserError) as error:
        teacher.read(workspace / "teachers" / name, split or read(workspace))
    return str(error.value)


def test_an_unknown_teacher_is_refused_with_the_known_ones(workspace):
    write(workspace, "first")
    write(workspace, "second")
    path = workspace / "teachers/other/logits.npz"
    assert refused(workspace) == (
        f"teacher is 'other', and {path} does not exist; make it with `goemotions teach other "
        "EXPERIMENT`, or choose one of none, first, second"
    )


def test_a_teacher_that_lacks_rows_is_refused(workspace):
    split = read(workspace)
    some = dataclasses.replace(split, ids=split.ids[2:], texts=split.texts[2:])
    write(workspace, split=some)
    found = refused(workspace)
    assert f"is missing the texts of 2 of 160 training rows, such as {split.ids[0]!r};" in found


def test_a_teacher_that_read_other_texts_is_refused(workspace):
    split = read(workspace)
    write(workspace, split=dataclasses.replace(split, texts=[*split.texts[:-1], "changed"]))
    found = refused(workspace)
    assert f"is missing the texts of 1 of 160 training rows, such as {split.ids[-1]!r};" in found


def test_two_processes_learn_from_a_teacher_as_one_does(workspace, tmp_path):
    write(workspace)
    raw = settings()
    raw["teacher"] = "other"
    fit.train(config.parse(raw), "bce")
    alone = load_file(workspace / "models/trained/bce/model.safetensors")
    process = launch(
        workspace, raw, "torch.distributed.run", "--nproc_per_node=2", HF_HOME=str(tmp_path)
    )
    _, stderr = process.communicate(timeout=200)
    assert process.returncode == 0, stderr
    together = load_file(workspace / "models/trained/bce/model.safetensors")
    for name, tensor in alone.items():
        assert torch.allclose(together[name], tensor, atol=1e-4), name


def test_a_teacher_of_other_labels_is_refused(workspace):
    split = read(workspace)
    labels = dataclasses.replace(split.labels, names=split.labels.names[::-1])
    write(workspace, split=dataclasses.replace(split, labels=labels))
    assert "is for the labels neutral, surprise" in refused(workspace)


def test_a_teacher_of_another_task_is_refused(workspace):
    split = read(workspace)
    labels = dataclasses.replace(split.labels, task="single_label")
    write(workspace, split=dataclasses.replace(split, labels=labels))
    said = refused(workspace)
    assert "was made from single_label data, and the training split is multi_label" in said


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "nan"])
def test_a_damaged_teacher_is_refused(workspace, damage):
    values = write(workspace)
    path = workspace / "teachers/other/logits.npz"
    if damage == "nan":
        values[3, 3] = np.nan
        write(workspace, values=values)
    else:
        content = {"cut": path.read_bytes()[:-100], "empty": b"", "text": b"no archive"}
        path.write_bytes(content[damage])
    assert f"{path} is damaged (" in refused(workspace)


def trained(workspace, name, *, share=0.7, epochs=2, **changes):
    raw = settings(epochs=epochs, **changes)
    raw["teacher"] = name
    raw["train"]["teacher_share"] = share
    fit.train(config.parse(raw), "bce")
    return load_file(workspace / "models/trained/bce/model.safetensors")


def test_a_share_of_0_learns_from_the_labels_alone(workspace):
    write(workspace)
    alone, taught = trained(workspace, "none"), trained(workspace, "other", share=0.0)
    assert all(torch.equal(alone[name], taught[name]) for name in alone)


def test_a_share_of_1_learns_what_the_teacher_says_whatever_the_labels(workspace):
    """The teacher gives the first label to every text and the last one to none."""
    split = read(workspace)
    values = np.zeros((len(split.ids), len(split.labels)))
    values[:, 0], values[:, -1] = 3, -3
    write(workspace, values=values)
    trained(workspace, "other", share=1.0, epochs=6, learning_rate=0.02, head_learning_rate=0.02)
    found = Classifier.load(workspace / "models/trained/bce").logits(split.texts)
    assert found[:, 0].min() > 1 > -1 > found[:, -1].max()


def test_a_teacher_with_other_logits_makes_another_training_and_not_a_resumed_one(workspace):
    def key():
        raw = settings()
        raw["teacher"] = "other"
        p = config.parse(raw)
        data = splits.load(p.data_folder, "train", "val")
        taught = teacher.read(p.teacher_folder, data["train"])
        run = fit._Run(p, "bce", data["train"], data["val"], 160, {}, taught)
        return fit._determined_by(run, fit.trainer.arguments(p.train, p.recipes[p.model], 1))

    values = write(workspace)
    first = key()
    assert first == key()
    write(workspace, values=values + 1)
    assert first != key()


def test_the_first_line_of_a_training_names_the_teacher(workspace, capfd):
    write(workspace)
    trained(workspace, "other", epochs=1)
    assert "on 160 rows of sample, taught by other: 1 epoch(s)" in capfd.readouterr().out
