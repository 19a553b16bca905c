"""Prints the table of endings after the tests."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Where cells note how they ended: (backend, ending, how, seconds)."""
    config.endings = []  # type: ignore[attr-defined]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """One line a cell."""
    endings: list[tuple[str, str, str, float]] = config.endings  # type: ignore[attr-defined]
    if endings:
        terminalreporter.section("how jobs end, by backend")
    for backend, ending, how, seconds in endings:
        terminalreporter.write_line(f"{backend:7} {ending:32} {seconds:5.1f} s  {how}")
