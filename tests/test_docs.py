"""What the documents show works: entries of params.yaml, Python, and the lists of entries."""

import contextlib
import io
import re
from itertools import groupby
from pathlib import Path

import pytest
import yaml

from goemotions import config
from goemotions.evaluation.trained import Classifier

ROOT = Path(__file__).parents[1]


def blocks(document, language):
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_every_entry_for_own_texts_can_be_copied(raw):
    tasks = {}
    for block in blocks("docs/own-texts.md", "yaml"):
        raw["datasets"] |= yaml.safe_load(block)
        for name in yaml.safe_load(block):
            tasks[name] = config.parse(raw).datasets[name].kind
    assert tasks == {
        "comments": "multi_label", "feedback": "single_label", "plots": "multi_label",
        "reviews": "multi_label",
        "studio": None, "tweets": None,
    }  # fmt: skip


def test_the_entries_of_another_base_model_can_be_copied(raw):
    (block,) = blocks("docs/experiments.md", "yaml")
    entries = yaml.safe_load(block.replace("<the commit on the Hub>", "abcd" * 10))
    raw["models"] |= entries["models"]
    raw["recipes"] |= entries["recipes"]
    p = config.parse(raw | {"model": "roberta-base"})
    assert p.models["roberta-base"].repo == "FacebookAI/roberta-base"
    assert p.recipes["roberta-base"].head_learning_rate == 2e-4


def test_mpnets_entry_for_the_hub_can_be_copied(raw):
    (block,) = blocks("docs/files.md", "yaml")
    files = raw["models"]["mpnet-base"]["files"]
    (entry,) = yaml.safe_load(block).values()
    raw["models"]["mpnet-base"] = entry | {"files": files}
    found = config.parse(raw | {"model": "mpnet-base"}).models["mpnet-base"]
    assert (found.source, found.files) == ("hub", files)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the file that it leaves open
def test_plain_transformers_gives_the_labels_of_predict(project):
    (code,) = blocks("docs/files.md", "python")
    folder, text = "models/trained/bce", "thank you so much!"
    assert code.count("models/trained/asl") == code.count(text) == 1
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code.replace("models/trained/asl", folder), "docs/files.md", "exec"), {})
    classifier = Classifier.load(Path(folder))
    (answer,) = classifier.answers(classifier.logits([text]), classifier.chosen(None))
    assert 0 < len(answer["labels"]) < len(classifier.labels)
    assert printed.getvalue() == f"{answer['labels']}\n"


def listed(document, header):
    """The entries in the first column of all tables with this header, with `-base` in full."""
    text = (ROOT / document).read_text(encoding="utf-8")
    found = set()
    for table in re.findall(rf"^{re.escape(header)}\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE):
        for row in table.splitlines():
            first, *others = re.findall(r"`([^`]+)`", row.split("|")[1])
            found.add(first)
            for name in others:
                short = name[0] in "-_"
                found.add(first.rpartition(name[0])[0] + name if short else name)
    return found


def test_every_loss_and_no_other_is_listed(settings):
    assert listed("docs/losses.md", "| loss | source |") == set(settings.losses)
    assert listed("README.md", "| `loss` | what it is |") == set(settings.losses)


def test_the_models_and_datasets_of_the_readme_are_those_of_params_yaml(settings):
    assert listed("README.md", "| `model` | where it comes from |") == set(settings.models)
    assert listed("README.md", "| `dataset` | what it is |") == set(settings.datasets)


DOCUMENTS = sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("docs/*.md"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_tables_have_a_header_and_rows_of_as_many_cells(document):
    lines = [line.strip() for line in document.read_text(encoding="utf-8").splitlines()]
    tables = [list(rows) for of_table, rows in groupby(lines, lambda s: s[:1] == "|") if of_table]
    for _, rule, *_ in tables:
        assert re.fullmatch(r"\|( ?-+ ?\|)+", rule)
    for rows in tables:
        assert len({row.count("|") for row in rows}) == 1
    assert sum("---|" in line or "--- |" in line for line in lines) == len(tables)


def anchors(text):
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_links_and_named_tests_lead_somewhere(document):
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!\w+:)([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        file = document.parent / path if path else document
        assert file.exists(), target
        assert not anchor or anchor in anchors(file.read_text(encoding="utf-8")), target
    for name in re.findall(r"tests/[\w/]+\.py", text):
        assert (ROOT / name).is_file(), name
