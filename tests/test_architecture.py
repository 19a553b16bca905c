"""Who may import whom, and what loading the graph costs."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
FLOORS = ("flywheel", "resources", "assets")
TRAINING = {"torch", "nemo", "lightning", "pytorch_lightning", "hydra", "omegaconf"}
SLOW = (
    *sorted(TRAINING),
    "boto3",
    "hume",
    "httpx",
    "jinja2",
    "jiwer",
    "lhotse",
    "pandas",
    "matplotlib",
    "scipy",
    "wandb",
)


@dataclass(frozen=True)
class Import:
    """One imported module: where it stands, and whether it is loaded together with its file."""

    file: str
    line: int
    module: str
    at_load: bool

    @property
    def package(self) -> str:
        return self.module.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.module}"


def imports_of(file: Path) -> Iterator[Import]:
    """All imports of a source file: at its top, inside functions, and for type checkers alone."""
    name = str(file.relative_to(REPOSITORY))
    yield from _imports(ast.parse(file.read_text(encoding="utf-8")), name, at_load=True)


def _imports(node: ast.AST, file: str, *, at_load: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from (Import(file, node.lineno, alias.name, at_load) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"{file}:{node.lineno}: imports are written out in full here"
        # `from flywheel import bundled` imports a module, too.
        yield from (Import(file, node.lineno, f"{node.module}.{alias.name}", at_load) for alias in node.names)
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        at_load = False
    elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        for child in node.body:
            yield from _imports(child, file, at_load=False)
        for child in node.orelse:
            yield from _imports(child, file, at_load=at_load)
        return
    for child in ast.iter_child_nodes(node):
        yield from _imports(child, file, at_load=at_load)


@pytest.fixture(scope="module")
def imports() -> list[Import]:
    found = [
        each for floor in FLOORS for file in (REPOSITORY / floor).rglob("*.py") for each in imports_of(file)
    ]
    assert {each.file.partition("/")[0] for each in found} == set(FLOORS)
    return found


@pytest.mark.parametrize(
    ("floor", "forbidden"),
    [
        ("flywheel", {"dagster", "dagster_shared", "resources", "assets"}),
        ("resources", {"assets"}),
    ],
)
def test_imports_go_down_never_up(imports: list[Import], floor: str, forbidden: set[str]) -> None:
    wrong = [each for each in imports if each.file.startswith(f"{floor}/") and each.package in forbidden]
    assert wrong == [], "\n".join(map(str, wrong))


def test_only_jobs_know_what_a_model_is_trained_with(imports: list[Import]) -> None:
    elsewhere = [each for each in imports if not each.file.startswith("flywheel/compute/programs/")]
    wrong = [each for each in elsewhere if each.package in TRAINING]
    assert wrong == [], "\n".join(map(str, wrong))
    inside = {each.package for each in imports if each not in elsewhere}
    assert {"torch", "nemo"} <= inside  # the walk sees them where they are


SHARED = "flywheel.compute.programs.runner"
"""The one program inside a backend whose files and statuses the backends know, too."""


def test_a_job_is_started_by_its_name_never_imported(imports: list[Import]) -> None:
    wrong = [
        each
        for each in imports
        if each.module.startswith("flywheel.compute.programs")
        and not each.module.startswith(SHARED)
        and not each.file.startswith("flywheel/compute/programs/")
    ]
    assert wrong == [], "\n".join(map(str, wrong))


def test_what_runs_a_job_elsewhere_needs_python_alone(imports: list[Import]) -> None:
    files = ("flywheel/compute/programs/runner.py", "flywheel/compute/programs/supervisor.py")
    found = [each for each in imports if each.file in files]
    assert found
    wrong = [each for each in found if each.package not in {*sys.stdlib_module_names, "flywheel"}]
    assert wrong == [], "\n".join(map(str, wrong))
    assert {each.module for each in found if each.package == "flywheel"} <= {
        "flywheel.compute.programs.supervisor"
    }


@pytest.mark.parametrize(
    "package",
    ["boto3", "httpx", "hume", "jinja2", "jiwer", "lhotse", "matplotlib", "pandas", "scipy", "wandb"],
)
def test_slow_packages_are_imported_where_they_are_used(imports: list[Import], package: str) -> None:
    at_load = [
        each
        for each in imports
        if each.package == package and each.at_load and not each.file.startswith("flywheel/compute/programs/")
    ]
    assert at_load == [], "\n".join(map(str, at_load))


def test_the_walk_tells_where_an_import_stands(tmp_path: Path) -> None:
    source = (
        "import json\n"
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import lhotse\n"
        "else:\n    import scipy.io\n"
        "class A:\n    import pandas\n"
        "    def b(self):\n        from torch import nn\n"
    )
    found = list(_imports(ast.parse(source), "a.py", at_load=True))
    assert [(each.line, each.module, each.at_load) for each in found] == [
        (1, "json", True),
        (2, "typing.TYPE_CHECKING", True),
        (4, "lhotse", False),
        (6, "scipy.io", True),
        (8, "pandas", True),
        (10, "torch.nn", False),
    ]


def fresh_python(program: str) -> str:
    """What `program` prints in an interpreter that has imported nothing yet."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
    ).stdout


def test_loading_the_graph_loads_nothing_slow() -> None:
    program = f"import sys, assets.definitions; print(*sorted(set({SLOW!r}) & set(sys.modules)))"
    assert fresh_python(program).split() == []
