"""The documentation against the code: settings that are not described, files and links that are not there."""

import ast
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import dagster as dg
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from assets.cycles import CYCLE_TAG, OUTCOME_TAG
from assets.definitions import defs
from assets.growth import REASON_TAG
from flywheel.recognisers.nemo_asr import STOCK, TINY

REPOSITORY = Path(__file__).parents[1]
PAGES = [
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((REPOSITORY / "docs").glob("*.md")),
]
CONFIGURATION = REPOSITORY / "docs" / "configuration.md"
DOORS_LINES: Final = 110
"""The README is a door, not a manual."""

SERVICES = ("FLYWHEEL", "WANDB", "HUME", "DICTIONARY", "NEMO", "AWS", "MODAL", "DOCKER", "BREV", "MW")
VARIABLE = re.compile(rf"(?:{'|'.join(SERVICES)})_[A-Z0-9_]*[A-Z0-9]")
NO_VARIABLES = {"HUME_AI"}
"""Values of a service's protocol that look like variables."""
ANY_VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*")

Row = Mapping[str, str]


@pytest.fixture(scope="module")
def markdown() -> MarkdownIt:
    return MarkdownIt("commonmark").enable("table")


@pytest.fixture(scope="module")
def rows(markdown: MarkdownIt) -> list[Row]:
    """The rows of all tables of the page on configuration, by column."""
    return list(_table_rows(markdown.parse(CONFIGURATION.read_text(encoding="utf-8"))))


def _table_rows(tokens: list[Token]) -> Iterator[Row]:
    header: list[str] = []
    cells: list[str] = []
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type in ("th_open", "td_open") and following is not None:
            cells.append(following.content.strip())
        elif token.type == "tr_close":
            if header:
                yield dict(zip(header, cells, strict=True))
            else:
                header = cells
            cells = []
        elif token.type == "table_close":
            header = []


def _names(cell: str) -> list[str]:
    """What stands between backticks in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def _value(cell: str) -> Any:
    """The value that a cell gives as JSON between backticks."""
    (name,) = _names(cell)
    return json.loads(name)


# Settings.


def test_every_variable_that_the_code_reads_has_a_line(rows: list[Row]) -> None:
    described = {name for row in rows if "variable" in row for name in _names(row["variable"])}
    missing = {name: where for name, where in _variables_read().items() if name not in described}
    assert not missing, f"{CONFIGURATION.name} lacks a line for these variables: {missing}"


def test_every_line_of_a_variable_of_ours_is_of_one_that_something_reads(rows: list[Row]) -> None:
    described = {name for row in rows if "variable" in row for name in _names(row["variable"])}
    ours = {name for name in described if name.startswith(("FLYWHEEL_", "NEMO_"))}
    assert ours <= {*_variables_read(), *_backend_variables(), *_compose_variables()}


def test_every_variable_is_described_once(rows: list[Row]) -> None:
    described = [name for row in rows if "variable" in row for name in _names(row["variable"])]
    assert sorted(described) == sorted(set(described))


def test_every_option_of_a_backend_has_a_line_with_its_default(rows: list[Row]) -> None:
    described = {
        _names(row["variable"])[0]: (_names(row["option"])[0], _value(row["default"]))
        for row in rows
        if "option" in row
    }
    assert described == _backend_variables()


def test_every_field_of_a_runs_configuration_has_a_line_with_its_default(rows: list[Row]) -> None:
    described = {_names(row["field"])[0]: _value(row["default"]) for row in rows if "field" in row}
    assert described == dict(_fields_of_the_graph())


def test_every_hyperparameter_has_a_line_with_its_defaults(rows: list[Row]) -> None:
    described = {
        _names(row["name"])[0]: (_value(row["bundled base"]), _value(row["other bases"]))
        for row in rows
        if "name" in row
    }
    tiny, stock = asdict(TINY), asdict(STOCK)
    assert described == {name: (tiny[name], stock[name]) for name in tiny}


def test_the_variables_of_makefile_and_deployment_have_a_line(rows: list[Row]) -> None:
    described = {name for row in rows if "variable" in row for name in _names(row["variable"])}
    made = set(re.findall(r"^(?:export )?(\w+) \?=", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    example = (REPOSITORY / "deploy" / "flywheel.env.example").read_text()
    deployed = set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", example, re.MULTILINE))
    assert made | deployed | _compose_variables() <= described


def _variables_read() -> dict[str, str]:
    """Names of variables in the code, each with a file that has it.

    A name counts where it is a text of its own that begins like ours or a service's, and where it is looked up in
    the environment. A key of a dictionary is no such text: that is how a child process gets a variable.
    """
    found: dict[str, str] = {}
    for floor in ("flywheel", "resources", "assets"):
        for file in sorted((REPOSITORY / floor).rglob("*.py")):
            where = str(file.relative_to(REPOSITORY))
            for name in _variables_of(ast.parse(file.read_text(encoding="utf-8"))):
                found.setdefault(name, where)
    return found


def _variables_of(tree: ast.Module) -> Iterator[str]:
    given = {id(key) for node in ast.walk(tree) if isinstance(node, ast.Dict) for key in node.keys}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in given:
            if VARIABLE.fullmatch(node.value) and node.value not in NO_VARIABLES:
                yield node.value
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("os.environ.get", "os.getenv"):
            yield from _literal(node.args[0])
        elif isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ":
            yield from _literal(node.slice)
        elif isinstance(node, ast.Compare) and ast.unparse(node.comparators[0]) == "os.environ":
            yield from _literal(node.left)


def _literal(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and ANY_VARIABLE.fullmatch(str(node.value)):
        yield str(node.value)


def _backend_variables() -> dict[str, tuple[str, Any]]:
    """Name and default of each option of a backend, by its variable."""
    found: dict[str, tuple[str, Any]] = {}
    for file in sorted((REPOSITORY / "resources" / "compute").glob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "read_options":
                module = import_module(f"resources.compute.{file.stem}")
                kind = getattr(module, ast.unparse(node.args[0]))
                found |= {
                    f"FLYWHEEL_{file.stem}_{each.name}".upper(): (each.name, each.default)
                    for each in fields(kind)
                }
    assert found, "no backend reads options any more: this test has to look elsewhere"
    return found


def _compose_variables() -> set[str]:
    return set(re.findall(r"\$\{(\w+)[:}]", (REPOSITORY / "docker-compose.yml").read_text()))


def _fields_of_the_graph() -> Iterator[tuple[str, Any]]:
    """Each field that a run may be configured by, as `gate.minimum_ker`, with its default."""
    repository = defs.get_repository_def()
    jobs = [repository.get_job(name) for name in ("flywheel_cycle", "audio_retention")]
    for node in [each for job in jobs for each in job.all_node_defs]:
        if isinstance(node, dg.OpDefinition):
            yield from _fields_of(node.name, node.config_schema.config_type)
    for name, resource in jobs[0].resource_defs.items():
        if name != "io_manager":  # Dagster's own
            yield from _fields_of(name, resource.config_schema.config_type)


def _fields_of(name: str, kind: Any) -> Iterator[tuple[str, Any]]:
    for field, described in getattr(kind, "fields", {}).items():
        yield f"{name}.{field}", described.default_value if described.default_provided else None


# Files and links.


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path, markdown: MarkdownIt) -> None:
    broken = []
    for link in _links(markdown.parse(page.read_text(encoding="utf-8"))):
        target, _, heading = link.partition("#")
        file = (page.parent / target).resolve() if target else page
        if not file.exists() or (heading and heading not in _headings(file, markdown)):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_of_the_repository_that_is_named_is_there(page: Path, markdown: MarkdownIt) -> None:
    begins = re.compile(r"(?:flywheel|resources|assets|tests|benchmarks|deploy|docs|\.ci)/")
    named = [
        word.rstrip(".,;:")
        for code in _code(markdown.parse(page.read_text(encoding="utf-8")))
        for word in re.split(r"[\s=()'\"]+", code)
        if begins.match(word)
    ]
    # Git ignores the first, because it holds keys; the others are tags of runs.
    no_files = {"deploy/flywheel.env", CYCLE_TAG, OUTCOME_TAG, REASON_TAG}
    assert not {name for name in named if not (REPOSITORY / name).exists()} - no_files


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_module_and_make_target_that_is_named_is_there(page: Path, markdown: MarkdownIt) -> None:
    text = "\n".join(_code(markdown.parse(page.read_text(encoding="utf-8"))))
    targets = re.findall(r"^([a-z -]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    there = {name for line in targets for name in line.split()}
    assert set(re.findall(r"\bmake ([a-z][a-z-]*)\b", text)) <= there
    for module in re.findall(r"python -m ((?:flywheel|resources|benchmarks)[\w.]*)", text):
        path = REPOSITORY / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def test_every_page_is_reached_from_the_readme(markdown: MarkdownIt) -> None:
    readme = REPOSITORY / "README.md"
    linked = {link.partition("#")[0] for link in _links(markdown.parse(readme.read_text(encoding="utf-8")))}
    assert {f"docs/{page.name}" for page in PAGES if page.parent != REPOSITORY} <= linked


def test_the_readme_is_a_door() -> None:
    assert len((REPOSITORY / "README.md").read_text(encoding="utf-8").splitlines()) <= DOORS_LINES


def test_the_walk_of_one_term_names_no_file_twice() -> None:
    text = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    walk = text.partition("## The walk of one term")[2].partition("\n## ")[0]
    files = re.findall(r"^\d+\. `([^`]+)`", walk, re.MULTILINE)
    assert len(files) > 10
    assert sorted(files) == sorted(set(files))


def _links(tokens: list[Token]) -> Iterator[str]:
    for token in _all(tokens):
        link = token.attrGet("href") or token.attrGet("src")
        if isinstance(link, str) and not re.match(r"[a-z]+:", link):
            yield link


def _code(tokens: list[Token]) -> Iterator[str]:
    for token in _all(tokens):
        if token.type in ("code_inline", "code_block", "fence"):
            yield token.content


def _all(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from _all(token.children or [])


def _headings(page: Path, markdown: MarkdownIt) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    tokens = markdown.parse(page.read_text(encoding="utf-8"))
    texts = [
        following.content for token, following in itertools.pairwise(tokens) if token.type == "heading_open"
    ]
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in texts}
