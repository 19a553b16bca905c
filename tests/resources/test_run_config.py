"""The configuration of runs that nobody starts by hand."""

from pathlib import Path

import pytest

from flywheel.errors import FlywheelError
from resources.run_config import run_config

CONFIG = {"ops": {"gate": {"config": {"minimum_rows": 200}}}}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "run.yaml"
    monkeypatch.setenv("FLYWHEEL_RUN_CONFIG", str(path))
    return path


def test_without_a_file_nothing_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLYWHEEL_RUN_CONFIG", raising=False)
    assert run_config() == {}


@pytest.mark.parametrize(
    ("text", "config"),
    [
        ("ops:\n  gate:\n    config:\n      minimum_rows: 200\n", CONFIG),
        ('{"ops": {"gate": {"config": {"minimum_rows": 200}}}}', CONFIG),
        ("", {}),
        ("# nothing yet\n", {}),
    ],
)
def test_yaml_and_json_are_read(file: Path, text: str, config: dict[str, object]) -> None:
    file.write_text(text)
    assert run_config() == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ops:\n  gate: [\n", r"run\.yaml:3: neither YAML nor JSON: "),
        ("- ops\n", r"run\.yaml: found a list; allowed: settings by name"),
        ("!!python/object/apply:os.getcwd []\n", r"run\.yaml:1: neither YAML nor JSON: "),
        (None, r"run\.yaml: no such file or directory; FLYWHEEL_RUN_CONFIG names a YAML or JSON file"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(file: Path, text: str | None, message: str) -> None:
    if text is not None:
        file.write_text(text)
    with pytest.raises(FlywheelError, match=message):
        run_config()
