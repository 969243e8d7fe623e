"""The page and the JSON API over one or several trained models.

Texts are neither logged nor kept: they live in memory until their answer is sent.
"""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel, ConfigDict, Field, StrictStr
from starlette.middleware.trustedhost import TrustedHostMiddleware

from goemotions.data import splits, table_files
from goemotions.errors import UserError
from goemotions.evaluation.trained import Classifier
from goemotions.metrics.f1 import sigmoid
from goemotions.pages import render
from goemotions.serving import explanations
from goemotions.serving.batcher import Batcher, BusyError, GoneError, Logits
from goemotions.serving.explanations import Neighbours

MAX_TEXTS = 1000  # of a request
MAX_BYTES = 5_000_000  # of a request's body
MAX_WORDS = 200  # of a text to explain
CLOSED_REQUEST = 499  # nginx's status for a client that hung up; nobody reads it


# Half of a surrogate pair is refused only in a string with a constraint, even one like this.
Text = Annotated[str, Field(strict=True, min_length=0, description="any string, also an empty one")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Texts(_Body):
    """Texts to classify."""

    texts: list[Text] = Field(min_length=1, max_length=MAX_TEXTS)


class OneText(_Body):
    """A text to explain."""

    text: Text


class SimilarTo(_Body):
    """A text, and the model that compares it with others."""

    text: Text
    model: StrictStr
    count: int = Field(default=5, ge=1, le=50)


class Given(BaseModel):
    """What a model gives a text."""

    labels: list[str] = Field(description="those at or above their thresholds, best first")
    probabilities: dict[str, float]


class Predicted(BaseModel):
    """For each text, in the order of the request, each model's answer."""

    results: list[dict[str, Given]]


class Mattering(BaseModel):
    """How much each word raises each label's logit: that of the whole text minus without it."""

    words: list[str]
    effects: dict[str, dict[str, list[float]]] = Field(description="model -> label -> of each word")


class Neighbour(BaseModel):
    """A text of the training split."""

    text: str
    labels: list[str]
    similarity: float


class Similar(BaseModel):
    """The most similar texts; none before all `total` training texts are embedded."""

    done: int
    total: int
    texts: list[Neighbour]


class Table(BaseModel):
    """The texts of a file, in its order."""

    texts: list[str]


class Models:
    """Trained models with the same labels, and the training split that explains them.

    Attributes:
        classifiers: name -> model.
        data: data/<dataset>, whose training split has the similar texts.
    """

    def __init__(self, classifiers: dict[str, Classifier], data: Path) -> None:
        self.classifiers, self.data = classifiers, data
        self._computing = threading.Lock()  # tokenizers keep state, and cores are few
        self._starting = threading.Lock()  # requests run in several threads
        self._neighbours: dict[str, Neighbours] = {}
        self._failed: dict[str, Exception] = {}
        self._stopping = threading.Event()
        self._preparing: list[threading.Thread] = []

    def close(self) -> None:
        """End what prepares similar texts: a thread that is still in torch at exit would abort."""
        self._stopping.set()
        for thread in self._preparing:
            thread.join()

    @property
    def labels(self) -> list[str]:
        return next(iter(self.classifiers.values())).labels

    def compute(self, texts: list[str]) -> Logits:
        """Each model's logits for texts."""
        with self._computing:
            return {name: model.logits(texts) for name, model in self.classifiers.items()}

    def given(self, name: str, logits: Any) -> list[Given]:
        """A model's answers from its logits, [texts, labels]."""
        model = self.classifiers[name]
        return [Given(**answer) for answer in model.answers(logits, model.chosen(None))]

    def thresholds(self, name: str) -> dict[str, float] | None:
        """Each label's threshold as a probability; None in single-label data."""
        model = self.classifiers[name]
        chosen = model.chosen(None)
        if chosen is None:
            return None
        return dict(zip(model.labels, sigmoid(chosen).round(6).tolist(), strict=True))

    def similar(self, wanted: SimilarTo) -> Similar:
        """The most similar training texts; the first call for a model starts its preparation."""
        name = wanted.model
        with self._starting:
            if name in self._failed:
                raise self._failed.pop(name)
            if name not in self._neighbours:
                split = splits.load(self.data, "train")["train"]
                if list(split.labels.names) != self.labels:
                    raise UserError(
                        f"{self.data} has other labels than the model; select the model's dataset "
                        "in params.yaml and start the server again"
                    )
                self._neighbours[name] = Neighbours(self.classifiers[name], split)
                thread = threading.Thread(target=self._prepare, args=[name], daemon=True)
                self._preparing.append(thread)
                thread.start()
            found = self._neighbours[name]
        texts = []
        if found.ready:
            with self._computing:
                nearest = found.nearest(wanted.text, wanted.count)
            texts = [Neighbour(text=t, labels=ls, similarity=round(s, 4)) for t, ls, s in nearest]
        return Similar(done=found.done, total=found.total, texts=texts)

    def _prepare(self, name: str) -> None:
        try:
            self._neighbours[name].prepare(self._computing, self._stopping)
        except Exception as error:  # told to whoever asks next
            with self._starting:
                del self._neighbours[name]
                self._failed[name] = error


def build(models: Models, *, hosts: Sequence[str], comparison: Path) -> FastAPI:
    """The application.

    Args:
        hosts: names that a browser may call it by; against pages elsewhere that have a name of
            theirs resolved to this machine.
        comparison: the page of `goemotions compare --html`, which is linked to where it exists.
    """
    batcher = Batcher(models.compute)

    def refuse_other_pages(request: Request) -> None:
        origin = request.headers.get("origin")  # which browsers send with every POST
        if origin and "*" not in hosts and urlsplit(origin).hostname not in hosts:
            raise HTTPException(403, f"pages of {origin} may not use this server")

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        running = asyncio.create_task(batcher.run())
        yield
        running.cancel()
        models.close()

    app = FastAPIOffline(
        title="goemotions",
        lifespan=lifespan,
        max_body_size=MAX_BYTES,
        redoc_url=None,
        dependencies=[Depends(refuse_other_pages)],
    )
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(UserError)(_refused)
    compared = comparison.read_text(encoding="utf-8") if comparison.is_file() else ""
    page = render.page(
        "serve.html",
        script="serve.js",
        labels=models.labels,
        models=[
            {"name": name, "limits": model.limits} for name, model in models.classifiers.items()
        ],
        thresholds={name: models.thresholds(name) for name in models.classifiers},
        max_bytes=MAX_BYTES,
        compared=bool(compared),
        # Of several comparisons, which one has these models cannot be told.
        linked=bool(compared) and 'id="g2"' not in compared,
    )

    _add_pages(app, page, comparison)
    _add_api(app, models, batcher)
    return app


def _add_pages(app: FastAPI, page: str, comparison: Path) -> None:
    @app.get("/", include_in_schema=False)
    async def index() -> HTMLResponse:
        return HTMLResponse(page)

    @app.get("/comparison", include_in_schema=False)
    async def compared() -> FileResponse:
        if not comparison.is_file():
            raise HTTPException(
                404, f"{comparison} does not exist; run `goemotions compare --html {comparison}`"
            )
        return FileResponse(comparison)


def _add_api(app: FastAPI, models: Models, batcher: Batcher) -> None:
    async def logits(texts: list[str], request: Request) -> Logits:
        try:
            return await batcher.logits(texts, request.is_disconnected)
        except BusyError as error:
            raise HTTPException(429, f"{error}; try again later") from None
        except GoneError:
            raise HTTPException(CLOSED_REQUEST) from None

    @app.get("/health")
    async def health() -> dict[str, Any]:
        """Whether it answers, and which models it has."""
        return {"status": "ok", "models": list(models.classifiers), "labels": models.labels}

    @app.post("/predict")
    async def predict(body: Texts, request: Request) -> Predicted:
        """Each model's labels and probabilities for each text."""
        found = await logits(body.texts, request)
        columns = {name: models.given(name, of_model) for name, of_model in found.items()}
        return Predicted(
            results=[
                {name: column[i] for name, column in columns.items()}
                for i in range(len(body.texts))
            ]
        )

    @app.post("/words")
    async def words(body: OneText, request: Request) -> Mattering:
        """How much each word of a text raises each label's logit, by leaving it out.

        Occlusion, as by Zeiler and Fergus 2014 (arXiv 1311.2901, section 4.2) for images.
        """
        found = body.text.split()
        if not 0 < len(found) <= MAX_WORDS:
            raise HTTPException(
                422, f"text has {len(found)} words; it must have 1 to {MAX_WORDS} to be explained"
            )
        of_all = await logits([body.text, *explanations.without_each(body.text)], request)
        return Mattering(
            words=found,
            effects={
                name: {
                    label: column.astype(float).round(4).tolist()
                    for label, column in zip(
                        models.labels, (of_model[0] - of_model[1:]).T, strict=True
                    )
                }
                for name, of_model in of_all.items()
            },
        )

    @app.post("/similar")
    def similar(body: SimilarTo) -> Similar:
        """The most similar texts of the training split; ask again until all are embedded."""
        if body.model not in models.classifiers:
            raise HTTPException(
                422, f"model is {body.model!r}; it must be one of {', '.join(models.classifiers)}"
            )
        return models.similar(body)

    @app.post("/table")
    async def table(request: Request, name: str, column: str = "text") -> Table:
        """The texts of a column of a CSV, TSV, JSON Lines or parquet file, which is the body."""
        content = await request.body()
        texts = await asyncio.to_thread(table_files.texts_in, name, content, column)
        # As a request's JSON: half of a surrogate pair cannot be sent back.
        return Table(texts=[text.encode("utf-8", "replace").decode() for text in texts])


async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
    """A request that is not as the API says: where, and what is wrong with it."""
    found = error.errors()[0]
    if found["type"] in ("json_invalid", "model_attributes_type"):
        detail = "body: it must be a JSON object, with the header content-type: application/json"
        return JSONResponse({"detail": detail}, status_code=422)
    where = "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}" for part in found["loc"][1:]
    )
    detail = f"{where.lstrip('.') or found['loc'][0]}: {found['msg']}"
    return JSONResponse({"detail": detail}, status_code=422)


async def _refused(_: Request, error: UserError) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, status_code=422)
