"""Trained models behind a page and a JSON API, on this machine."""

import contextlib
import shutil
import socket
import tempfile
from pathlib import Path

from goemotions.comparison import experiments
from goemotions.config import Params
from goemotions.errors import UserError, first_line
from goemotions.evaluation.trained import Classifier
from goemotions.network.inference import Precision

COMPARISON = Path("reports/comparison.html")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def run(
    params: Params,
    losses: list[str],
    chosen: list[str],
    *,
    host: str,
    port: int,
    precision: Precision = "fp32",
) -> None:
    """Serve until interrupted.

    Args:
        params: selects the dataset.
        losses: models/trained/<loss> of each; if this and `chosen` are empty, all that there are.
        chosen: experiments, whose trained models are taken from DVC's cache.
        host: an address of this machine to listen at.
        port: 0 takes a free one.
        precision: of the computation.

    Raises:
        UserError: packages are not installed, there is no model, one is damaged or has other
            labels than the first, or the address cannot be taken.
    """
    try:
        import uvicorn

        from goemotions.serving import app
    except ImportError as error:
        raise UserError(
            f"serve needs packages that are not installed ({first_line(error)}): "
            '`pip install -e ".[serve]"`'
        ) from None
    with listen(host, port) as listener, tempfile.TemporaryDirectory() as temporary:
        classifiers, data = load(params, losses, chosen, precision, Path(temporary))
        hosts = [*LOOPBACK, "[::1]"] if host in LOOPBACK else ["*"]  # as a Host header has it
        application = app.build(app.Models(classifiers, data), hosts=hosts, comparison=COMPARISON)
        shown = f"[{host}]" if ":" in host else host
        print(f"{', '.join(classifiers)}: http://{shown}:{listener.getsockname()[1]}")
        print("Press Ctrl-C to stop.", flush=True)
        settings = uvicorn.Config(
            application, log_level="warning", access_log=False, timeout_graceful_shutdown=5
        )
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(settings).run(sockets=[listener])


def load(
    params: Params, losses: list[str], chosen: list[str], precision: Precision, temporary: Path
) -> tuple[dict[str, Classifier], Path]:
    """The models by name, and the folder of the dataset that they were trained on.

    Args:
        temporary: where experiments' files are brought to from DVC's cache.

    Raises:
        UserError: there is no model, one is damaged, or they have different labels.
    """
    folders = {loss: params.trained_folder(loss) for loss in losses}
    if not losses and not chosen:
        folders = {
            folder.name: folder
            for folder in sorted(Path("models/trained").glob("*"))
            if (folder / "model.safetensors").is_file()
        }
        if not folders:
            raise UserError(
                "models/trained has no trained model; run `dvc repro`, or name experiments: "
                "`goemotions serve --experiments NAME`; `dvc exp list --all-commits` lists them"
            )
    if both := sorted(set(folders) & set(chosen)):
        raise UserError(
            f"{both[0]} is a loss of --losses and an experiment of --experiments; serve one of them"
        )
    classifiers = {name: Classifier.load(folder, precision) for name, folder in folders.items()}
    data = params.data_folder
    for number, name in enumerate(chosen):
        experiment = experiments.named(name)
        folder = temporary / str(number)
        experiments.bring_model(experiment, folder)
        classifiers[name] = Classifier.load(folder, precision)
        shutil.rmtree(folder)
        if number == 0 and not folders:
            data = Path("data", experiment.dataset)
            with contextlib.suppress(UserError):  # the workspace may have it
                experiments.bring(experiment, str(data), temporary / "data")
                data = temporary / "data"
    first = next(iter(classifiers))
    for name, classifier in classifiers.items():
        if (classifier.labels, classifier.single) != (
            classifiers[first].labels,
            classifiers[first].single,
        ):
            raise UserError(
                f"{name} has other labels than {first}; serve models with the same labels"
            )
    return classifiers, data


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens at the address.

    Raises:
        UserError: the address cannot be taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends at once (TCP_NODELAY) only on sockets that name the protocol; answers would
    # wait 40 ms otherwise.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        raise UserError(
            f"cannot listen on {host}, port {port}: {first_line(error)}; choose another port or "
            "address with --port or --host"
        ) from None
    return listener
