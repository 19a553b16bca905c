"""Whether a cycle fits on a machine."""

from pathlib import Path

import pytest
from packaging.requirements import Requirement

from resources.data_folder import DataFolder
from resources.machine import memory, not_as_required, readiness


def test_this_one_has_the_pinned_packages_and_room(tmp_path: Path) -> None:
    found = {each.what: each for each in readiness(DataFolder(root=str(tmp_path / "not" / "yet")))}
    assert {what: each.ok for what, each in found.items()} == {
        "packages": True,
        "memory": True,
        "data folder": True,
    }
    assert "dagster 1.13.27" in found["packages"].detail
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("requirement", "found"),
    [
        ("dagster==1.13.27", ""),
        ("torch==2.13.0", ""),  # also as 2.13.0+cpu
        ("dagster==1.13.26", "dagster 1.13.27"),
        ("no-such-package==1", "no-such-package is not installed"),
    ],
)
def test_a_package_isnot_as_required_where_it_is_not_as_pinned(requirement: str, found: str) -> None:
    assert not_as_required(Requirement(requirement)) == found


@pytest.mark.parametrize(("free", "enough"), [(2.9, False), (3.0, True)])
def test_a_cycle_needs_three_gigabytes_ofmemory(free: float, enough: bool) -> None:
    assert memory(free).ok is enough


def test_a_folder_that_cannot_be_written_to_is_missing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    *_others, folder = readiness(DataFolder(root=str(tmp_path / "file" / "data")))
    assert (folder.ok, folder.what) == (False, "data folder")
    assert "cannot be written to: Not a directory" in folder.detail
