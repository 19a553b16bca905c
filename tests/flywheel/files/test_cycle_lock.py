"""One run of a cycle at a time, and a name for who holds it."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from flywheel.files.cycle_lock import CycleBusy, cycle_lock
from flywheel.files.cycles import CycleFolder

HOLD = (
    "import sys; from pathlib import Path; from flywheel.files.cycles import CycleFolder\n"
    "from flywheel.files.cycle_lock import cycle_lock\n"
    "cycle_lock(CycleFolder(Path(sys.argv[1]), 'cycle1'), 'run-of-another'); print('held', flush=True); input()"
)


@pytest.fixture
def folder(tmp_path: Path) -> CycleFolder:
    return CycleFolder(tmp_path, "cycle1")


def test_a_second_run_is_refused_with_the_name_of_the_first(folder: CycleFolder, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        named = (
            rf"cycle1 is being run by run run-of-a \(process {other.pid} on {socket.gethostname()}, since 20"
        )
        with pytest.raises(CycleBusy, match=named):
            cycle_lock(folder, "mine")
        cycle_lock(CycleFolder(tmp_path, "cycle2"), "mine").release()
        other.kill()
        other.wait()
    lock = cycle_lock(folder, "mine")
    told = json.loads(lock.record.read_text())
    assert (told["run_id"], told["process"]) == ("mine", os.getpid()), (
        "the kernel let go of the killed process's"
    )
    lock.release()
    assert not lock.record.exists()


def test_what_a_killed_holder_wrote_is_nobodys_wherever_it_was(folder: CycleFolder) -> None:
    """A container that is made anew has another host name."""
    lock = cycle_lock(folder, "mine")
    told = json.loads(lock.record.read_text()) | {"host": "another-host"}
    lock.release()
    lock.record.write_text(json.dumps(told))
    cycle_lock(folder, "second").release()


def test_a_record_that_was_cut_off_is_nobodys(folder: CycleFolder) -> None:
    lock = cycle_lock(folder, "mine")
    lock.release()
    lock.record.write_text('{"host": "h')
    cycle_lock(folder, "second").release()
