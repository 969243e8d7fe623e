"""dvc.yaml declares exactly what the stages use; dvc.lock pins the real dataset."""

import ast
import os
import shutil
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def imported(path: Path) -> set[Path]:
    """The project's modules that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    files = set()
    for name in names:
        if name.startswith("goemotions."):
            module = SOURCE / Path(*name.split(".")).with_suffix(".py")
            files |= {module} if module.is_file() else set()
    return files


def closure(path: Path) -> set[Path]:
    """All of the project's modules that run when a stage's script does."""
    found, todo = set(), [path]
    while todo:
        for module in imported(todo.pop()) - found:
            found.add(module)
            todo.append(module)
    return found


def script(stage: str) -> Path:
    return next(ROOT / word for word in STAGES[stage]["cmd"].split() if word.endswith(".py"))


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_code_deps_are_the_modules_that_the_stage_imports(stage):
    used = {path.relative_to(ROOT) for path in {script(stage), *closure(script(stage))}}
    code = {Path(dep) for dep in STAGES[stage]["deps"] if dep.startswith(("src/", "stages/"))}
    undeclared = {path for path in used if not code & {path, *path.parents}}
    unused = {dep for dep in code if not any(dep in {path, *path.parents} for path in used)}
    assert undeclared == set()
    assert unused == set()


def test_the_arrows_between_the_wings_run_down_only():
    order = ["dataset", "base_model", "training", "evaluation", "comparison"]
    for position, wing in enumerate(order):
        for path in (SOURCE / "goemotions" / wing).glob("*.py"):
            later = {SOURCE / "goemotions" / name for name in order[position + 1 :]}
            assert not {module.parent for module in imported(path)} & later, path


def test_training_imports_neither_dvc_nor_datasets():
    for path in closure(script("train")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            assert not {name.split(".")[0] for name in names} & {"dvc", "datasets", "dvclive"}


@pytest.mark.xdist_group("pipeline")
def test_the_lock_holds_the_digest_of_the_real_dataset(new_clone, tmp_path):
    mirror = Path(os.environ.get("GOEMOTIONS_MIRROR", ROOT / "../shared/mirror"))
    if not (ROOT / mirror / "datasets").is_dir():
        pytest.skip("there is no mirror of the Hub: set GOEMOTIONS_MIRROR")
    clone = new_clone("real", tmp_path / "cache")
    shutil.copy(ROOT / "params.yaml", clone.folder / "params.yaml")
    clone.env["GOEMOTIONS_MIRROR"] = str((ROOT / mirror).resolve())
    before = (clone.folder / "dvc.lock").read_text()
    pinned = yaml.safe_load(before)["stages"]["fetch_dataset"]["outs"]
    assert pinned[0]["path"] == "data/goemotions"
    output = clone.dvc("repro", "fetch_dataset", "--force")
    assert "43,410 train, 5,426 val, 5,427 test" in output
    assert (clone.folder / "dvc.lock").read_text() == before
