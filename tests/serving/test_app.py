"""What `goemotions serve` refuses and drops, without a socket."""

import asyncio
import json
import shutil
import threading
import time

import pytest
import uvicorn
from starlette.testclient import TestClient

from goemotions import cli, config
from goemotions.commands import serve
from goemotions.errors import UserError
from goemotions.evaluation.trained import Classifier
from goemotions.io import digests
from goemotions.serving import app, batcher, explanations


def test_whoever_asks_is_told_why_the_training_texts_cannot_be_read(made, monkeypatch):
    def fail(neighbours, computing, stopping):
        raise RuntimeError("the memory is full")

    monkeypatch.setattr(explanations.Neighbours, "prepare", fail)
    models = app.Models({"bce": Classifier.load(made / "models/trained/bce")}, made / "data/sample")
    wanted = app.SimilarTo(text="thank you", model="bce")
    deadline, told = time.monotonic() + 60, []
    while len(told) < 50:
        assert time.monotonic() < deadline, "nobody was told"
        try:
            assert models.similar(wanted).texts == []
        except RuntimeError as error:
            told.append(str(error))
    assert set(told) == {"the memory is full"}


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 200),
        ("http://localhost:8000", 200),
        ("http://[::1]:8000", 200),
        ("https://evil.example", 403),
        ("null", 403),
    ],
)
def test_pages_elsewhere_cannot_use_it(models, tmp_path, origin, status):
    hosts = [*serve.LOOPBACK, "[::1]", "testserver"]
    application = app.build(models, hosts=hosts, comparison=tmp_path / "none.html")
    with TestClient(application) as client:
        answer = client.post(
            "/table?name=a.csv", content=b"text\nhi\n", headers={"origin": origin} if origin else {}
        )
    assert answer.status_code == status
    expected = {"texts": ["hi"]}
    if status == 403:
        expected = {"detail": f"pages of {origin} may not use this server"}
    assert answer.json() == expected


class Computed(app.Models):
    """Models that remember which texts they have computed."""

    def __init__(self, classifiers, data):
        super().__init__(classifiers, data)
        self.texts = []

    def compute(self, texts):
        self.texts += texts
        return super().compute(texts)


@pytest.fixture(scope="module")
def models(made):
    classifier = Classifier.load(made / "models/trained/bce")
    return Computed({"bce": classifier}, made / "data/sample")


@pytest.fixture
def application(models, tmp_path):
    models.texts.clear()
    return app.build(models, hosts=["*"], comparison=tmp_path / "none.html")


def test_a_request_when_too_many_texts_wait_has_status_429(application, monkeypatch):
    monkeypatch.setattr(batcher, "MAX_WAITING", 3)
    with TestClient(application) as client:
        answer = client.post("/predict", json={"texts": ["a"] * 4})
        assert answer.status_code == 429
        assert answer.json() == {
            "detail": "0 texts are waiting, and at most 3 may; try again later"
        }
        assert client.post("/words", json={"text": "so good today"}).status_code == 429
        assert client.post("/predict", json={"texts": ["a"] * 3}).status_code == 200


def test_the_texts_of_a_client_that_has_hung_up_are_dropped(application, models):
    async def post(texts, *, hangs_up):
        """The status of a request, whose client may hang up once it is sent."""
        body = json.dumps({"texts": texts}).encode()
        received = [{"type": "http.request", "body": body, "more_body": False}]
        sent = []

        async def receive():
            if received:
                return received.pop(0)
            if not hangs_up:
                await asyncio.sleep(3600)
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
        scope = {
            "type": "http", "method": "POST", "path": "/predict", "raw_path": b"/predict",
            "query_string": b"", "headers": headers, "scheme": "http", "http_version": "1.1",
            "server": ("localhost", 80), "client": ("localhost", 1), "root_path": "",
        }  # fmt: skip
        await application(scope, receive, send)
        return sent[0]["status"]

    async def scenario():
        async with application.router.lifespan_context(application):
            return [await post(["left"], hangs_up=True), await post(["stays"], hangs_up=False)]

    assert asyncio.run(asyncio.wait_for(scenario(), 300)) == [499, 200]
    assert models.texts == ["stays"]


@pytest.mark.parametrize(
    ("page", "linked"), [(None, False), ('<h2 id="g1">', True), ('<h2 id="g1"><h2 id="g2">', False)]
)
def test_labels_link_to_a_page_with_one_comparison_only(made, tmp_path, page, linked):
    models = app.Models({"bce": Classifier.load(made / "models/trained/bce")}, made / "data/sample")
    comparison = tmp_path / "comparison.html"
    if page is not None:
        comparison.write_text(page)
    with TestClient(app.build(models, hosts=["*"], comparison=comparison)) as client:
        html = client.get("/").text
    assert f'"linked": {json.dumps(linked)}' in html
    assert ("the comparison</a>" in html) == (page is not None)


def test_the_preparation_of_similar_texts_ends_before_the_server_does(made, tmp_path):
    """A thread that is still in torch when Python exits ends the process with an abort."""
    models = app.Models({"bce": Classifier.load(made / "models/trained/bce")}, made / "data/sample")
    application = app.build(models, hosts=["*"], comparison=tmp_path / "none.html")
    models._computing.acquire()
    with TestClient(application) as client:
        answer = client.post("/similar", json={"text": "thanks", "model": "bce"}).json()
        release = [models._stopping.wait, models._computing.release]
        threading.Thread(target=lambda: [act() for act in release], daemon=True).start()
    assert [thread.is_alive() for thread in models._preparing] == [False]
    neighbours = models._neighbours["bce"]
    assert answer["done"] == 0
    assert (neighbours.done, neighbours.ready) == (explanations.CHUNK, False)


@pytest.mark.parametrize(
    ("option", "address", "elsewhere"),
    [
        ([], "127.0.0.1", 400),
        (["--host", "localhost"], "127.0.0.1", 400),
        (["--host", "0.0.0.0"], "0.0.0.0", 200),
    ],
)
def test_another_address_than_the_loopback_one_answers_to_any_name(
    project, monkeypatch, capsys, option, address, elsewhere
):
    found = []

    def run(server, sockets):
        with TestClient(server.config.app) as client:
            for name in ("elsewhere.example", "localhost:8000"):
                found.append(client.get("/health", headers={"host": name}).status_code)
        found.append(sockets[0].getsockname())

    monkeypatch.setattr(uvicorn.Server, "run", run)
    assert cli.main(["serve", "--port", "0", *option]) == 0
    assert found[:2] == [elsewhere, 200]
    assert found[2][0] == address
    shown = option[-1] if option else address
    assert f"bce: http://{shown}:{found[2][1]}" in capsys.readouterr().out


def test_models_with_other_labels_are_not_served_together(project, tmp_path):
    other = shutil.copytree(project / "models/trained/bce", project / "models/trained/focal")
    for name in ("config.json", "thresholds.json"):
        text = (other / name).read_text().replace('"joy"', '"delight"')
        (other / name).write_text(text)
    digests.write_manifest(other)
    params = config.load()
    alone, _ = serve.load(params, ["focal"], [], "fp32", tmp_path)
    assert "delight" in alone["focal"].labels
    with pytest.raises(UserError) as refused:
        serve.load(params, [], [], "fp32", tmp_path)
    assert str(refused.value) == (
        "focal has other labels than bce; serve models with the same labels"
    )
    with pytest.raises(UserError, match="bce is a loss of --losses and an experiment of --exp"):
        serve.load(params, ["bce"], ["bce"], "fp32", tmp_path)
