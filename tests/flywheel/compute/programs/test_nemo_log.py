"""What NeMo's own logger may still print in a job."""

import logging
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from flywheel.compute.programs.nemo_log import only_errors


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("nemo_logger")
    before = logger.level, logger.filters[:], logger.propagate
    yield logger
    logger.level, logger.filters, logger.propagate = before


def test_this_is_what_nemos_logger_is_called() -> None:
    """Read, not imported: that takes ten seconds."""
    spec = find_spec("nemo")
    assert spec is not None and spec.submodule_search_locations is not None
    source = Path(spec.submodule_search_locations[0], "utils", "nemo_logging.py").read_text()
    assert 'getLogger("nemo_logger")' in source


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        pytest.param(logging.DEBUG, False, id="debug"),
        pytest.param(logging.INFO, False, id="info"),
        pytest.param(logging.WARNING, False, id="warning"),
        pytest.param(logging.ERROR, True, id="error"),
        pytest.param(logging.CRITICAL, True, id="critical"),
    ],
)
def test_only_errors_pass_whatever_level_is_set_afterwards(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture, level: int, shown: bool
) -> None:
    """NeMo's `transcribe` sets the levels of the logger and of its handlers."""
    logger.propagate = True
    only_errors()
    logger.setLevel(logging.DEBUG)
    logger.log(level, "a hint")
    assert ("a hint" in caplog.text) == shown


def test_other_loggers_are_left_alone(logger: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    only_errors()
    logging.getLogger("flywheel").warning("of ours")
    assert "of ours" in caplog.text
