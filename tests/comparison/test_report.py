"""The page in a real browser: headless Chromium, where it and its driver are installed."""

import dataclasses
import json
import re
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from runs import analyse, run

from goemotions.comparison import analysis, plots
from goemotions.comparison.report import write as write_page
from goemotions.errors import UserError
from tests.browser import find, requested

EVIL = "<img src=x onerror=document.title='owned'>"
LOSSES = ("asl", "bce", EVIL)


TEXTS = {str(row): f"{EVIL} comment {row}" for row in range(600)}


def write(path, runs, texts=None):
    experiments = [experiment for experiment, _ in runs]
    comparisons = analyse(*runs)
    of_each = [texts or {}] * len(comparisons)
    write_page(path, experiments, comparisons, {e.key: scored for e, scored in runs}, of_each)
    return path


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Three losses by three seeds; one loss's name is an attack."""
    curve = [{"step": 10.0, "loss": 0.3}, {"step": 20.0, "loss": 0.2}]
    validation = [{"step": 20.0, "macro_f1": 0.5}]
    runs = [
        (
            experiment,
            dataclasses.replace(scored, training=curve, validation=validation),
        )
        for loss, error in zip(LOSSES, (0.05, 0.2, 0.1), strict=True)
        for experiment, scored in (run(loss, seed, error=error) for seed in (1, 2, 3))
    ]
    return write(tmp_path_factory.mktemp("report") / "deep" / "page.html", runs, TEXTS)


@pytest.fixture
def browser(chromium, report):
    """The page, freshly opened on a desktop; afterwards the console and network must be clean."""
    chromium.set_window_size(1200, 900)
    chromium.get_log("performance")  # of its start page
    chromium.get(report.as_uri())
    yield chromium
    assert [entry["message"] for entry in chromium.get_log("browser")] == []
    asked = requested(chromium)
    assert {url.split(":")[0] for url in asked} <= {"file", "data"}
    assert {url for url in asked if url.startswith("file")} == {report.as_uri()}


def inside(element, css):
    return element.find_elements("css selector", css)


def column(browser, number):
    return [
        cell.get_attribute("data-value")
        for cell in find(browser, f".losses tbody :is(th, td):nth-child({number})")
    ]


def test_a_click_sorts_the_table_down_and_another_up(browser):
    button = find(browser, ".losses th button")[2]
    assert button.text == "macro-F1"
    button.click()
    values = [float(value) for value in column(browser, 3)]
    assert values == sorted(values, reverse=True)
    assert find(browser, ".losses th")[2].get_attribute("aria-sort") == "descending"
    button.click()
    assert [float(value) for value in column(browser, 3)] == values[::-1]
    assert find(browser, ".losses th")[2].get_attribute("aria-sort") == "ascending"


def test_the_keyboard_sorts_and_empty_cells_stay_last(browser):
    from selenium.webdriver.common.keys import Keys

    button = find(browser, ".losses th button")[8]
    assert button.text == "p"
    for _ in range(2):
        button.send_keys(Keys.ENTER)
        values = column(browser, 9)
        assert values[-1] == ""  # the baseline has no p
    assert [float(value) for value in values[:-1]] == sorted(float(v) for v in values[:-1])
    body = find(browser, "body")[0]
    body.send_keys(Keys.TAB)
    assert browser.switch_to.active_element.aria_role in {"button", "region"}


def test_names_are_sorted_as_text(browser):
    find(browser, ".losses th button")[0].click()
    assert column(browser, 1) == sorted(LOSSES, reverse=True)


def panels(browser, kind):
    return [p for p in find(browser, f"[data-panel$='{kind}']") if p.is_displayed()]


def test_choosing_a_label_shows_its_curves_and_thresholds(browser):
    from selenium.webdriver.support.select import Select

    (shown,) = panels(browser, "-label")
    first = shown.get_attribute("data-of")
    select = Select(find(browser, "#g1-label")[0])
    other = next(option.text for option in select.options if option.text != first)
    select.select_by_visible_text(other)
    (shown,) = panels(browser, "-label")
    assert shown.get_attribute("data-of") == other
    titles = [title.get_attribute("textContent") for title in inside(shown, "g.curve > title")]
    assert sorted(titles) == sorted(LOSSES)
    assert "0.500" in shown.text  # every threshold of these runs


def test_a_label_of_the_heat_map_is_selected_below(browser):
    button = find(browser, ".heat button")[-1]
    button.click()
    (shown,) = panels(browser, "-label")
    assert shown.get_attribute("data-of") == button.text
    assert browser.switch_to.active_element.get_attribute("id") == "g1-label"


def test_choosing_a_loss_shows_its_differences_by_label(browser):
    from selenium.webdriver.support.select import Select

    select = Select(find(browser, "#g1-loss")[0])
    assert [option.text for option in select.options] == ["asl", EVIL]
    for loss in ("asl", EVIL):
        select.select_by_visible_text(loss)
        (shown,) = panels(browser, "-loss")
        assert shown.get_attribute("data-of") == loss
        assert len(inside(shown, "g.interval > title")) == 5


def test_every_seed_is_a_mark_and_every_run_shows_how_it_was_made(browser):
    tips = [tip.get_attribute("textContent") for tip in find(browser, "g.seed > title")]
    assert len(tips) == 9
    assert sum(tip.startswith(f"{EVIL}, seed 2: 0.") for tip in tips) == 1
    details = find(browser, "details")
    assert len(details) == 9
    details[0].find_element("css selector", "summary").click()
    assert "git checkout abc\ndvc exp run" in details[0].text


def test_what_comes_from_data_is_text(browser):
    assert browser.title == "Which loss is best?"
    assert find(browser, "img") == []
    assert EVIL in find(browser, ".losses")[0].text
    (figure,) = find(browser, f"svg[aria-label={json.dumps(f'Training loss of {EVIL} by step')}]")
    assert figure.aria_role == "img" or figure.get_attribute("role") == "img"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_background_in_both_schemes(browser, scheme):
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    pairs = browser.execute_script(
        """
        const over = (top, below) => {  // rgba over an opaque colour
          const a = top.length > 3 ? top[3] : 1;
          return [0, 1, 2].map((i) => a * top[i] + (1 - a) * below[i]);
        };
        const numbers = (text) => text.match(/[0-9.]+/g).map(Number);
        const paper = numbers(getComputedStyle(document.body).backgroundColor);
        return [...document.querySelectorAll(
            "h1, p, td, th button, .heat button, figcaption, svg text")]
          .map((e) => {
            const style = getComputedStyle(e);
            const ink = e.tagName === "text" ? style.fill : style.color;
            return [numbers(ink), over(numbers(style.backgroundColor), paper), e.outerHTML];
          });
        """
    )
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})

    def luminance(rgb):  # WCAG 2.2, relative luminance
        c = np.array(rgb[:3]) / 255
        return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [
            0.2126,
            0.7152,
            0.0722,
        ]

    assert sum(html.startswith("<text") for _, _, html in pairs) > 50
    assert (luminance(pairs[0][1]) < 0.1) == (scheme == "dark")
    for ink, paper, html in pairs:
        bright, dim = sorted((luminance(ink), luminance(paper)), reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= 4.5, html  # WCAG 2.2, 1.4.3


@pytest.mark.parametrize("pixels", [360, 390, 1300, 1900])
def test_only_tables_scroll_sideways_and_a_wide_screen_is_used(browser, pixels):
    metrics = {"width": pixels, "height": 740, "deviceScaleFactor": 2, "mobile": pixels < 400}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    width, view = browser.execute_script(
        "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    figure = find(browser, "figure")[0].rect
    conclusion = find(browser, ".conclusion")[0].rect
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert width <= view <= pixels
    if pixels < 400:
        assert figure["y"] > conclusion["y"] + conclusion["height"]
    else:  # side by side
        assert figure["x"] > pixels / 2 - 1
        assert figure["x"] + figure["width"] > 0.85 * pixels
        assert figure["y"] < conclusion["y"] + conclusion["height"]


def test_the_first_screen_has_the_answer_and_the_losses(browser):
    (conclusion,) = find(browser, ".conclusion")
    assert conclusion.text.startswith("asl is the best loss (at 95% confidence, over test rows")
    assert conclusion.rect["y"] < 300
    assert find(browser, "figure")[0].rect["y"] < 500
    verdicts = [cell for cell in column(browser, 11) if cell]
    assert verdicts == ["better", "better"]
    assert [cell.text.split() for cell in find(browser, "td.strong")] == [
        ["1.00", "may", "be", "the", "best"]  # of which only the number is seen
    ]
    assert find(browser, "g.joined") == []  # all three are told apart


def test_the_share_of_labels_falls_behind_each_labels_f1(monkeypatch):
    drawn = []
    step = Axes.step
    monkeypatch.setattr(Axes, "step", lambda *a, **k: drawn.append(step(*a, **k)) or drawn[-1])
    (comparison,) = analyse(*(run(loss, 1) for loss in LOSSES))
    plots.profile(comparison)
    for (line,), row in zip(drawn, comparison.rows, strict=True):
        values = sorted(label.f1[row.loss].value for label in comparison.labels)
        x, y = line.get_path().vertices.T
        for reached, value in enumerate(values):
            between = (value + (values[reached - 1] if reached else 0.0)) / 2
            # What a horizontal line has there: the share of labels with that F1 or more.
            lines = zip(x[:-1], y[:-1], x[1:], y[1:], strict=True)
            (height,) = {b for a, b, c, d in lines if a < between < c and b == d}
            assert height == pytest.approx(1 - reached / len(values))


def test_each_table_has_the_texts_of_its_own_test_split(tmp_path):
    runs = [run(loss, seed, error=0.2, **{"data/goemotions/test.jsonl": data})
            for data in ("old", "new") for loss, seed in (("asl", 1), ("bce", 1))]  # fmt: skip
    runs = [(dataclasses.replace(e, revision=f"{e.name}-{i}"), s) for i, (e, s) in enumerate(runs)]
    scored = {e.key: one for e, one in runs}
    found = analysis.analyse([e for e, _ in runs], scored)
    assert len(found) == 2
    texts = [dict.fromkeys(TEXTS, f"{when} words") for when in ("earlier", "later")]
    write_page(tmp_path / "page.html", [e for e, _ in runs], found, scored, texts)
    first, second = (tmp_path / "page.html").read_text().split('id="g2"')
    assert "earlier words" in first
    assert "later words" not in first
    assert "later words" in second


def test_losses_that_are_not_told_apart_are_joined_by_a_line(tmp_path):
    errors = {"a": 0.1, "b": 0.101, "c": 0.4}
    runs = [run(loss, seed, error=e) for loss, e in errors.items() for seed in (1, 2, 3)]
    html = write(tmp_path / "page.html", runs).read_text()
    (joined,) = re.findall(r'<g class="joined"><title>([^<]*)', html)
    assert sorted(joined.removeprefix("not told apart: ").split(", ")) == ["a", "b"]
    alone = write(tmp_path / "alone.html", [run("a"), run("b")]).read_text()
    assert 'class="joined"' not in alone  # one seed tells nothing


def test_a_text_filters_the_labels(browser):
    (box,) = find(browser, "input[type=search]")
    box.send_keys("C")
    shown = [row for row in find(browser, ".heat tbody tr") if row.is_displayed()]
    assert [inside(row, "button")[0].text for row in shown] == ["c"]
    box.clear()
    box.send_keys(" ")
    assert all(row.is_displayed() for row in find(browser, ".heat tbody tr"))


def test_the_labels_are_sorted_by_a_loss(browser):
    button = find(browser, ".heat th button")[2]
    assert button.text == "asl"
    button.click()
    values = [
        float(cell.get_attribute("data-value"))
        for cell in find(browser, ".heat tbody td:nth-child(3)")
    ]
    assert values == sorted(values, reverse=True)


def test_two_losses_are_compared_with_texts_that_one_gets_right(browser):
    from selenium.webdriver.support.select import Select

    first, second, label = (Select(find(browser, f"#g1-{end}")[0]) for end in ("a", "b", "of"))
    first.select_by_visible_text("bce")
    second.select_by_visible_text("asl")
    label.select_by_visible_text("b")
    (shown,) = [p for p in find(browser, "[data-pair-of]") if p.is_displayed()]
    assert shown.text.startswith("asl minus bce: +0.")
    assert shown.text.endswith("asl is better.")
    (texts,) = find(browser, "[data-texts]")
    titles = [title.text for title in inside(texts, "h4")]
    assert titles == ["bce is right, asl wrong", "asl is right, bce wrong"]
    (_, bce), (_, asl) = run("bce", 1, error=0.2), run("asl", 1, error=0.05)
    right = {name: one.decisions[:, 1] == one.targets[:, 1] for name, one in
             (("bce", bce), ("asl", asl))}  # fmt: skip
    for part, (ours, theirs) in zip(
        inside(texts, "div"), (("bce", "asl"), ("asl", "bce")), strict=True
    ):
        items = [item.text for item in inside(part, "li")]
        assert len(items) == 4
        for item in items:
            row = int(item.removeprefix(f"{EVIL} comment ").split(" ")[0])
            assert right[ours][row]
            assert not right[theirs][row]
            labels = [name for name, on in zip("abcde", asl.targets[row], strict=True) if on]
            assert item == f"{EVIL} comment {row} {', '.join(labels)}".rstrip()
    assert find(browser, "img") == []


def test_a_printed_page_is_white_and_its_tables_are_not_cut(browser):
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": dark})
    paper, overflow = browser.execute_script(
        "return [getComputedStyle(document.body).backgroundColor,"
        " [...document.querySelectorAll('.wide')].map((e) => getComputedStyle(e).overflowX)]"
    )
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    assert paper == "rgb(255, 255, 255)"
    assert set(overflow) == {"visible"}


def test_a_page_of_the_real_size_stays_small(tmp_path, monkeypatch):
    import runs

    rng = np.random.default_rng(0)
    monkeypatch.setattr(runs, "TARGETS", rng.random((5427, 28)) < 0.04)
    monkeypatch.setattr(runs, "IDS", [str(row) for row in range(5427)])
    monkeypatch.setattr(runs, "NAMES", [f"label {number}" for number in range(28)])
    made = [run(f"loss {n}", seed, error=0.02) for n in range(5) for seed in range(5)]
    path = write(tmp_path / "page.html", made)
    assert 200_000 < path.stat().st_size < 5_000_000
    html = path.read_text(encoding="utf-8")
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', html)) <= set(ids)
    assert write(tmp_path / "again.html", made).read_bytes() == path.read_bytes()


def test_a_page_is_written_through_a_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    link, target = tmp_path / "page.html", tmp_path / "elsewhere/page.html"
    link.symlink_to(target)
    write(link, [run("asl"), run("bce")])
    assert link.is_symlink()
    assert target.read_text(encoding="utf-8").startswith("<!doctype html>")
    with pytest.raises(UserError, match="--html is '/dev/null', which is not a regular file"):
        write(Path("/dev/null"), [run("asl"), run("bce")])


def test_a_path_that_cannot_be_written_is_an_error_and_leaves_no_draft(tmp_path):
    runs = [run("asl"), run("bce")]
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--html: cannot write"):
        write(tmp_path / "file" / "page.html", runs)
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=r"--html is .*folder', which is a folder; name a file"):
        write(tmp_path / "folder", runs)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_loss_that_todays_code_does_not_know_has_no_drawing(tmp_path):
    runs = [run("asl"), run("old", settings={"function": "bce"})]
    html = write(tmp_path / "page.html", runs).read_text(encoding="utf-8")
    assert "asl: value and gradient" in html
    assert "old: value and gradient" not in html
    assert '<th scope="row" data-value="old">old</th>' in html


def test_the_reason_for_several_groups_is_on_the_page(tmp_path):
    runs = [run("asl", **{"train.batch_size": 32}), run("bce", **{"train.batch_size": 16})]
    text = write(tmp_path / "page.html", runs).read_text()
    assert "not compared with each other, because they differ in train.batch_size." in text
    assert '<p class="dim">train.batch_size 32</p>' in text


def test_a_limited_training_is_named_on_the_page(tmp_path):
    runs = [run("asl", **{"train.rows": 500}), run("bce", **{"train.rows": 500})]
    text = write(tmp_path / "page.html", runs).read_text()
    assert "Training was limited (train.rows 500)" in text


def test_names_that_look_like_mathematics_or_formats_stay_as_they_are(tmp_path):
    runs = [run("$x^2$ {0}"), run("bce")]
    text = write(tmp_path / "page.html", runs).read_text()
    assert ">$x^2$ {0}</text>" in text


def test_the_users_own_matplotlib_style_changes_nothing(tmp_path):
    runs = [run("asl"), run("bce")]
    path = write(tmp_path / "page.html", runs)
    with matplotlib.rc_context({"lines.linewidth": 9, "svg.fonttype": "path"}):
        other = write(tmp_path / "other.html", runs)
    assert other.read_bytes() == path.read_bytes()


def made_up(monkeypatch, labels, rows):
    """Five losses on made-up data with some labels, the last of which no row has."""
    import runs

    rng = np.random.default_rng(0)
    targets = rng.random((rows, labels)) < 0.1
    targets[:, -1] = False
    monkeypatch.setattr(runs, "TARGETS", targets)
    monkeypatch.setattr(runs, "IDS", [str(row) for row in range(rows)])
    monkeypatch.setattr(runs, "NAMES", [f"label {number}!" for number in range(labels)])
    return [run(f"loss {number}", error=0.02) for number in range(5)]


def test_a_page_of_500_labels_stays_small_and_names_every_label(tmp_path, monkeypatch):
    made = made_up(monkeypatch, labels=500, rows=600)
    html = write(tmp_path / "page.html", made).read_text(encoding="utf-8")
    assert len(html.encode()) < 3_000_000
    shown, rest = re.findall(r'<table class="heat".*?</table>', html, re.S)
    names = re.findall(r'data-label="([^"]+)"', shown), re.findall(r'data-label="([^"]+)"', rest)
    assert [len(part) for part in names] == [30, 470]
    assert {*names[0], *names[1]} == {f"label {number}!" for number in range(500)}
    assert "<summary>The other 470 labels</summary>" in html
    assert "The 30 labels that differ most from loss" in html
    assert "1 label has no row in the test split" in html
    assert "every average over labels: label 499!." in html
    assert "label 499!" in names[1]
    heights = [float(h) for h in re.findall(r'viewBox="0 0 [\d.]+ ([\d.]+)"', html)]
    assert max(heights) < 700
    assert len(re.findall("Precision by recall of label", html)) == 30


def test_the_labels_that_differ_most_are_drawn(tmp_path, monkeypatch):
    made = made_up(monkeypatch, labels=40, rows=300)
    (comparison,) = analyse(*made)
    html = write(tmp_path / "page.html", made).read_text(encoding="utf-8")
    shown = re.findall(r'data-label="([^"]+)"', html.split("<summary>The other 10")[0])

    def most(label):
        return max(abs(one.value) for one in label.difference.values())

    rest = [label for label in comparison.labels if label.label not in shown]
    least = min(most(label) for label in comparison.labels if label.label in shown)
    assert all(most(label) <= least for label in rest)


def test_a_page_of_two_labels(tmp_path, monkeypatch):
    made = made_up(monkeypatch, labels=2, rows=100)
    html = write(tmp_path / "page.html", made).read_text(encoding="utf-8")
    assert re.findall(r'data-label="([^"]+)"', html) == ["label 0!", "label 1!"]
    assert "no row in the test split</td>" in html
    assert "thin lines for label 0!, the rarest" in html


def test_a_page_of_single_label_data_has_no_thresholds(tmp_path, monkeypatch):
    import runs

    chosen = np.random.default_rng(0).integers(5, size=600)
    monkeypatch.setattr(runs, "TARGETS", np.eye(5, dtype=bool)[chosen])
    settings = {"function": "cross_entropy", "smoothing": 0.1}
    made = []
    for experiment, scored in (run("a", settings=settings), run("b", settings=settings)):
        labels = dataclasses.replace(scored.labels, task="single_label")
        scored = dataclasses.replace(scored, labels=labels, thresholds=None)
        assert scored.decisions.sum(1).tolist() == [1] * 600
        made.append((experiment, scored))
    html = write(tmp_path / "page.html", made).read_text(encoding="utf-8")
    assert "threshold" not in html.split("How each run was made")[0]
    assert "a: value and gradient" in html
