"""Prints the table of endings after the tests."""

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line a cell, as its test noted it: (backend, ending, how, seconds)."""
    ended = (report for reports in terminalreporter.stats.values() for report in reports)
    notes = (note for report in ended for note in getattr(report, "user_properties", ()))
    endings = sorted({tuple(what) for name, what in notes if name == "ending"})
    if endings:
        terminalreporter.section("how jobs end, by backend")
    for backend, ending, how, seconds in endings:
        terminalreporter.write_line(f"{backend:7} {ending:32} {seconds:5.1f} s  {how}")
