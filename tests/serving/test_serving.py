"""`goemotions serve`: its API through real sockets, and its page in a real browser."""

import asyncio
import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import numpy as np
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from goemotions import cli, config
from goemotions.commands import serve
from goemotions.data import splits
from goemotions.evaluation.trained import Classifier
from goemotions.io import digests
from goemotions.metrics.f1 import decide, sigmoid
from tests.browser import find, requested

ROOT = Path(__file__).parents[2]
TEXTS = ["thank you so much!", "", "this is awful 🤬"]


@pytest.fixture(scope="module")
def folder(made, tmp_path_factory):
    """A project with two trained models that differ in their thresholds."""
    folder = tmp_path_factory.mktemp("serving")
    shutil.copytree(made, folder, dirs_exist_ok=True)
    asl = folder / "models/trained/asl"
    shutil.copytree(folder / "models/trained/bce", asl)
    content = json.loads((asl / "thresholds.json").read_text())
    for method in content["methods"].values():
        method["logits"] = dict.fromkeys(method["logits"], -9.0)
        method["probabilities"] = dict.fromkeys(method["logits"], float(sigmoid(-9.0)))
    (asl / "thresholds.json").write_text(json.dumps(content))
    digests.write_manifest(asl)
    (folder / "reports").mkdir()
    (folder / "reports/comparison.html").write_text("<p id='g1-row-joy'>the comparison</p>")
    return folder


@pytest.fixture(scope="module")
def server(folder, tmp_path_factory):
    """Its address; afterwards it has logged nothing and ends at an interrupt."""
    log = tmp_path_factory.mktemp("log") / "stderr"
    command = [sys.executable, "-m", "goemotions.cli", "serve", "--port", "0"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    before = sorted(folder.rglob("*"))
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        first = process.stdout.readline()
        assert first.startswith("asl, bce: http://127.0.0.1:"), log.read_text()
        yield first.split(": ")[1].strip()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
        rest = process.stdout.read()
    assert rest == "Press Ctrl-C to stop.\n"
    assert log.read_text() == ""
    assert sorted(folder.rglob("*")) == before  # no text was stored
    process.stdout.close()


@pytest.fixture(scope="module")
def client(server):
    with httpx2.Client(base_url=server, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def classifiers(folder):
    return {loss: Classifier.load(folder / "models/trained" / loss) for loss in ("asl", "bce")}


def test_health_names_the_models_and_labels(client, classifiers):
    assert client.get("/health").json() == {
        "status": "ok", "models": ["asl", "bce"], "labels": classifiers["bce"].labels,
    }  # fmt: skip


def test_the_api_gives_each_models_probabilities_and_labels(client, classifiers):
    results = client.post("/predict", json={"texts": TEXTS}).json()["results"]
    assert len(results) == len(TEXTS)
    for name, classifier in classifiers.items():
        logits = classifier.logits(TEXTS)
        given = decide(logits, classifier.chosen(None))
        for row, result in enumerate(results):
            found = result[name]
            expected = dict(zip(classifier.labels, sigmoid(logits[row]), strict=True))
            assert found["probabilities"] == pytest.approx(expected, abs=2e-6)
            labels = {classifier.labels[label] for label in np.flatnonzero(given[row])}
            assert set(found["labels"]) == labels
            shares = [expected[label] for label in found["labels"]]
            assert shares == sorted(shares, reverse=True)
    assert set(results[0]["asl"]["labels"]) == set(classifiers["asl"].labels)


BAD = [
    ("/predict", {"texts": ["a", 5]}, 422, "texts[1]: Input should be a valid string"),
    ("/predict", {"texts": "a"}, 422, "texts: Input should be a valid list"),
    ("/predict", {"texts": []}, 422,
     "texts: List should have at least 1 item after validation, not 0"),
    ("/predict", {"texts": ["a"] * 10_000}, 422,
     "texts: List should have at most 1000 items after validation, not 10000"),
    ("/predict", {"text": "a"}, 422, "texts: Field required"),
    ("/predict", {"texts": ["a"], "model": "b"}, 422, "model: Extra inputs are not permitted"),
    ("/predict", {"texts": ["\ud800"]}, 422,
     "texts[0]: Input should be a valid string, unable to parse raw data as a unicode string"),
    ("/predict", {"texts": ["a"], "\ud83d": 1}, 422,
     "body: Input should be a valid string, unable to parse raw data as a unicode string"),
    ("/words", {"text": " "}, 422, "text has 0 words; it must have 1 to 200 to be explained"),
    ("/words", {"text": "a " * 201}, 422,
     "text has 201 words; it must have 1 to 200 to be explained"),
    ("/similar", {"text": "a", "model": "focal"}, 422,
     "model is 'focal'; it must be one of asl, bce"),
    ("/similar", {"text": "a", "model": "bce", "count": 0}, 422,
     "count: Input should be greater than or equal to 1"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "status", "detail"), BAD)
def test_a_bad_request_is_refused_by_name(client, path, body, status, detail):
    content = json.dumps(body)
    answer = client.post(path, content=content, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()) == (status, {"detail": detail})
    assert client.get("/health").status_code == 200


def test_other_bad_requests_are_refused_too(client):
    json_type = {"content-type": "application/json"}
    no_json = "body: it must be a JSON object, with the header content-type: application/json"
    # The last one is what a page elsewhere could send without asking first.
    for content, headers in ((b"nope", json_type), (b"[1]", json_type), (b'{"texts": ["a"]}', {})):
        answer = client.post("/predict", content=content, headers=headers)
        assert (answer.status_code, answer.json()) == (422, {"detail": no_json})
    assert client.post(
        "/predict", content=b'{"texts": ["\xff"]}', headers=json_type
    ).status_code in (400, 422)
    assert client.post("/predict", content=b"x" * 5_000_001, headers=json_type).status_code == 413
    # A name that is made to lead here.
    assert client.get("/", headers={"host": "elsewhere.example"}).status_code == 400
    for loopback in ("localhost", "127.0.0.1:8000", "[::1]:8000"):
        assert client.get("/health", headers={"host": loopback}).status_code == 200
    assert client.get("/nothing").status_code == 404
    assert client.get("/predict").status_code == 405


def test_a_words_effect_is_the_logit_with_it_minus_the_logit_without(client, classifiers):
    found = client.post("/words", json={"text": "so  good today"}).json()
    assert found["words"] == ["so", "good", "today"]
    for name, classifier in classifiers.items():
        whole, *without = classifier.logits(
            ["so  good today", "  good today", "so   today", "so  good "]
        )
        for index, label in enumerate(classifier.labels):
            expected = [whole[index] - one[index] for one in without]
            assert found["effects"][name][label] == pytest.approx(expected, abs=1e-4)


def similar(client, **wanted):
    for _ in range(300):
        found = client.post("/similar", json=wanted).json()
        if found["texts"]:
            return found
        assert found["done"] <= found["total"]
        time.sleep(0.1)
    raise AssertionError("the training texts were never embedded")


def test_the_nearest_text_to_a_training_text_is_itself_with_its_labels(client, folder):
    split = splits.load(folder / "data/sample", "train")["train"]
    row = 7
    names = [split.labels.names[label] for label in np.flatnonzero(split.targets[row])]
    found = similar(client, text=split.texts[row], model="bce", count=3)
    assert found["texts"][0] == {"text": split.texts[row], "labels": names, "similarity": 1.0}
    closeness = [one["similarity"] for one in found["texts"]]
    assert len(closeness) == 3
    assert closeness == sorted(closeness, reverse=True)
    distinct = {" ".join(text.lower().split()) for text in split.texts}
    assert (found["done"], found["total"]) == (len(distinct), len(distinct))


def test_the_texts_of_a_file_are_those_of_its_column(client):
    table = 'id,said\n1,"two\nlines, one cell"\n2,é\n'.encode()
    where = {"name": "a.csv", "column": "said"}
    assert client.post("/table", params=where, content=table).json() == {
        "texts": ["two\nlines, one cell", "é"]
    }
    rows = b'{"text": "a"}\n{"text": "b"}\n'
    assert client.post("/table", params={"name": "a.jsonl"}, content=rows).json() == {
        "texts": ["a", "b"]
    }
    half = b'{"text": "a\\ud83d"}\n'
    answer = client.post("/table", params={"name": "a.jsonl"}, content=half)
    assert answer.json() == {"texts": ["a?"]}
    for cell in (b"null", b"5", b'{"x": 1}'):
        row = b'{"text": "a"}\n{"text": ' + cell + b"}\n"
        answer = client.post("/table", params={"name": "a.jsonl"}, content=row)
        assert answer.status_code == 422
        assert answer.json()["detail"].startswith("a.jsonl, row 2: text is ")
    missing = client.post("/table", params={"name": "a.csv"}, content=table)
    assert missing.status_code == 422
    assert "a.csv has no column 'text'; it has 'id', 'said'" in missing.json()["detail"]
    unknown = client.post("/table", params={"name": "a.docx"}, content=table)
    assert unknown.json() == {
        "detail": "the file is 'a.docx'; its name must end in .csv, .tsv, .jsonl, .json, .ndjson, "
        ".parquet"
    }


def test_a_client_that_hangs_up_disturbs_nobody(client, server):
    host, port = server.removeprefix("http://").split(":")
    body = json.dumps({"texts": ["good morning"] * 1000}).encode()
    head = f"POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    for sent in (body, body[:100]):  # after its request, and in the middle of it
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(
                head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + sent
            )
    answer = client.post("/predict", json={"texts": ["good morning"]})
    assert answer.status_code == 200


def test_many_clients_at_once_get_their_own_answers(client, server, classifiers):
    from concurrent.futures import ThreadPoolExecutor

    texts = [f"text number {number} {'good ' * (number % 7)}" for number in range(48)]

    def ask(text):
        answer = client.post("/predict", json={"texts": [text]})
        return list(answer.json()["results"][0]["bce"]["probabilities"].items())

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(ask, texts))
    expected = sigmoid(classifiers["bce"].logits(texts))
    for given, row in zip(found, expected, strict=True):
        by_label = dict(zip(classifiers["bce"].labels, row, strict=True))
        assert dict(given) == pytest.approx(by_label, abs=2e-6)


def refused(project, *arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main(["serve", "--port", "0", *arguments])
    return ended.value.code


def test_what_cannot_be_served_is_said(project, capsys):
    assert refused(project, "--losses", "bce", "focal") == 1
    assert "models/trained/focal does not exist" in capsys.readouterr().err
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert refused(project, "--port", str(port)) == 1
    assert f"cannot listen on 127.0.0.1, port {port}" in capsys.readouterr().err
    assert refused(project, "--port", "70000") == 1
    assert "port 70000" in capsys.readouterr().err
    shutil.rmtree(project / "models/trained")
    assert refused(project) == 1
    assert "models/trained has no trained model; run `dvc repro`" in capsys.readouterr().err


def test_answers_are_sent_at_once():
    """Without TCP_NODELAY each would wait 40 ms for the client's acknowledgement."""

    async def scenario():
        sent = asyncio.get_running_loop().create_future()
        with serve.listen("127.0.0.1", 0) as listener:

            async def answer(_, writer):
                taken = writer.get_extra_info("socket")
                sent.set_result(taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                writer.close()

            async with await asyncio.start_server(answer, sock=listener):
                _, writer = await asyncio.open_connection(*listener.getsockname())
                assert await asyncio.wait_for(sent, 10) != 0
                writer.close()

    asyncio.run(scenario())


def test_models_compute_in_the_precision_that_is_asked_for(project, tmp_path):
    params = config.load()
    for precision in ("fp32", "bf16"):
        models, data = serve.load(params, ["bce"], [], precision, tmp_path)
        assert models["bce"].network.precision == precision
        assert data == Path("data/sample")


@pytest.fixture
def browser(chromium, server):
    """The page, freshly opened; afterwards the console is clean and nothing else was asked."""
    chromium.set_window_size(1300, 1000)
    chromium.get_log("performance")
    chromium.get(server)
    yield chromium
    assert [entry["message"] for entry in chromium.get_log("browser")] == []
    asked = requested(chromium)
    assert {url for url in asked if not url.startswith(("data:", "blob:", f"{server}/"))} == set()
    assert f"{server}/" in asked


def wait_for(condition):
    for _ in range(1200):
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("it never happened")


def classify(browser, text):
    find(browser, "#texts")[0].send_keys(text, Keys.CONTROL, Keys.ENTER)
    return wait_for(lambda: find(browser, "article"))


def test_typed_texts_are_shown_side_by_side(browser, client, classifiers):
    articles = classify(browser, "thank you so much!\nawful")
    assert [one.find_element("css selector", "h3").text for one in articles] == [
        "thank you so much!", "awful",
    ]  # fmt: skip
    given = client.post("/predict", json={"texts": ["thank you so much!"]}).json()["results"][0]
    bars = articles[0].find_elements("css selector", "[role=img]")
    label = articles[0].find_element("css selector", "tbody th").text
    threshold = sigmoid(classifiers["asl"].chosen(None)[0])
    assert bars[0].get_attribute("aria-label") == (
        f"asl: {label} {given['asl']['probabilities'][label]:.3f}, threshold {threshold:.3f}, "
        "predicted"
    )
    only_asl = [one for one in classifiers["bce"].labels if one not in given["bce"]["labels"]]
    said = articles[0].find_element("css selector", ".disagree").text
    assert said == f"The models disagree on {', '.join(only_asl)}."
    assert find(browser, "#disagreement")[0].text == "The models disagree on 2 of 2 texts."
    link = articles[0].find_element("link text", label)
    assert link.get_attribute("href").endswith(f"/comparison#g1-row-{label}")


def test_words_and_similar_texts_appear_at_a_button(browser, client):
    article = classify(browser, "so good today")[0]
    words, alike = article.find_elements("css selector", "button")[:2]
    words.click()
    select = Select(wait_for(lambda: article.find_elements("css selector", "select"))[0])
    select.select_by_visible_text("joy")
    effects = client.post("/words", json={"text": "so good today"}).json()["effects"]["bce"]["joy"]
    titles = [
        word.get_attribute("title") for word in article.find_elements("css selector", "p .word")
    ]
    assert titles[3:] == [f"{effect:.2f}" for effect in effects]  # asl's come first
    assert words.get_attribute("aria-expanded") == "true"
    alike.click()
    items = wait_for(lambda: article.find_elements("css selector", "li"))
    expected = similar(client, text="so good today", model="asl")["texts"]
    text = "return arguments[0].firstChild.textContent"
    assert [browser.execute_script(text, item) for item in items] == [
        one["text"] for one in expected
    ]
    words.click()
    assert article.find_elements("css selector", ".word") == []


def test_a_dropped_file_is_classified_and_shown_in_parts(browser, tmp_path):
    table = tmp_path / "said.csv"
    table.write_text("text\n" + "".join(f'"text {i}, quoted"\n' for i in range(45)))
    find(browser, "#file")[0].send_keys(str(table))
    wait_for(lambda: find(browser, "#status")[0].text == "45 texts classified.")
    assert len(find(browser, "article")) == 20
    assert find(browser, "article h3")[0].text == "text 0, quoted"
    find(browser, "#more")[0].click()
    find(browser, "#more")[0].click()
    assert len(find(browser, "article")) == 45
    assert not find(browser, "#more")[0].is_displayed()
    table.write_text("said\nhello\n")
    find(browser, "#file")[0].send_keys(str(table))
    status = wait_for(lambda: find(browser, "#status.wrong"))[0]
    assert "said.csv has no column 'text'; it has 'said'" in status.text
    (logged,) = browser.get_log("browser")
    assert "422 (Unprocessable Entity)" in logged["message"]


def test_only_disagreements_are_shown_and_labels_are_downloaded(browser):
    classify(browser, "thank you so much!\nawful")
    browser.execute_script(  # the models agree on the second text
        "for (const name of names) answered[1].given[name].labels = ['joy']; summarise(); restart()"
    )
    assert find(browser, "#disagreement")[0].text == "The models disagree on 1 of 2 texts."
    awful = find(browser, "article")[1]
    assert len(awful.find_elements("css selector", "tbody tr")) in (5, 6)  # joy and the best five
    awful.find_elements("css selector", "button")[2].click()
    assert len(awful.find_elements("css selector", "tbody tr")) == 28
    content = browser.execute_async_script(
        "const done = arguments[0], make = URL.createObjectURL;"
        "URL.createObjectURL = (blob) => { blob.text().then(done); return make.call(URL, blob); };"
        "HTMLAnchorElement.prototype.click = () => {};"
        "document.getElementById('download').click();"
    )
    header, first, second = csv.reader(content.splitlines())
    assert (header, first[0]) == (["text", "asl", "bce"], "thank you so much!")
    assert second == ["awful", "joy", "joy"]
    find(browser, "#only")[0].click()
    assert [one.text for one in find(browser, "article h3")] == ["thank you so much!"]


@pytest.mark.parametrize("width", [390, 1300, 1900])
def test_the_page_fits_its_width(browser, width):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    try:
        classify(browser, "thank you so much!\n" + "a" * 300)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_everything_has_a_name_and_can_be_reached_by_keyboard(browser):
    classify(browser, "good\nbad")
    unnamed = browser.execute_script(
        "return [...document.querySelectorAll('button, input, select, textarea')]"
        ".filter((one) => !(one.textContent.trim() || one.labels?.length || one.ariaLabel))"
        ".map((one) => one.outerHTML)"
    )
    assert unnamed == []
    focused = []
    for _ in range(12):
        ActionChains(browser).send_keys(Keys.TAB).perform()
        element = browser.switch_to.active_element
        focused.append(element.get_attribute("id") or element.text)
    for name in ("file", "column", "only", "download"):
        assert name in focused


def test_the_apis_page_asks_for_nothing_elsewhere(browser, server):
    browser.get(f"{server}/docs")
    wait_for(lambda: find(browser, ".opblock"))
    assert len(find(browser, ".opblock")) == 5
