"""What may be running somewhere is noted before it is made, until it is known to be gone."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flywheel.errors import FlywheelError
from resources.compute import backend_named
from resources.compute.leases import Holder, Lease, Leases, TeardownFailed, sweep
from resources.compute.settings import Settings

REPOSITORY = Path(__file__).parents[3]
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="rests on what only the Linux kernel offers")
LATER = datetime.now(UTC) + timedelta(days=2)


@pytest.fixture
def leases(tmp_path: Path) -> Leases:
    return Leases(tmp_path / "leases")


def opened(leases: Leases, resource: str = "machine", **fields: Any) -> Lease:
    return leases.open(
        **{"backend": "rented", "resource": resource, "job": "train", "lifetime": 3600, **fields}
    )


def rewritten(leases: Leases, lease: Lease, **fields: Any) -> Lease:
    """The same lease with other fields, as another process or host would have written it."""
    changed = replace(lease, **fields)
    (leases.folder / f"{lease.id}.json").write_text(json.dumps(asdict(changed)))
    return changed


def open_names(leases: Leases) -> list[str]:
    return [lease.resource for lease in leases.all_open()]


class Machines:
    """A service's machines: those of `stubborn` cannot be ended, asking about those of `broken` raises."""

    def __init__(self, stubborn: str = "", broken: Exception | None = None) -> None:
        self.stubborn = stubborn
        self.broken = broken
        self.ended: list[str] = []

    def __call__(self, backend: str) -> Holder:
        assert backend == "rented"
        return self

    def teardown(self, lease: Lease) -> None:
        if lease.resource == self.stubborn:
            if self.broken is not None:
                raise self.broken
            raise TeardownFailed(lease, "the service says 500")
        self.ended.append(lease.resource)


# --- a lease ------------------------------------------------------------------------------------------


def test_a_lease_says_what_where_for_whom_and_until_when(leases: Leases) -> None:
    before = datetime.now(UTC)
    lease = opened(leases, "machine", run_id="run1", lifetime=7200, details={"gpu": "L40S"})
    assert leases.all_open() == (lease,)
    assert (lease.backend, lease.resource, lease.job, lease.run_id) == ("rented", "machine", "train", "run1")
    assert lease.pid == os.getpid()
    assert dict(lease.details) == {"gpu": "L40S"}
    created, deadline = map(datetime.fromisoformat, (lease.created_at, lease.deadline))
    assert abs(created - before) < timedelta(seconds=5)
    assert deadline - created == timedelta(hours=2)
    assert deadline.utcoffset() == timedelta(0)


def test_every_lease_has_a_file_of_its_own(leases: Leases) -> None:
    made = [opened(leases, f"machine{number}") for number in range(20)]
    assert len({lease.id for lease in made}) == 20
    assert {path.stem for path in leases.folder.iterdir()} == {lease.id for lease in made}


def test_the_oldest_comes_first(leases: Leases) -> None:
    first, second = opened(leases, "first"), opened(leases, "second")
    rewritten(leases, second, created_at="2020-01-01T00:00:00+00:00")
    assert open_names(leases) == ["second", "first"]
    assert first in leases.all_open()


def test_what_became_known_is_added(leases: Leases) -> None:
    lease = leases.note(opened(leases, details={"a": 1}), id="i-123")
    lease = leases.note(lease, volume="v")
    assert dict(lease.details) == {"a": 1, "id": "i-123", "volume": "v"}
    assert leases.all_open() == (lease,)


def test_a_closed_lease_is_kept_apart(leases: Leases) -> None:
    lease, other = opened(leases, "closed"), opened(leases, "open")
    lease = leases.note(lease, id="i-1")
    leases.close(lease)
    assert leases.all_open() == (other,)
    closed = json.loads((leases.folder / "closed" / f"{lease.id}.json").read_text())
    assert closed["details"] == {"id": "i-1"}


def test_closing_twice_changes_nothing(leases: Leases) -> None:
    lease = opened(leases)
    leases.close(lease)
    leases.close(lease)
    assert leases.all_open() == ()
    assert len(list((leases.folder / "closed").iterdir())) == 1


def test_no_folder_is_no_lease(leases: Leases) -> None:
    assert leases.all_open() == ()
    assert not leases.folder.exists()


def test_what_a_killed_writer_left_is_no_lease(leases: Leases) -> None:
    """It writes beside the target under a name that begins with a dot; nothing had been made by then."""
    lease = opened(leases)
    (leases.folder / f".{lease.id}.k3j2.json").touch()
    assert leases.all_open() == (lease,)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("", id="empty"),
        pytest.param("{", id="cut"),
        pytest.param("[]", id="another shape"),
        pytest.param('{"id": "x"}', id="fields missing"),
        pytest.param("DEADLINE", id="a deadline that is no time"),
    ],
)
def test_a_file_that_is_no_lease_is_shouted_and_does_not_hide_the_others(
    leases: Leases, content: str
) -> None:
    lease = opened(leases, "readable")
    bad = leases.folder / "bad.json"
    bad.write_text(content.replace("DEADLINE", json.dumps({**asdict(lease), "deadline": "tomorrow"})))
    with pytest.raises(FlywheelError, match=r"bad\.json"):
        leases.all_open()
    machines = Machines()
    done = sweep(leases, machines, now=LATER)
    assert machines.ended == ["readable"]
    assert [str(bad) in str(error) for error in done.failed] == [True]
    assert "MAY STILL BE RUNNING" in str(done.failed[0])
    assert done.left == 0
    assert bad.exists(), "nobody but a person may remove it"


# --- the process that holds it --------------------------------------------------------------------------


HOLDER = """
import sys
from pathlib import Path
from resources.compute.leases import Leases
print(Leases(Path(sys.argv[1])).open(backend="rented", resource="machine", job="x", lifetime=3600).id, flush=True)
sys.stdin.read()
"""


def holder(leases: Leases) -> subprocess.Popen[str]:
    """A process that has opened a lease and lives on."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(leases.folder)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


@ON_LINUX
def test_a_lease_outlives_its_holder_until_the_sweep(leases: Leases) -> None:
    machines = Machines()
    with holder(leases) as process:
        assert sweep(leases, machines).left == 1
        process.kill()
        process.wait()
        (lease,) = leases.all_open()
        done = sweep(leases, machines)
    assert machines.ended == ["machine"]
    assert done.closed == ((lease, f"the process {process.pid} that held it has ended"),)
    assert leases.all_open() == ()


@ON_LINUX
def test_a_killed_holder_that_nobody_has_waited_for_has_ended(leases: Leases) -> None:
    with holder(leases) as process:
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert Path(f"/proc/{process.pid}/stat").exists(), "a zombie"
        assert leases.all_open()[0].holder_lives() is False


@ON_LINUX
@pytest.mark.parametrize(
    ("fields", "lives"),
    [
        pytest.param({}, True, id="this process"),
        pytest.param({"pid_started": 1}, False, id="an earlier process of the same number"),
        pytest.param({"pid": 2**22 + 1}, False, id="a number that no process has"),
        pytest.param({"pid_started": None}, None, id="a system that does not tell"),
        pytest.param({"host": "elsewhere"}, None, id="another host"),
        pytest.param({"host": "elsewhere", "pid_started": 1}, None, id="another host, another process"),
    ],
)
def test_whether_the_holder_lives(leases: Leases, fields: dict[str, Any], lives: bool | None) -> None:
    assert rewritten(leases, opened(leases), **fields).holder_lives() is lives


# --- the sweep ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "asked", "reason"),
    [
        pytest.param({}, {}, None, id="in time, its holder lives"),
        pytest.param({"run_id": "going-on"}, {}, None, id="its run goes on"),
        pytest.param({"run_id": "ended"}, {}, "its run ended has ended", id="its run has ended"),
        pytest.param({}, {"now": LATER}, "its deadline", id="past its deadline"),
        pytest.param(
            {"run_id": "going-on"}, {"now": LATER}, "its deadline", id="past it while its run goes on"
        ),
        pytest.param({"pid_started": 1}, {}, "the process", id="its holder has ended", marks=ON_LINUX),
        pytest.param({"host": "elsewhere"}, {}, None, id="another host's"),
        pytest.param(
            {"host": "elsewhere", "pid_started": 1}, {}, None, id="another host's, no such process here"
        ),
        pytest.param(
            {"host": "elsewhere"}, {"now": LATER}, "its deadline", id="another host's, past its deadline"
        ),
        pytest.param(
            {"host": "elsewhere", "run_id": "ended"}, {}, "its run", id="another host's, its run has ended"
        ),
        pytest.param({}, {"everything": True}, "asked for", id="everything is to end"),
    ],
)
def test_what_a_sweep_ends_and_why(
    leases: Leases, fields: dict[str, Any], asked: dict[str, Any], reason: str | None
) -> None:
    lease = rewritten(leases, opened(leases), **fields)
    machines = Machines()
    done = sweep(leases, machines, run_ended=lambda run_id: run_id == "ended", **asked)
    assert done.failed == ()
    if reason is None:
        assert (done.closed, done.left, machines.ended) == ((), 1, [])
        assert leases.all_open() == (lease,)
    else:
        ((closed, why),) = done.closed
        assert (closed, done.left, machines.ended) == (lease, 0, ["machine"])
        assert why.startswith(reason)
        assert leases.all_open() == ()


def test_a_deadline_is_reached_at_its_second(leases: Leases) -> None:
    lease = opened(leases)
    deadline = datetime.fromisoformat(lease.deadline)
    assert not lease.overdue(deadline - timedelta(seconds=1))
    assert lease.overdue(deadline)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        pytest.param(None, "the service says 500", id="the service refuses"),
        pytest.param(FlywheelError("log in first"), "log in first", id="no login"),
        pytest.param(OSError(28, "No space left"), "OSError: [Errno 28] No space left", id="a fault"),
        pytest.param(ModuleNotFoundError("No module named 'x'"), "ModuleNotFoundError: No", id="no package"),
    ],
)
def test_a_teardown_that_fails_is_reported_stays_open_and_does_not_stop_the_others(
    leases: Leases, broken: Exception | None, said: str
) -> None:
    stubborn = opened(leases, "stubborn")
    opened(leases, "other")
    machines = Machines("stubborn", broken)
    done = sweep(leases, machines, now=LATER)
    assert machines.ended == ["other"]
    assert (len(done.closed), done.left) == (1, 0)
    (error,) = done.failed
    assert isinstance(error, TeardownFailed)
    assert error.lease == stubborn
    assert f"rented could not end 'stubborn': {said}" in str(error)
    assert "IT MAY STILL BE RUNNING AND COSTING MONEY" in str(error)
    assert stubborn.id in str(error)
    assert leases.all_open() == (stubborn,)
    assert sweep(leases, Machines(), now=LATER).closed[0][0] == stubborn, "the next sweep tries again"


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit])
def test_a_sweep_that_is_interrupted_closes_nothing_that_it_has_not_ended(
    leases: Leases, raised: type[BaseException]
) -> None:
    opened(leases)

    class Interrupted(Machines):
        def teardown(self, lease: Lease) -> None:
            raise raised

    with pytest.raises(raised):
        sweep(leases, Interrupted(), now=LATER)
    assert open_names(leases) == ["machine"]


@pytest.mark.parametrize(
    ("backend", "options", "said"),
    [
        pytest.param("gone", {}, "unknown compute backend 'gone'", id="no such backend"),
        pytest.param(
            "modal", {"cpu": "many"}, "cpu (or FLYWHEEL_MODAL_CPU): found 'many'", id="wrong options"
        ),
    ],
)
def test_a_backend_that_cannot_be_made_has_failed(
    leases: Leases, tmp_path: Path, backend: str, options: dict[str, str], said: str
) -> None:
    lease = opened(leases, backend=backend)
    settings = Settings(work_root=tmp_path, leases=leases, options=options)
    done = sweep(leases, lambda name: backend_named(name)(settings), now=LATER)
    assert said in str(done.failed[0])
    assert leases.all_open() == (lease,)


def test_a_sweep_meets_a_run_that_closes_its_own_lease(leases: Leases) -> None:
    """Both end the machine and close the lease; neither is in the other's way."""
    lease = opened(leases)

    class Meanwhile(Machines):
        def teardown(self, lease: Lease) -> None:
            leases.close(lease)

    assert len(sweep(leases, Meanwhile(), now=LATER).closed) == 1
    leases.close(lease)
    assert leases.all_open() == ()


def test_nothing_open_is_nothing_to_do(leases: Leases) -> None:
    done = sweep(leases, Machines(), now=LATER)
    assert (done.closed, done.failed, done.left) == ((), (), 0)
