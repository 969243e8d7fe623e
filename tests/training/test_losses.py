import math
from typing import get_args

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from goemotions import config
from goemotions.config.loss_settings import Asl, LossSettings
from goemotions.training import losses

LOGITS = [[0.0, 2.0, -1.5], [-3.5, 0.7, 1.0]]
TARGETS = [[1, 0, 0], [0, 1, 0]]
ASL = {"gamma_neg": 4, "gamma_pos": 1, "clip": 0.05}
COMBINED = {**ASL, "ratio": 0.7, "alpha": 0.25, "gamma": 2}


def tensors(dtype=torch.float64):
    return torch.tensor(LOGITS, dtype=dtype), torch.tensor(TARGETS)


def mean(term):
    """The mean of term(p, y, label) over the example."""
    terms = [
        term(1 / (1 + math.exp(-z)), y, label)
        for row, targets in zip(LOGITS, TARGETS, strict=True)
        for label, (z, y) in enumerate(zip(row, targets, strict=True))
    ]
    return sum(terms) / len(terms)


def bce_term(p, y, label=0):
    return -math.log(p) if y else -math.log(1 - p)


def asl_term(p, y, label=0, gamma_neg=4, gamma_pos=1, clip=0.05):
    if y:
        return -((1 - p) ** gamma_pos) * math.log(p)
    missed = max(p - clip, 0)
    return -(missed**gamma_neg) * math.log(1 - missed)


def focal_term(p, y, alpha, gamma):
    if y:
        return -alpha * (1 - p) ** gamma * math.log(p)
    return -(1 - alpha) * p**gamma * math.log(1 - p)


def counts(*labels, rows):
    return torch.tensor([*labels, rows])


def built(function, class_counts, **settings):
    """The loss that an entry of params.yaml with these settings is."""
    return losses.build(config.parse_loss({"function": function, **settings}), class_counts)


def bce(logits, targets, smoothing=0):
    return losses.bce(logits, targets, smoothing=smoothing)


def cross_entropy(logits, targets, smoothing=0):
    return losses.cross_entropy(logits, targets, smoothing=smoothing)


def test_bce_is_binary_cross_entropy():
    assert bce(*tensors()).item() == pytest.approx(mean(bce_term), rel=1e-12)


def test_bce_of_an_undecided_logit_is_log_2():
    assert bce(torch.zeros(1, 1), torch.ones(1, 1)).item() == pytest.approx(math.log(2))


def test_smoothing_moves_targets_toward_a_half():
    def term(p, y, label):
        target = 0.9 * y + 0.05
        return -target * math.log(p) - (1 - target) * math.log(1 - p)

    assert bce(*tensors(), smoothing=0.1).item() == pytest.approx(mean(term), rel=1e-12)


def test_focal_is_equation_5_of_its_paper():
    found = losses.focal(*tensors(), alpha=0.25, gamma=2)
    expected = mean(lambda p, y, label: focal_term(p, y, alpha=0.25, gamma=2))
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_focal_without_focusing_and_preference_is_half_of_bce():
    found = losses.focal(*tensors(), alpha=0.5, gamma=0)
    assert found.item() == pytest.approx(0.5 * bce(*tensors()).item(), rel=1e-12)


def test_weighted_bce_weighs_positives_by_how_rare_they_are():
    def term(p, y, label):
        return bce_term(p, y) * (((12 - (2, 4, 8)[label]) / (2, 4, 8)[label]) ** 0.5 if y else 1)

    found = built("weighted_bce", counts(2, 4, 8, rows=12), power=0.5)(*tensors())
    assert found.item() == pytest.approx(mean(term), rel=1e-12)


def test_weighted_bce_with_power_0_is_bce():
    found = built("weighted_bce", counts(2, 4, 8, rows=12), power=0)(*tensors())
    assert found.item() == pytest.approx(bce(*tensors()).item(), rel=1e-12)


def test_class_balanced_focal_weighs_by_the_effective_number_of_rows():
    raw = [(1 - 0.9) / (1 - 0.9**n) for n in (2, 4, 8)]
    weights = [3 * weight / sum(raw) for weight in raw]

    def term(p, y, label):
        return 2 * weights[label] * focal_term(p, y, alpha=0.5, gamma=2)

    found = built("class_balanced_focal", counts(2, 4, 8, rows=12), beta=0.9, gamma=2)(*tensors())
    assert found.item() == pytest.approx(mean(term), rel=1e-9)


def test_class_balanced_focal_with_beta_0_and_no_focusing_is_bce():
    found = built("class_balanced_focal", counts(2, 4, 8, rows=12), beta=0, gamma=0)(*tensors())
    assert found.item() == pytest.approx(bce(*tensors()).item(), rel=1e-9)


def test_class_balanced_weights_keep_their_digits_near_beta_1():
    """With beta -> 1 the weights go to those of inverse frequency."""
    logits, targets = tensors()
    class_counts = counts(2, 4, 8, rows=12)
    found = built("class_balanced_focal", class_counts, beta=1 - 1e-12, gamma=2)(logits, targets)
    inverse = [1 / n for n in (2, 4, 8)]
    expected = mean(
        lambda p, y, label: 6 * inverse[label] / sum(inverse) * focal_term(p, y, 0.5, 2)
    )
    assert found.item() == pytest.approx(expected, rel=1e-3)


DB = {"alpha": 0.1, "steepness": 10, "mu": 0.2, "kappa": 0.05, "scale": 5}


def test_distribution_balanced_by_hand():
    total = 0.0
    for row, targets in zip(LOGITS, TARGETS, strict=True):
        drawn = sum(1 / n for n, y in zip((2, 4, 8), targets, strict=True) if y)
        for z, y, n in zip(row, targets, (2, 4, 8), strict=True):
            weight = 0.1 + 1 / (1 + math.exp(-10 * ((1 / n) / drawn - 0.2)))
            shifted = z - 0.05 * math.log(12 / n - 1)
            if y:
                total += weight * math.log(1 + math.exp(-shifted))
            else:
                total += weight * math.log(1 + math.exp(5 * shifted)) / 5
    found = built("distribution_balanced", counts(2, 4, 8, rows=12), **DB)(*tensors())
    assert found.item() == pytest.approx(total / 6, rel=1e-12)


def test_distribution_balanced_with_nothing_to_balance_is_bce():
    """No slope: every weight is alpha + 1/2; no shift and no tolerance leave BCE."""
    plain = {"alpha": 0.5, "steepness": 0, "mu": 0, "kappa": 0, "scale": 1}
    found = built("distribution_balanced", counts(2, 4, 8, rows=12), **plain)(*tensors())
    assert found.item() == pytest.approx(bce(*tensors()).item(), rel=1e-12)


def test_zlpr_by_hand():
    first = math.log(1 + math.exp(-0.0)) + math.log(1 + math.exp(2.0) + math.exp(-1.5))
    second = math.log(1 + math.exp(-0.7)) + math.log(1 + math.exp(-3.5) + math.exp(1.0))
    assert losses.zlpr(*tensors()).item() == pytest.approx((first + second) / 2, rel=1e-12)


def test_zlpr_of_one_label_is_bce():
    logits, targets = torch.tensor([[0.3], [-2.0]]), torch.tensor([[1], [0]])
    assert losses.zlpr(logits, targets).item() == pytest.approx(bce(logits, targets).item())


def two_way_by_hand(temperature):
    def value(pairs):
        negative = math.log(sum(math.exp(z) for z, y in pairs if not y))
        positive = temperature * math.log(sum(math.exp(-z / temperature) for z, y in pairs if y))
        return math.log(1 + math.exp(negative + positive))

    rows = [list(zip(r, t, strict=True)) for r, t in zip(LOGITS, TARGETS, strict=True)]
    columns = [column for column in zip(*rows, strict=True) if any(y for _, y in column)]
    return sum(map(value, rows)) / len(rows) + sum(map(value, columns)) / len(columns)


@pytest.mark.parametrize("temperature", [1, 4])
def test_two_way_by_hand(temperature):
    found = losses.two_way(*tensors(), temperature=temperature).item()
    assert found == pytest.approx(two_way_by_hand(temperature), rel=1e-12)


def test_two_way_of_a_batch_without_labels_is_0_with_a_gradient_of_0():
    logits = torch.tensor(LOGITS, requires_grad=True)
    value = losses.two_way(logits, torch.zeros(2, 3), temperature=4)
    value.backward()
    assert value.item() == 0
    assert logits.grad.tolist() == [[0, 0, 0], [0, 0, 0]]


def test_soft_f1_by_hand():
    total = 0.0
    for label in range(3):
        soft = [1 / (1 + math.exp(-2 * (row[label] + 0.5))) for row in LOGITS]
        actual = [row[label] for row in TARGETS]
        hits = sum(s * y for s, y in zip(soft, actual, strict=True))
        total += 2 * hits / (sum(soft) + sum(actual))
    found = losses.soft_f1(*tensors(), slope=2, offset=0.5)
    assert found.item() == pytest.approx(1 - total / 3, rel=1e-12)


def test_soft_f1_with_a_steep_slope_is_one_minus_macro_f1():
    from sklearn.metrics import f1_score

    logits, targets = tensors()
    found = losses.soft_f1(logits, targets, slope=1e4, offset=0.1)
    score = f1_score(targets, logits + 0.1 > 0, average="macro", zero_division=0)
    assert found.item() == pytest.approx(1 - score)


def test_asl_is_equation_7_of_its_paper():
    assert losses.asl(*tensors(), **ASL).item() == pytest.approx(mean(asl_term), rel=1e-12)


def test_asl_of_undecided_logits():
    zero = torch.zeros(1, 1, dtype=torch.float64)
    positive = losses.asl(zero, torch.ones(1, 1), **ASL).item()
    negative = losses.asl(zero, torch.zeros(1, 1), **ASL).item()
    assert positive == pytest.approx(0.5 * math.log(2))
    assert negative == pytest.approx(0.45**4 * -math.log(0.55))


def test_asl_without_focusing_and_clip_is_bce():
    plain = losses.asl(*tensors(), gamma_neg=0, gamma_pos=0, clip=0)
    assert plain.item() == pytest.approx(bce(*tensors()).item(), rel=1e-12)


@pytest.mark.parametrize("gamma", [0, 1, 4])
def test_a_negative_below_the_clip_counts_for_nothing(gamma):
    logits = torch.tensor([[-3.0, -20.0]], requires_grad=True)  # p is 0.047 and 2e-9
    loss = losses.asl(logits, torch.zeros(1, 2), gamma_neg=gamma, gamma_pos=1, clip=0.05)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.tolist() == [[0, 0]]


def test_the_clip_leaves_positives_alone():
    logits, positives = torch.tensor([[-3.0, 1.0]]), torch.ones(1, 2)
    clipped = losses.asl(logits, positives, gamma_neg=4, gamma_pos=1, clip=0.5)
    assert clipped.item() == losses.asl(logits, positives, gamma_neg=4, gamma_pos=1, clip=0).item()


def test_combined_mixes_asl_with_focal_weighted_by_inverse_frequency():
    def term(p, y, label):
        weight = 12 / (3 * (2, 4, 8)[label])
        return 0.7 * asl_term(p, y) + 0.3 * weight * focal_term(p, y, alpha=0.25, gamma=2)

    found = built("combined", counts(2, 4, 8, rows=12), **COMBINED)(*tensors())
    assert found.item() == pytest.approx(mean(term), rel=1e-12)


def test_combined_with_ratio_1_is_asl():
    settings = {**COMBINED, "ratio": 1}
    found = built("combined", counts(1, 2, 3, rows=9), **settings)(*tensors())
    assert found.item() == pytest.approx(losses.asl(*tensors(), **ASL).item(), rel=1e-12)


def test_plain_focal_with_equal_weights_of_1_is_half_of_bce():
    settings = {**COMBINED, "ratio": 0, "alpha": 0.5, "gamma": 0}
    # 12 rows / (3 labels x 4 rows of each) is 1.
    found = built("combined", counts(4, 4, 4, rows=12), **settings)(*tensors())
    assert found.item() == pytest.approx(0.5 * bce(*tensors()).item(), rel=1e-12)


def test_a_class_half_as_frequent_weighs_twice_as_much():
    logits = torch.zeros(1, 2)
    settings = {**COMBINED, "ratio": 0}
    rare, frequent = (
        built("combined", counts(10, 20, rows=40), **settings)(logits, target)
        for target in (torch.tensor([[1, 0]]), torch.tensor([[0, 1]]))
    )
    # Weights are 40/(2x10) = 2 and 40/(2x20) = 1; 0.25 of log 2 for the hit, 0.75 for the other.
    unit = 0.5**2 * math.log(2) / 2
    assert rare.item() == pytest.approx((2 * 0.25 + 1 * 0.75) * unit)
    assert frequent.item() == pytest.approx((2 * 0.75 + 1 * 0.25) * unit)


def test_a_class_that_training_lacks_counts_as_one_row_and_stays_finite():
    none, one = (
        built("combined", counts(n, 5, 5, rows=10), **COMBINED)(*tensors()).item() for n in (0, 1)
    )
    assert math.isfinite(none)
    assert none == one


FUNCTIONS = {
    "bce": bce,
    "bce with smoothing": lambda z, y: bce(z, y, smoothing=0.1),
    "asl": lambda z, y: losses.asl(z, y, **ASL),
    "asl without clip": lambda z, y: losses.asl(z, y, gamma_neg=4, gamma_pos=1, clip=0),
    "asl without focusing": lambda z, y: losses.asl(z, y, gamma_neg=0, gamma_pos=0, clip=0.05),
    "combined": built("combined", counts(2, 4, 8, rows=12), **COMBINED),
    "focal": lambda z, y: losses.focal(z, y, alpha=0.25, gamma=2),
    "weighted_bce": built("weighted_bce", counts(2, 4, 8, rows=12), power=0.5),
    "class_balanced_focal": built(
        "class_balanced_focal", counts(2, 4, 8, rows=12), beta=0.999, gamma=2
    ),
    "distribution_balanced": built("distribution_balanced", counts(2, 4, 8, rows=12), **DB),
    "zlpr": losses.zlpr,
    "two_way": lambda z, y: losses.two_way(z, y, temperature=4),
    "soft_f1": lambda z, y: losses.soft_f1(z, y, slope=1, offset=0),
    "cross_entropy": lambda z, y: cross_entropy(z, y, smoothing=0),
    "label_smoothed": lambda z, y: cross_entropy(z, y, smoothing=0.1),
    "softmax_focal": lambda z, y: losses.softmax_focal(z, y, gamma=2),
}
# Whose value for a row, or a batch, depends on nothing else.
row_by_row = pytest.mark.parametrize(
    "loss",
    [loss for name, loss in FUNCTIONS.items() if name != "two_way"],
    ids=[name for name in FUNCTIONS if name != "two_way"],
)
single_label = pytest.mark.parametrize("name", ["cross_entropy", "label_smoothed", "softmax_focal"])
every_loss = pytest.mark.parametrize("loss", FUNCTIONS.values(), ids=FUNCTIONS)


@every_loss
def test_the_gradient_is_that_of_the_value(loss):
    logits, targets = tensors()
    assert torch.autograd.gradcheck(lambda z: loss(z, targets), logits.requires_grad_())


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("target", [0, 1])
def test_value_and_gradient_are_finite_at_extreme_logits(loss, dtype, target):
    column = torch.linspace(-80, 80, 321).to(dtype)[:, None]
    logits = column.expand(-1, 3).clone().requires_grad_()
    value = loss(logits, torch.full((321, 3), target))
    value.backward()
    assert value.dtype == torch.float32
    assert torch.isfinite(value)
    assert torch.isfinite(logits.grad).all()
    assert logits.grad.dtype == dtype


# What the authors' published code, or the library that took it over, gives for `six_rows`. None of
# it is here; all but zlpr's are sums over the entries, zlpr's is the mean over rows.
PUBLISHED = [
    # timm 1.0.31, AsymmetricLossMultiLabel(reduction="sum"), in float32
    (losses.asl, {"gamma_neg": 4, "gamma_pos": 1, "clip": 0.05}, 168, 178.2391357),
    (losses.asl, {"gamma_neg": 4, "gamma_pos": 0, "clip": 0.05}, 168, 181.4581909),
    (losses.asl, {"gamma_neg": 2, "gamma_pos": 1, "clip": 0.0}, 168, 314.6968994),
    # torchvision 0.29.2, sigmoid_focal_loss(reduction="sum"), which is fvcore's
    (losses.focal, {"alpha": 0.25, "gamma": 2}, 168, 203.14899476754601),
    (losses.focal, {"alpha": 0.5, "gamma": 1}, 168, 161.2228080839019),
    # bert4keras 0.11.5, multilabel_categorical_crossentropy, with NumPy for its backend
    (losses.zlpr, {}, 1, 13.067812133934163),
]


def six_rows():
    number = torch.arange(6 * 28, dtype=torch.float64).reshape(6, 28)
    return torch.sin(number * 1.7) * 6, (number * 7) % 5 == 0


@pytest.mark.parametrize(("function", "settings", "entries", "theirs"), PUBLISHED)
def test_the_value_is_that_of_the_published_code(function, settings, entries, theirs):
    ours = function(*six_rows(), **settings) * entries
    assert ours.item() == pytest.approx(theirs, rel=1e-6)


@row_by_row
def test_a_confident_mistake_costs_more_than_a_confident_hit(loss):
    sure = torch.full((1, 3), 6.0)
    right, wrong = torch.ones(1, 3), torch.zeros(1, 3)
    if loss in [FUNCTIONS[name] for name in ("cross_entropy", "label_smoothed", "softmax_focal")]:
        sure = torch.tensor([[6.0, 0.0, 0.0]])
        right, wrong = torch.tensor([[1, 0, 0]]), torch.tensor([[0, 1, 0]])
    assert loss(sure, wrong).item() > 10 * loss(sure, right).item() > 0


@row_by_row
def test_the_value_is_a_mean_over_the_batch(loss):
    logits, targets = tensors()
    twice = loss(logits.repeat(2, 1), targets.repeat(2, 1)).item()
    assert twice == pytest.approx(loss(logits, targets).item(), rel=1e-12)


@pytest.mark.parametrize("name", ["bce", "asl", "asl without focusing"])
def test_the_value_is_a_mean_over_the_labels(name):
    logits, targets = tensors()
    twice = FUNCTIONS[name](logits.repeat(1, 2), targets.repeat(1, 2)).item()
    assert twice == pytest.approx(FUNCTIONS[name](logits, targets).item(), rel=1e-12)


@every_loss
def test_inputs_are_left_unchanged(loss):
    logits, targets = tensors()
    loss(logits, targets)
    assert logits.tolist() == LOGITS
    assert targets.tolist() == TARGETS


@every_loss
def test_targets_may_be_of_any_dtype(loss):
    logits, targets = tensors()
    assert loss(logits, targets.bool()).item() == loss(logits, targets.double()).item()


def test_half_precision_logits_are_computed_in_float32():
    logits = torch.tensor(LOGITS).bfloat16()
    targets = torch.tensor(TARGETS)
    assert (
        losses.asl(logits, targets, **ASL).item()
        == losses.asl(logits.float(), targets, **ASL).item()
    )


def test_build_hands_the_settings_to_the_function():
    built = losses.build(Asl(function="asl", **ASL), counts(1, 1, 1, rows=3))
    assert built(*tensors()).item() == pytest.approx(mean(asl_term))


def softmax(logits):
    powers = [math.exp(z) for z in logits]
    return [power / sum(powers) for power in powers]


def test_cross_entropy_by_hand():
    # The true labels are the first of row 0 and the second of row 1.
    expected = -(math.log(softmax(LOGITS[0])[0]) + math.log(softmax(LOGITS[1])[1])) / 2
    assert cross_entropy(*tensors()).item() == pytest.approx(expected)


def test_smoothed_cross_entropy_by_hand():
    first, second = (list(map(math.log, softmax(row))) for row in LOGITS)
    rest, true = 0.3 / 3, 0.7 + 0.3 / 3
    expected = true * (first[0] + second[1])
    expected += rest * (first[1] + first[2] + second[0] + second[2])
    assert cross_entropy(*tensors(), smoothing=0.3).item() == pytest.approx(-expected / 2)


@pytest.mark.parametrize("smoothing", [0, 0.1, 0.75, 1])
def test_smoothing_is_that_of_torch(smoothing):
    logits, targets = tensors()
    theirs = torch.nn.CrossEntropyLoss(label_smoothing=smoothing)(logits, targets.argmax(1))
    assert cross_entropy(logits, targets, smoothing=smoothing).item() == pytest.approx(
        theirs.item(), rel=1e-12
    )


def test_softmax_focal_by_hand():
    shares = softmax(LOGITS[0])[0], softmax(LOGITS[1])[1]
    expected = -sum((1 - q) ** 2 * math.log(q) for q in shares) / 2
    assert losses.softmax_focal(*tensors(), gamma=2).item() == pytest.approx(expected)


def test_softmax_focal_without_focusing_is_cross_entropy():
    logits, targets = tensors()
    ours = losses.softmax_focal(logits, targets, gamma=0).item()
    assert ours == pytest.approx(cross_entropy(logits, targets).item(), rel=1e-12)


@single_label
def test_a_loss_for_single_label_data_ignores_what_all_logits_share(name):
    logits, targets = tensors()
    moved = FUNCTIONS[name](logits + 5, targets).item()
    assert moved == pytest.approx(FUNCTIONS[name](logits, targets).item(), rel=1e-9)


def test_a_loss_says_which_data_it_is_for(settings):
    tasks = {name: entry.task for name, entry in settings.losses.items()}
    single = [name for name, task in tasks.items() if task == "single_label"]
    assert single == ["cross_entropy", "label_smoothed", "softmax_focal"]
    assert set(tasks.values()) == {"single_label", "multi_label"}


def test_the_catalogue_holds_every_loss_and_first_the_five_of_the_question(settings):
    class_counts = counts(2, 4, 8, rows=12)
    value = {
        name: losses.build(entry, class_counts)(*tensors()).item()
        for name, entry in settings.losses.items()
    }
    assert list(value)[:5] == ["bce", "asl", "combined_70", "combined_50", "combined_30"]
    assert {entry.function for entry in settings.losses.values()} == set(losses.FUNCTIONS)
    assert value["bce"] == pytest.approx(mean(bce_term))
    assert value["asl"] == pytest.approx(mean(asl_term))
    for share in (70, 50, 30):
        direct = built("combined", class_counts, **{**COMBINED, "ratio": share / 100})(*tensors())
        assert value[f"combined_{share}"] == pytest.approx(direct.item())


def test_every_function_takes_the_settings_that_its_schema_has(settings):
    names = [get_args(m.model_fields["function"].annotation)[0] for m in get_args(LossSettings)]
    assert names == list(losses.FUNCTIONS)


class Dtypes(TorchDispatchMode):
    """The dtypes of all that is computed on a device."""

    def __init__(self, device):
        super().__init__()
        self.device, self.dtypes = device, set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.device.type == self.device:
            self.dtypes.add(result.dtype)
        return result


def test_nothing_on_the_device_of_the_logits_is_float64(settings):
    """Apple's GPUs have no float64; torch's `meta` stands in for their device."""
    logits = torch.zeros(2, 3, device="meta")
    entries = [entry for entry in settings.losses.values() if entry.function != "two_way"]
    for entry in entries:  # two_way picks rows by their values, which `meta` has not
        with Dtypes("meta") as seen:
            losses.build(entry, counts(2, 4, 8, rows=12))(logits, logits > 0)
        assert torch.float32 in seen.dtypes
        assert torch.float64 not in seen.dtypes


def test_class_weights_are_computed_when_the_loss_is_built_and_moved_once(monkeypatch):
    moved = losses._moved.__wrapped__
    calls = []
    monkeypatch.setattr(losses, "_moved", losses.lru_cache(lambda *a: calls.append(a) or moved(*a)))
    loss = built("class_balanced_focal", counts(2, 4, 8, rows=12), beta=0.9, gamma=2)
    assert calls == []
    monkeypatch.setattr(torch, "expm1", None)  # only the weights need it
    assert loss(*tensors()).item() == loss(*tensors()).item()
    assert len(calls) == 1
