"""How the weights are optimized: rates, clipping, decay, their average, and what is not finite."""

import numpy as np
import pytest
import torch
from scipy.special import expit, rel_entr
from transformers import TrainerCallback

from goemotions import config
from goemotions.data import splits
from goemotions.errors import UserError
from goemotions.training import fit, losses, teacher, trainer
from goemotions.training.averaging import WeightAverage
from goemotions.training.clipping import Clipping
from tests.small import settings

pytestmark = pytest.mark.filterwarnings("default::DeprecationWarning", "default::FutureWarning")


def built(*, taught=None, train=(), **recipe):
    """The training of the workspace, which has not begun; `train` are settings of that name."""
    raw = settings(**recipe)
    raw["train"].update(train)
    p = config.parse(raw)
    data = splits.load(p.data_folder, "train", "val")
    run = fit._Run(p, "bce", data["train"], data["val"], len(data["train"].ids), {}, taught)
    return fit._build(run, trainer.arguments(p.train, p.recipes[p.model], 1))[0]


class Watch(TrainerCallback):
    """What `look` sees before each update of the weights, given the model and the optimizer."""

    def __init__(self, look):
        self.look, self.seen = look, []

    def on_pre_optimizer_step(self, args, state, control, model=None, optimizer=None, **kwargs):
        self.seen.append(self.look(model, optimizer))


def watched(loop, look):
    watch = Watch(look)
    loop.add_callback(watch)
    loop.train()
    return watch.seen


def test_the_average_forgets_its_first_weights_quickly_and_then_decays():
    for decay, second, third in ((0.999, 2 / 11, 3 / 12), (0.2, 2 / 11, 0.2), (0.1, 0.1, 0.1)):
        model = torch.nn.Linear(1, 1, bias=False)
        average = WeightAverage(model, decay)
        for weight in (1.0, 2.0, 4.0):
            model.weight.data.fill_(weight)
            average.on_step_end(None, None, None)
        expected = third * (second * 1 + (1 - second) * 2) + (1 - third) * 4
        with average.applied():
            assert model.weight.item() == pytest.approx(expected, rel=1e-6)
        assert model.weight.item() == 4


def test_without_a_decay_there_is_no_average():
    model = torch.nn.Linear(1, 1)
    average = WeightAverage(model, 0.0)
    model.weight.data.fill_(4.0)
    average.on_step_end(None, None, None)
    assert average.weights == []
    with average.applied():
        assert model.weight.item() == 4


def test_the_weights_that_are_kept_are_the_average_over_the_steps(workspace):
    loop = built(epochs=1, ema_decay=0.25)
    after = []

    class AfterEachStep(TrainerCallback):
        def on_step_end(self, args, state, control, model=None, **kwargs):
            after.append(model.classifier.bias.detach().clone())

    loop.add_callback(AfterEachStep())
    loop.train()
    expected = after[0]
    for step, weights in enumerate(after[1:], start=1):
        decay = min(0.25, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weights
    assert len(after) == 5
    assert torch.allclose(loop.best.weights["classifier.bias"], expected, atol=1e-7)
    assert not torch.allclose(after[-1], expected, atol=1e-4)


def test_both_rates_rise_linearly_over_the_warm_up_and_then_fall_to_0(workspace):
    """20 steps, of which a fifth are the warm-up."""
    train = {"batch_size": 16, "warmup_ratio": 0.2}
    loop = built(train=train, learning_rate=1e-3, head_learning_rate=4e-3)
    head = loop.model.classifier.weight

    def rates(model, optimizer):
        of_head, of_encoder = set(), set()
        for group in optimizer.param_groups:
            has_head = any(parameter is head for parameter in group["params"])
            (of_head if has_head else of_encoder).add(group["lr"])
        return max(of_head), min(of_encoder)

    of_head, of_encoder = zip(*watched(loop, rates), strict=True)
    shares = [0, 0.25, 0.5, 0.75, *(left / 16 for left in range(16, 0, -1))]
    assert of_head == pytest.approx([4e-3 * share for share in shares])
    assert of_encoder == pytest.approx([1e-3 * share for share in shares])
    assert {group["lr"] for group in loop.optimizer.param_groups} == {0}


def norm_of_gradients(model, _):
    found = [p.grad for p in model.parameters() if p.grad is not None]
    return torch.nn.utils.get_total_norm(found).item()


def test_gradients_are_clipped_at_a_multiple_of_a_percentile_of_the_steps_before(workspace):
    loop = built(train={"gradient_clipping": 0.3})
    clipped = watched(loop, norm_of_gradients)
    norms = loop.clipping.norms.tolist()
    limits = [0.3 * np.quantile(norms[:step], 0.9) for step in range(1, 10)]
    assert clipped == pytest.approx([norms[0], *map(min, norms[1:], limits)], rel=1e-3)
    assert sum(np.less(limits, norms[1:])) > 4

    loop = built(train={"gradient_clipping": 0})
    assert watched(loop, norm_of_gradients)[0] == pytest.approx(norms[0])
    assert len(loop.clipping.norms) == 0


def test_one_extreme_gradient_does_not_raise_the_limit_and_a_new_level_does():
    clipping = Clipping(2)

    def clipped(norm):
        gradients = [torch.full((3, 3), norm / 5), torch.full((16,), norm / 5)]
        assert clipping.clip(gradients).item() == pytest.approx(norm)
        return torch.nn.utils.get_total_norm(gradients).item()

    assert clipped(60) == pytest.approx(60)  # the first one has nothing to be compared with
    assert [clipped(1) for _ in range(40)] == pytest.approx([1] * 40)
    assert [clipped(norm) for norm in (60, 1, 60)] == pytest.approx([2, 1, 2])
    found = [clipped(10) for _ in range(110)]
    assert found[0] == pytest.approx(2)
    assert found[20:] == pytest.approx([10] * 90)
    for _ in range(900):
        clipped(10)
    assert len(clipping.norms) == 1000


def test_after_a_spike_the_usual_norms_still_count():
    clipping, found = Clipping(2), []
    for norm in [1] * 40 + [1e5, 900, torch.inf, 900, 1]:
        gradient = torch.full((4,), norm / 2)
        clipping.clip([gradient])
        found.append(gradient.norm().item())
    assert found[:42] == pytest.approx([1] * 40 + [2, 2])
    assert found[43:] == pytest.approx([2, 1])


def test_a_first_step_without_a_gradient_sets_no_limit():
    clipping = Clipping(1)
    for norm in (0, 0, 3):
        gradient = torch.full((4,), norm / 2)
        clipping.clip([gradient])
        assert gradient.norm().item() == pytest.approx(norm)


@pytest.mark.parametrize("nothing", [0, 1e-4])
def test_steps_with_next_to_no_gradient_set_no_limit(nothing):
    """As of asl for a batch without a positive, which says nothing about other batches."""
    clipping = Clipping(1)
    without = [(nothing, nothing)] * 19
    early = (2, nothing or 2)  # the second and the third batch with a positive
    for norm, expected in [
        (2, 2), *[*without, early] * 2, *[*without, (2, 2)] * 5, (9, 2),
    ]:  # fmt: skip
        gradient = torch.full((4,), norm / 2)
        clipping.clip([gradient])
        assert gradient.norm().item() == pytest.approx(expected)


def test_steps_with_next_to_no_gradient_may_come_first():
    clipping = Clipping(1)
    without = [(1e-4, 1e-4)] * 19
    rarely = [(1e-4, 1e-4)] * 150
    steps = [*[*without, (2, 1e-4)] * 3, *[*without, (2, 2)] * 5, *[*rarely, (2, 2), (9, 2)] * 3]
    for norm, expected in steps:
        gradient = torch.full((4,), norm / 2)
        clipping.clip([gradient])
        assert gradient.norm().item() == pytest.approx(expected)


def test_the_scale_of_a_loss_has_no_effect(workspace):
    """AdamW divides by the gradients' size; a fixed limit on their norm would not."""
    found = []
    for factor in (1, 1000):
        loop = built(train={"gradient_clipping": 1.0})
        plain = loop.loss
        loop.loss = lambda logits, targets, plain=plain, factor=factor: (
            factor * plain(logits, targets)
        )
        loop.train()
        found.append(loop.best.logits)
    assert np.abs(found[0] - found[1]).max() < 0.01 * found[0].std(0).mean()


def test_weight_decay_shrinks_the_matrices_and_nothing_else(workspace):
    """Without a gradient AdamW's step is the decay alone."""
    loop = built(learning_rate=0.1, head_learning_rate=0.2, train={"weight_decay": 0.3})
    before = {name: p.detach().clone() for name, p in loop.model.named_parameters()}
    for parameter in loop.model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    loop.create_optimizer().step()
    found = dict(loop.model.named_parameters())
    layer = "deberta.encoder.layer.0."
    for name, share in {
        "classifier.weight": 1 - 0.2 * 0.3,
        "pooler.dense.weight": 1 - 0.2 * 0.3,
        f"{layer}attention.self.query_proj.weight": 1 - 0.1 * 0.3,
        f"{layer}output.dense.weight": 1 - 0.1 * 0.3,
        "classifier.bias": 1,
        "deberta.embeddings.LayerNorm.weight": 1,
        "deberta.embeddings.word_embeddings.weight": 1,
    }.items():
        assert before[name].abs().max() > 0.01, name
        assert torch.allclose(found[name], share * before[name], rtol=1e-6, atol=0), name


def test_a_teachers_share_of_the_loss_is_its_distance_at_the_temperature(workspace):
    split = splits.read(workspace / "data/sample/train.jsonl")
    values = 3 * np.random.default_rng(0).normal(size=split.targets.shape)
    teacher.write(workspace / "teachers/other", split, values, {})
    taught = teacher.read(workspace / "teachers/other", split)
    loop = built(taught=taught, train={"teacher_share": 0.3, "temperature": 3})
    batch = next(iter(loop.batches))
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        entries = torch.tensor(batch["labels"].numel())
        torch.manual_seed(0)  # of the dropout masks
        found = loop.compute_loss(loop.model, batch, num_items_in_batch=entries)
        torch.manual_seed(0)
        outputs = loop.model(**inputs)
    y, t = batch["labels"].double().numpy(), batch["taught"].double().numpy()
    z = outputs.logits.double().numpy()
    of_labels = -(y * np.log(expit(z)) + (1 - y) * np.log(expit(-z))).mean()
    q, p = expit(t / 3), expit(z / 3)
    of_teacher = 9 * (rel_entr(q, p) + rel_entr(1 - q, 1 - p)).mean()
    assert found.item() == pytest.approx(0.7 * of_labels + 0.3 * of_teacher, rel=1e-5)


def change_loss_at(step, monkeypatch, change):
    """Train with bce's loss, but at one step with what `change` makes of it."""
    build, steps = losses.build, []

    def changed(entry, counts):
        real = build(entry, counts)

        def loss(logits, targets):
            if logits.requires_grad:  # not in validation
                steps.append(len(steps) + 1)
                if steps[-1] == step:
                    return change(real(logits, targets), logits)
            return real(logits, targets)

        return loss

    monkeypatch.setattr(losses, "build", changed)


def refused(workspace, **changes):
    """How a training ends; the model that was there before stays."""
    old = workspace / "models/trained/bce"
    old.mkdir(parents=True)
    (old / "kept").write_text("old")
    with pytest.raises(UserError) as error:
        fit.train(config.parse(settings(**changes)), "bce")
    assert [path.name for path in old.iterdir()] == ["kept"]
    return str(error.value)


def test_the_step_whose_loss_is_not_finite_is_named(workspace, monkeypatch):
    """It is noticed after the second epoch, at step 10."""
    change_loss_at(7, monkeypatch, lambda loss, logits: loss * torch.nan)
    expected = "the loss is not finite at step 7; nothing was saved. Try a lower learning_rate"
    assert refused(workspace, epochs=3).startswith(expected)


def test_predictions_that_are_not_finite_after_the_last_update_end_the_training(
    workspace, monkeypatch
):
    """The loss of the epoch's last step is finite, and its gradient is not: 0 times infinity."""
    change_loss_at(5, monkeypatch, lambda loss, logits: loss + (0 * logits).sqrt().sum())
    expected = "the prediction is not finite at step 5; nothing was saved. Try a lower learning_"
    assert refused(workspace, epochs=1).startswith(expected)
