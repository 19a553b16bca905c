"""One run of a cycle at a time, and a name for who holds it."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from flywheel.files.cycle_lock import CycleBusy, cycle_lock, holder_of
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
        holder = holder_of(folder)
        assert holder is not None and holder.process == other.pid
        cycle_lock(CycleFolder(tmp_path, "cycle2"), "mine").release()
        other.kill()
        other.wait()
    assert holder_of(folder) is None, "the kernel let go of a killed process's lock"
    lock = cycle_lock(folder, "mine")
    holder = holder_of(folder)
    assert holder is not None and (holder.run_id, holder.process) == ("mine", os.getpid())
    lock.release()
    assert holder_of(folder) is None


def test_a_holder_on_another_machine_is_named_and_asked_for(folder: CycleFolder) -> None:
    lock = cycle_lock(folder, "mine")
    told = json.loads(lock.record.read_text()) | {"host": "another-host"}
    lock.release()
    lock.record.write_text(json.dumps(told))
    with pytest.raises(CycleBusy, match=r"on another-host.*remove .*cycle1\.json if it is gone"):
        cycle_lock(folder, "second")
    lock.record.unlink()
    cycle_lock(folder, "second").release()


def test_a_record_that_was_cut_off_is_nobodys(folder: CycleFolder) -> None:
    lock = cycle_lock(folder, "mine")
    lock.release()
    lock.record.write_text('{"host": "h')
    cycle_lock(folder, "second").release()
