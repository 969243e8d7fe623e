"""dvc.yaml declares exactly what the stages use; dvc.lock pins the real dataset."""

import ast
import graphlib
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
            module = SOURCE / Path(*name.split("."))
            if module.with_suffix(".py").is_file():
                files.add(module.with_suffix(".py"))
            package = module / "__init__.py"
            if package.is_file() and len(ast.parse(package.read_text()).body) > 1:  # not a title
                files.add(package)
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


# What carries a stage's output and does not determine it, so that a change makes nothing stale.
CARRIERS = {
    Path("src/goemotions/io"),  # files, locks, downloads: the bytes are pinned or digested
    Path("src/goemotions/errors.py"),  # messages
    Path("src/goemotions/config"),  # its values are params
}


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_code_deps_are_the_modules_that_the_stage_imports(stage):
    used = {path.relative_to(ROOT) for path in {script(stage), *closure(script(stage))}}
    code = {Path(dep) for dep in STAGES[stage]["deps"] if dep.startswith(("src/", "stages/"))}
    undeclared = {path for path in used if not (code | CARRIERS) & {path, *path.parents}}
    unused = {dep for dep in code if not any(dep in {path, *path.parents} for path in used)}
    assert undeclared == set()
    assert unused == set()
    assert not code & CARRIERS


def test_a_part_imports_only_parts_below_it_in_the_layout():
    order = [
        {"errors.py"},
        {"io"},
        {"config"},
        {"data"},
        {"metrics"},
        {"models"},
        {"network"},
        {"training", "evaluation"},
        {"pages"},
        {"comparison"},
        {"publishing"},
        {"serving"},
        {"guessing"},
        {"sweeps"},
        {"commands"},
        {"arguments.py"},
        {"cli.py"},
    ]
    package = SOURCE / "goemotions"
    found = {
        path.name
        for path in package.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert found - {"__init__.py"} == set().union(*order)
    for position, parts in enumerate(order):
        below = set().union(*order[position + 1 :])
        beside = {frozenset({one, other}) for one in parts for other in parts if one != other}
        for part in parts:
            for path in [package / part] if part.endswith(".py") else (package / part).glob("*.py"):
                reached = {module.relative_to(package).parts[0] for module in imported(path)}
                assert not reached & below, path
                assert not {frozenset({part, other}) for other in reached} & beside, path


def test_no_module_imports_itself_by_a_detour():
    graph = {path: imported(path) for path in (SOURCE / "goemotions").rglob("*.py")}
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError


def test_no_two_modules_share_a_name():
    names = [path.stem for path in (SOURCE / "goemotions").rglob("*.py")]
    assert [name for name in set(names) - {"__init__"} if names.count(name) > 1] == []


def test_training_imports_neither_dvc_nor_datasets():
    for path in {script("train"), *closure(script("train"))}:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            assert not {name.split(".")[0] for name in names} & {"dvc", "datasets", "dvclive"}


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
