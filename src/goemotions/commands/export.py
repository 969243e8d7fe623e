"""A trained folder ready to upload, with ONNX files and a model card."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from goemotions.comparison import analysis, experiments, measures, predictions
from goemotions.comparison.experiments import WORKSPACE, Experiment
from goemotions.config import Params
from goemotions.data import splits
from goemotions.errors import UserError
from goemotions.evaluation.trained import Classifier
from goemotions.io import digests, dvc_cache, publish
from goemotions.metrics.scores import headline
from goemotions.publishing import model_card, onnx_files


def run(params: Params, loss: str, output: Path, *, compared: bool = True) -> None:
    """Write the folder `output`, completely or not at all.

    Args:
        params: selects the dataset and the base model.
        loss: models/trained/<loss> is exported.
        compared: whether the card has the conclusion of `goemotions compare`, which experiments
            other than this one change.

    Raises:
        UserError: the trained folder or the test split is missing or invalid, packages are
            missing, or the ONNX file does not give the same logits.
    """
    trained = params.trained_folder(loss)
    _check_output(output, trained)
    classifier = Classifier.load(trained)
    split = splits.load(params.data_folder, "test")["test"]
    classifier.check_labels(split.labels, str(trained), params.data_folder)
    if params.evaluate.thresholds != "cross_validated":
        classifier = replace(classifier, preferred=params.evaluate.thresholds)
    _check_training(params, loss, trained)
    with tqdm(total=len(split.ids), unit="text", desc="test", file=sys.stderr) as bar:
        logits = classifier.logits(split.texts, advance=bar.update)
    with publish.published(output) as draft:
        for path in sorted(trained.iterdir()):
            shutil.copyfile(path, draft / path.name)
        checks = onnx_files.write(draft, trained, classifier, split, logits)
        scores = headline(
            logits,
            split.targets,
            split.labels,
            classifier.chosen(None),
            classifier.chosen("per_label"),
            resamples=params.evaluate.bootstrap,
            seed=params.evaluate.seed,
        )
        made, conclusion = _run(loss, compared=compared)
        text = model_card.card(
            model_card.Published(
                params, loss, classifier, split, logits, scores, checks, made, conclusion
            )
        )
        digests.write_manifest(draft)  # without the card, which may be edited
        (draft / "README.md").write_text(text, encoding="utf-8")
        files = sorted(str(p.relative_to(draft)) for p in draft.rglob("*") if p.is_file())
    print(f"{output}: {', '.join(files)}")
    for name, check in checks.items():
        left_out = "" if check.kept else ", so it is left out"
        print(
            f"{name}: macro-F1 {check.macro_f1:.4f} (torch's {scores['macro_f1']:.4f}), logits "
            f"differ by at most {check.difference:.2g}{left_out}"
        )
    print(f"to upload it: hf upload <user>/<name> {output}")


def _check_training(params: Params, loss: str, trained: Path) -> None:
    """Raise UserError where dvc.lock records another training than the card would describe."""
    lock = Path("dvc.lock")
    stages = (dvc_cache.parsed(lock.read_text(encoding="utf-8")) if lock.is_file() else {}) or {}
    stage = stages.get("stages", {}).get(f"train@{loss}")
    if stage is None:
        return
    outs = {out["path"]: out.get("md5", "") for out in stage.get("outs", [])}
    if dvc_cache.has_changed(Path(), outs.get(str(trained), ""), trained / digests.MANIFEST):
        raise UserError(
            f"{trained} is not from the run that dvc.lock records and that the model card would "
            f"describe; restore that run's model with `dvc checkout {trained}`, or a whole "
            "experiment with `dvc exp apply <name>`"
        )
    recorded = stage["params"]["params.yaml"]
    settings = params.losses[loss].model_dump()
    selected = {"model": params.model, "dataset": params.dataset, f"losses.{loss}": settings}
    for setting, value in selected.items():
        if (was := recorded.get(setting)) != value:
            raise UserError(
                f"{trained} was trained with {setting} {was}, and params.yaml has {value}; set it "
                f"back to {was}, or train again with `dvc exp run -S loss={loss}`"
            )


def _check_output(output: Path, trained: Path) -> None:
    """Raise UserError where a folder that is replaced holds anything but an earlier export."""
    there = output.resolve()
    if output.is_file() or there == trained.resolve() or Path.cwd().is_relative_to(there):
        raise UserError(f"--output is {str(output)!r}; name a folder that export may replace")
    earlier = (there / onnx_files.FLOAT).is_file() and not (there / ".git").exists()
    if there.is_dir() and any(there.iterdir()) and not earlier:
        raise UserError(
            f"--output is {str(output)!r}, which holds something else than an earlier export; name "
            "a folder that does not exist yet"
        )


def _run(loss: str, *, compared: bool) -> tuple[Experiment | None, str]:
    """The workspace's run of a loss, and what `goemotions compare` concludes about its group.

    The run has the name of the experiment that it is, if it is one. Without a comparison other
    experiments are not read, so that an output of the pipeline does not depend on them.
    """
    try:
        every = experiments.evaluated("" if compared else WORKSPACE)
    except UserError:  # no git, for example
        return None, ""
    run = next((one for one in every if one.key == WORKSPACE and one.loss == loss), None)
    if run is None:
        return None, ""
    if not compared:
        return run, ""
    recorded = (e for e in every if e.revision and not e.is_commits)
    same = next((e for e in recorded if _made_by(e) == _made_by(run)), run)
    run = replace(run, name=same.name)
    scored, alike = {}, []
    with predictions.reader() as read:
        for one in every:
            if one.comparable() == run.comparable():
                try:
                    scored[one.key] = read(one)
                except UserError:  # they are not there, or damaged
                    continue
                alike.append(measures.corrected(one, scored[one.key])[0])
    if len({one.loss for one in alike}) < 2:
        return run, ""
    (comparison,) = analysis.analyse(alike, scored)
    verdict = comparison.rows[0].may_be_best is not None
    return run, comparison.conclusion if verdict else ""


def _made_by(run: Experiment) -> tuple[Any, ...]:
    return run.loss, run.seed, run.settings, run.protocol, run.code, run.macro_f1
