"""Scoring is imported while a graph loads: it must stay light."""

import subprocess
import sys

import pytest

HEAVY = ("scipy", "pandas", "matplotlib", "jiwer", "pydantic", "dagster", "torch", "nemo")


@pytest.mark.parametrize("module", ["flywheel.scoring", "flywheel.scoring.comparison"])
def test_importing_scoring_loads_nothing_heavy(module: str) -> None:
    program = f"import sys, {module}; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []
