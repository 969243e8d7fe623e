"""The cache verification report: could training start now, and if not, what fixes it?"""

import fcntl
import importlib.metadata
import json
import os
import platform
import shlex
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goemotions import config
from goemotions.config.dataset_settings import TEXTS, Dataset, FilesDataset, Table
from goemotions.config.model_settings import ScratchModel
from goemotions.data import splits
from goemotions.data.labels import FILE, Labels
from goemotions.errors import UserError, first_line
from goemotions.io import dvc_cache, hub, preflight
from goemotions.io.digests import MANIFEST, read_manifest, sha256
from goemotions.io.project import links_out_of_the_project, pulled_by
from goemotions.io.tracked import IN_ANOTHER_PLACE, beyond, untracked
from goemotions.models import prepare

if TYPE_CHECKING:
    from rich.console import Console

PACKAGES = (
    "torch", "transformers", "accelerate", "tokenizers", "safetensors", "sentencepiece",
    "protobuf", "scikit-learn", "numpy", "pyarrow", "dvc", "huggingface_hub",
)  # fmt: skip
NO_VOCAB_JSON = (
    "none needed: DeBERTa-v3 is tokenized by SentencePiece (spm.model); vocab.json and merges.txt "
    "belong to the byte-pair tokenizer of the first DeBERTa"
)


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Attributes:
        remedy: the command for a failure.
        stops: whether training cannot start with this failure.
        experiments: whether only experiments fail with it.
    """

    what: str
    ok: bool
    found: str
    remedy: str = ""
    stops: bool = True
    experiments: bool = False


@dataclass
class Report:
    """Everything that was checked."""

    checks: list[Check] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    only_experiments: bool = False

    def add(self, what: object, ok: bool, found: str, remedy: str = "", **kind: bool) -> None:
        """Put a check into the report."""
        self.checks.append(Check(str(what), ok, found, remedy, **kind))

    @property
    def ok(self) -> bool:
        """Whether nothing failed; what only experiments need counts where nothing else is asked."""
        ignored = not self.only_experiments
        return all(check.ok or (check.experiments and ignored) for check in self.checks)


def run(settings: config.Params, *, whole_cache: bool = False) -> Report:
    """Check the selected dataset and model, and whether both load. Never writes, never fetches.

    Args:
        whole_cache: also read every object of DVC's cache, of all experiments.
    """
    report = Report(environment=_environment())
    if absent := [name for name in PACKAGES if report.environment[name] == "not installed"]:
        found = f"{', '.join(absent)} not installed"
        report.add("packages", False, found, "make setup")
    _experiments(report)
    preflight.name_user()
    _links(report)
    _locks(report)
    _killed_dvc(report)
    _recorded(report, whole_cache=whole_cache)
    data_ok = _dataset(report, settings)
    what = f"losses.{settings.loss}"
    _run(report, what, lambda: _build_loss(settings, data_ok), "edit params.yaml")
    _teacher(report, settings)
    _model(report, settings, data_ok)
    return report


def verify_experiments() -> Report:
    """Check only whether DVC can run temporary and queued experiments here, and record them.

    Raises:
        UserError: this is not the project's folder.
    """
    preflight.require_project()
    report = Report(only_experiments=True)
    _experiments(report)
    return report


def show(report: Report, *, as_json: bool) -> None:
    """Print the report as a table, or as JSON with `ok`, `checks` and `environment`."""
    if as_json:
        checks = [asdict(check) for check in report.checks]
        content = {"ok": report.ok, "checks": checks, "environment": report.environment}
        print(json.dumps(content, indent=2))
        return
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    for name, value in report.environment.items():
        console.print(f"[dim]{name:<16}[/] {escape(value)}", soft_wrap=True)
    if report.environment:
        console.print()
    for check in report.checks:
        bad = "[yellow]WARN[/]" if check.experiments else "[bold red]FAIL[/]"
        mark = "[green]ok  [/]" if check.ok else bad
        console.print(f"{mark} {escape(check.what)}: {escape(check.found)}", soft_wrap=True)
    console.print()
    failed = [check for check in report.checks if not check.ok and not check.experiments]
    if any(check.stops for check in failed):
        console.print("[bold red]Training cannot start yet.[/] To fix it:")
    elif failed:
        console.print("[bold red]Training can start, but DVC's cache is damaged.[/] To fix it:")
    elif not report.only_experiments:
        console.print("[green]Training can start:[/] dvc repro")
    _show_commands(console, failed)
    if not all(check.stops for check in failed):
        console.print(
            "After that, these files are missing from the experiments that use them. Fetch them "
            "with `dvc exp pull <git remote> NAME` if they were pushed; if not, run that "
            "experiment again.",
            soft_wrap=True,
        )
    if lost := [check for check in report.checks if not check.ok and check.experiments]:
        console.print("[bold red]Experiments would fail or not be recorded.[/] To fix it:")
        _show_commands(console, lost)


def _show_commands(console: "Console", failed: list[Check]) -> None:
    from rich.markup import escape

    commands = dict.fromkeys(check.remedy for check in failed)
    for command in commands:
        if not any(other.endswith(f"&& {command}") for other in commands):
            console.print(f"  {escape(command)}", soft_wrap=True)


def _experiments(report: Report) -> None:
    if not Path(".dvc/config").is_file():
        return
    found = preflight.problems(Path())
    for problem in found:
        kind = {"stops": problem.stops, "experiments": not problem.stops}
        report.add(problem.what, False, problem.found, problem.remedy, **kind)
    if not found:
        what = "temporary and queued experiments"
        report.add(what, True, "DVC can run and record them here")


def _links(report: Report) -> None:
    """Links to another disk, and how DVC keeps the large files there without them."""
    links = links_out_of_the_project()
    for path, target in links.items():
        found = f"is a link to {target}, outside the project, where DVC records nothing"
        remedy = f"rm {path}"
        if path.parts[0] == "metrics":  # small files, some of which only git keeps
            remedy += f" && cp -R {shlex.quote(str(target))} {path}"
        report.add(path, False, found, remedy)
    large = [target for path, target in links.items() if path.parts[0] != "metrics"]
    if not large or not Path(".dvc/config").is_file():
        return
    cache = dvc_cache.cache_folder(Path())
    if cache.resolve().is_relative_to(Path.cwd()):
        new = shlex.quote(str(large[0] / "dvc-cache"))
        move = f"mv {shlex.quote(str(cache))} {new} && " if cache.is_dir() else ""
        remedy = f"{move}dvc cache dir --local {new} && dvc config --local cache.type symlink"
        found = "is in the project; on the other disk it would keep the large files there"
        report.add("DVC's cache", False, found, remedy)


def _locks(report: Report) -> None:
    """A file system without flock, which DVC takes for another dvc at work."""
    config = Path(".dvc/config")
    if not config.is_file() or not dvc_cache.uses_flock(Path()):
        return
    with config.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            found = f"this file system has no flock, which DVC locks itself with: {error.strerror}"
            remedy = "rm -f .dvc/tmp/lock && dvc config --local core.hardlink_lock true"
            report.add(".dvc/tmp/lock", False, found, remedy)


def _killed_dvc(report: Report) -> None:
    """What a DVC that was killed can leave, and no later one starts with."""
    path = Path(".dvc/tmp/rwlock")
    try:
        json.loads(path.read_bytes())
    except FileNotFoundError:
        pass
    except ValueError:
        report.add(path, False, "was half-written by DVC", f"rm -f {path}")
    if Path(".dvc/config").is_file():
        for path in dvc_cache.empty_runs(Path()):
            remedy = f"rmdir {shlex.quote(str(path))}"
            report.add(path, False, "was left empty by DVC", remedy)


def _recorded(report: Report, *, whole_cache: bool) -> None:
    what = "what dvc.lock records of data/ and models/"
    here = Path()
    if not (here / "dvc.lock").is_file():
        report.add(what, True, "no dvc.lock yet")
        return
    try:
        found = list(dvc_cache.differences(here))
    except Exception as error:  # a damaged dvc.lock, or no repository of DVC
        found_there = f"unreadable: {first_line(error)}"
        report.add(what, False, found_there, "git checkout dvc.lock")
        return
    for file in sorted(found, key=lambda file: not file.in_cache):
        if file.in_cache:
            found_there = f"differs from the {file.output} that dvc.lock records"
            remedy = f"rm -f {shlex.quote(str(file.path))}"
        else:
            found_there = "is not what dvc.lock records"
            remedy = (
                f"rm -rf {shlex.quote(str(file.output))} && dvc repro {shlex.quote(file.stage)}"
            )
        report.add(str(file.path), False, found_there, remedy)
    if not found:
        report.add(what, True, "nothing here or in DVC's cache differs from it")
    if whole_cache:
        wrong = set(dvc_cache.damaged(here)) - {file.path for file in found}
        for path in sorted(wrong):
            remedy = f"rm -f {shlex.quote(str(path))}"
            found_there = "does not match its name"
            report.add(path, False, found_there, remedy, stops=False)
        if not wrong:
            report.add("every object of DVC's cache", True, "unchanged")


def _dataset(report: Report, settings: config.Params) -> bool:
    folder, entry = settings.data_folder, settings.datasets[settings.dataset]
    remedy = "dvc repro fetch_dataset"
    _texts(report, settings.dataset, entry)
    if not _present(
        report, folder, [*(f"{s}.jsonl" for s in splits.SPLITS), FILE, splits.METADATA], remedy
    ):
        return False
    try:
        metadata = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
        recorded, rows = dict(metadata["sha256"]), dict(metadata["rows"])
    except (ValueError, KeyError, TypeError) as error:
        report.add(f"{folder}/metadata.json", False, f"unreadable: {error!r}", remedy)
        return False
    pinned: dict[Any, str] = (isinstance(entry, Table) and entry.sha256) or {}
    for split in splits.SPLITS:
        path = folder / f"{split}.jsonl"

        def check(path: Path = path, split: str = split) -> str:
            wanted = pinned[split] if split in pinned else recorded.get(split)
            digest = _digest(path, wanted)
            count = len(splits.read(path).ids)
            if count != rows.get(split):
                raise UserError(f"{count:,} rows, must be {rows.get(split)}")
            where = "as pinned" if split in pinned else "as in metadata.json"
            return f"{count:,} rows, {_size(path)}, SHA-256 {digest} {where}"

        _run(report, str(path), check, remedy)

    def check_labels() -> str:
        digest = _digest(folder / FILE, recorded.get("labels"))
        return f"{len(Labels.read(folder))} labels, SHA-256 {digest} as in metadata.json"

    _run(report, str(folder / FILE), check_labels, remedy)
    return all(c.ok for c in report.checks if c.remedy == remedy)


def _digest(path: Path, wanted: str | None) -> str:
    """The beginning of a file's SHA-256, which must be the wanted one."""
    if (digest := sha256(path)) != wanted:
        raise UserError(f"SHA-256 is {digest}, must be {wanted}")
    return f"{digest[:12]}…"


def _texts(report: Report, name: str, entry: Dataset) -> None:
    """The folder that fetch_dataset depends on, and the files in it that the entry names."""
    folder = Path(TEXTS, name)
    if not folder.is_dir():
        remedy = f"mkdir -p {folder} && touch {folder}/.gitkeep && git add {folder}"
        found = "is missing; fetch_dataset needs it, even if it is empty"
        report.add(folder, False, found, remedy)
    if not isinstance(entry, FilesDataset):
        return
    files = [Path(file) for file in entry.paths]
    for file in files:
        if not file.is_file():
            remedy = pulled_by(file) or f"copy it to {shlex.quote(str(file))}"
            report.add(file, False, "does not exist", remedy)
    there = [file for file in files if file.is_file()]
    for file in there:
        if place := beyond(file):
            remedy = f"replace {shlex.quote(str(place))} by a copy of what it leads to"
            report.add(file, False, IN_ANOTHER_PLACE.format(place), remedy)
    for file in untracked([file for file in there if not beyond(file)]):
        found = "is tracked by neither git nor DVC, so experiments would not have it"
        remedy = f"git add {shlex.quote(str(file))}"
        report.add(file, False, found, remedy)


def _model(report: Report, settings: config.Params, data_ok: bool) -> None:
    folder, entry = settings.model_folder, settings.models[settings.model]
    remedy = "dvc repro cache_model"
    required = list(prepare.REQUIRED)
    named = settings.model.startswith("deberta-v3")
    if isinstance(entry, ScratchModel) or prepare.SPM in entry.files:
        required.append(prepare.SPM)
    whole = _present(report, folder, required, remedy)
    if named:
        report.add("vocab.json, merges.txt", True, NO_VOCAB_JSON)
    if not whole:
        return
    try:
        pins = read_manifest(folder, remedy)
    except UserError as error:
        report.add(f"{folder}/{MANIFEST}", False, str(error), remedy)
        return
    for name, pin in pins.items():

        def check(name: str = name, pin: str = pin) -> str:
            path = folder / name
            if not path.is_file():
                raise UserError("missing")
            return f"{_size(path)}, SHA-256 {_digest(path, pin)} as in manifest.json"

        _run(report, str(folder / name), check, remedy)
    if all(c.ok for c in report.checks if c.remedy == remedy):
        _run(report, "train.max_length", lambda: _max_length(settings), "edit params.yaml")
        _run(report, "tokenizer loads", lambda: _load_tokenizer(settings, data_ok), remedy)
        _run(report, "model loads", lambda: _load_model(folder), remedy)


def _load_tokenizer(settings: config.Params, data_ok: bool) -> str:
    from goemotions.models.tokenizer import PROBES, disagreements

    folder = settings.model_folder
    size = len(prepare.load_tokenizer(folder))
    if not (folder / prepare.SPM).exists():
        return f"{size:,} tokens"
    texts: list[str] = list(PROBES)
    if data_ok:
        for split in splits.SPLITS:
            texts += splits.read(settings.data_folder / f"{split}.jsonl").texts
    different = disagreements(folder, texts)
    return (
        f"{size:,} tokens; ids differ from spm.model's on {len(different)} of {len(texts):,} texts"
        + (f", for example {different[0]!r}" if different else "")
    )


def _teacher(report: Report, settings: config.Params) -> None:
    from goemotions.training import teacher

    name, path = settings.teacher, settings.teacher_folder / teacher.LOGITS
    if name != teacher.NONE:
        ok = path.is_file()
        remedy = pulled_by(path)
        remedy = remedy or f"goemotions teach {name} EXPERIMENT  # or set teacher: {teacher.NONE}"
        found = "the teacher's logits are there" if ok else "does not exist"
        report.add(path, ok, found, remedy)


def _build_loss(settings: config.Params, data_ok: bool) -> str:
    import torch

    from goemotions.training import losses

    entry = settings.losses[settings.loss]
    count = len(Labels.read(settings.data_folder)) if data_ok else 2
    losses.build(entry, torch.ones(count + 1))
    return ", ".join(f"{key} {value}" for key, value in entry)


def _max_length(settings: config.Params) -> str:
    from goemotions.network.classifier import check_max_length

    check_max_length(settings)
    return f"{settings.train.max_length} tokens, which the model takes"


def _load_model(folder: Path) -> str:
    model = prepare.encoder(folder)
    return f"{type(model).__name__}, {model.num_parameters():,} parameters, {model.dtype}"


def _present(report: Report, folder: Path, names: list[str], remedy: str) -> bool:
    missing = [name for name in names if not (folder / name).is_file()]
    if not folder.is_dir():
        found = "missing"
    elif missing:
        present = [name for name in names if name not in missing]
        found = f"is missing {', '.join(missing)}; has {', '.join(present)}"
    else:
        found = f"all {len(names)} required files are there"
    report.add(folder, not missing, found, remedy)
    return not missing


def _run(report: Report, what: str, check: Callable[[], str], remedy: str) -> None:
    try:
        report.add(what, True, check(), remedy)
    except Exception as error:  # whatever a damaged file makes a library raise is a finding
        report.add(what, False, first_line(error), remedy)


def _environment() -> dict[str, str]:
    """Versions, accelerators, disk and where files would come from; "not installed" if so."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    found["accelerators"] = _accelerators()
    found["free disk"] = f"{shutil.disk_usage('.').free / 1e9:,.1f} GB"
    try:
        mirror: Any = hub.mirror()
    except UserError as error:
        mirror = error
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    offline = "" if mirror or hub.online() else " (offline)"
    found["files come from"] = str(mirror) if mirror else endpoint + offline
    return found


def _accelerators() -> str:
    import torch

    if torch.cuda.is_available():
        return ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    return f"none; {torch.get_num_threads()} CPU threads"


def _size(path: Path) -> str:
    size = path.stat().st_size
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size:,} bytes"
