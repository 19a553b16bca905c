"""What can be told of the brev backend without a server."""

from pathlib import Path, PurePosixPath

import pytest

from flywheel.compute.costs import ConsentMissing
from flywheel.compute.job import ComputeJob, InputMissing
from flywheel.errors import FlywheelError, Problems
from resources.compute.brev import BrevBackend, BrevOptions
from resources.compute.brev_command import Brev, BrevError, Instance
from resources.compute.leases import Lease, Leases, TeardownFailed
from resources.compute.settings import Settings
from resources.compute.ssh import Container

LISTED = (
    '{"name": "a", "id": "1", "status": "RUNNING", "build_status": "COMPLETED", "shell_status": "READY", '
    '"health_status": "HEALTHY", "instance_type": "g6e.xlarge", "gpu": "L40S"}'
)
A = Instance("a", "RUNNING", "COMPLETED", "READY", "HEALTHY")


def program(folder: Path, script: str) -> str:
    """A command `brev` that does what `script` says, and notes that it was called."""
    path = folder / "brev"
    path.write_text(f'#!/bin/sh\necho "$*" >> {folder / "calls"}\n{script}\n')
    path.chmod(0o755)
    return str(path)


def backend(folder: Path, script: str, consent: str = "", **options: object) -> BrevBackend:
    return BrevBackend.from_settings(
        Settings(
            work_root=folder / "work",
            leases=Leases(folder / "leases"),
            consent=consent,
            # Whatever goes wrong, no test here waits for an instance for long.
            options={
                "command": program(folder, script),
                "ready_timeout": 1,
                "appears_within": 0,
                "poll": 0.02,
                **options,
            },
        )
    )


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        pytest.param("null", (), id="null"),
        pytest.param('{"workspaces": null}', (), id="a list that is null"),
        pytest.param('{"workspaces": []}', (), id="an empty list"),
        pytest.param(f'{{"workspaces": [{LISTED}], "nodes": []}}', (A,), id="one"),
    ],
)
def test_the_list_of_instances(tmp_path: Path, output: str, expected: tuple[Instance, ...]) -> None:
    assert Brev(program(tmp_path, f"echo a hint >&2; echo '{output}'")).instances() == expected
    assert (tmp_path / "calls").read_text() == "ls --json\n"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        pytest.param("echo 'log in? [y/n]'", "log in\\?.*`brev login`", id="not JSON"),
        pytest.param("echo '[1]'", "no list of instances", id="another shape"),
        pytest.param("""echo '{"workspaces": [{"id": 1}]}'""", "KeyError", id="without names"),
        pytest.param("echo offline >&2; exit 1", "ls --json` failed: exit status 1; offline", id="failed"),
        pytest.param("", "no list of instances", id="silence"),
    ],
)
def test_a_list_that_cannot_be_read_is_never_an_empty_one(tmp_path: Path, script: str, said: str) -> None:
    with pytest.raises(BrevError, match=said):
        Brev(program(tmp_path, script)).instances()


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BrevError, match="No such file or directory"):
        Brev(str(tmp_path / "brev")).instances()


@pytest.mark.parametrize(
    ("status", "build", "shell", "health", "ready", "broken"),
    [
        ("DEPLOYING", "PENDING", "NOT READY", "UNAVAILABLE", False, False),
        ("RUNNING", "BUILDING", "NOT READY", "HEALTHY", False, False),
        ("RUNNING", "COMPLETED", "READY", "HEALTHY", True, False),
        ("RUNNING", "COMPLETED", "READY", "", True, False),
        ("UNHEALTHY", "COMPLETED", "READY", "UNHEALTHY", False, False),
        ("RUNNING", "COMPLETED", "READY", "UNHEALTHY", False, False),
        ("RUNNING", "CREATE_FAILED", "NOT READY", "", False, True),
        ("FAILURE", "", "NOT READY", "", False, True),
    ],
)
def test_when_an_instance_is_ready(
    status: str, build: str, shell: str, health: str, ready: bool, broken: bool
) -> None:
    instance = Instance("a", status, build, shell, health)
    assert (instance.ready, instance.broken) == (ready, broken)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param({"gpu": "-h"}, "gpu: '-h'", id="gpu"),
        pytest.param({"instance": "-oProxyCommand=x"}, "is not a name of an instance", id="instance"),
        pytest.param({"after": "keep"}, "only with `instance`, 'keep'", id="keep a new one"),
        pytest.param({"after": "sell", "instance": "mine"}, "found 'sell'", id="after"),
        pytest.param({"folder": "jobs"}, "'jobs' is not absolute", id="folder"),
        pytest.param({"poll": 0.0, "disk_gb": -1}, "disk_gb: -1.*\n.*poll: 0.0", id="numbers"),
    ],
)
def test_options_that_cannot_be_right(options: dict[str, object], said: str) -> None:
    with pytest.raises(Problems, match=said):
        BrevOptions(**options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, "delete"), ({"after": "stop"}, "stop"), ({"instance": "mine"}, "stop")]
    + [({"instance": "mine", "after": after}, after) for after in ("delete", "stop", "keep")],
)
def test_what_is_done_afterwards(options: dict[str, str], expected: str) -> None:
    assert BrevOptions(**options).afterwards == expected


def test_options_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYWHEEL_BREV_DISK_GB", "500")
    assert backend(tmp_path, "").options.disk_gb == 500


def test_nothing_is_called_without_inputs_or_consent(tmp_path: Path) -> None:
    """Inputs first: what it would cost does not matter then."""
    refused = backend(tmp_path, "echo null")
    absent = ComputeJob(name="test", argv=("true",), timeout=60, inputs={"a": tmp_path / "absent"})
    with pytest.raises(InputMissing):
        refused.run(absent, tmp_path / "out", print)
    job = ComputeJob(name="test", argv=("true",), timeout=3600, expected=600)
    with pytest.raises(ConsentMissing) as caught:
        refused.run(job, tmp_path / "out", print)
    said = str(caught.value)
    for figure in ("brev L40S at $1.50 an hour", "about 17 minutes, $0.42", "2.1 h, $3.13", "$36.00"):
        assert figure in said
    assert not (tmp_path / "calls").exists()
    assert not (tmp_path / "leases").exists()


@pytest.mark.parametrize(
    ("seen", "script", "said"),
    [
        pytest.param(True, "echo null", None, id="not there"),
        pytest.param(True, "exit 1", "`.*ls --json` failed", id="nobody can tell"),
        pytest.param(
            True,
            f"echo '{{\"workspaces\": [{LISTED}]}}'",
            "a after `brev delete`: status RUNNING",
            id="delete does nothing",
        ),
        pytest.param(False, "echo null", "in case it turns up", id="may still turn up"),
    ],
)
def test_gone_is_only_what_is_not_listed(tmp_path: Path, seen: bool, script: str, said: str | None) -> None:
    ending = backend(tmp_path, script, teardown_patience=1.0, appears_within=5)
    lease: Lease = ending.leases.open(
        backend="brev", resource="a", job="test", lifetime=60, details={"after": "delete", "seen": seen}
    )
    if said is None:
        ending.teardown(lease)
        ending.teardown(lease)
        return
    with pytest.raises(TeardownFailed, match=said):
        ending.teardown(lease)


@pytest.mark.parametrize(
    ("gpus", "network", "devices"),
    [
        (True, True, "--gpus all"),
        (True, False, "--gpus all --network none"),
        (False, True, ""),
        (False, False, "--network none"),
    ],
)
def test_what_a_container_has(gpus: bool, network: bool, devices: str) -> None:
    container = Container(image="nemo:1", name="x", gpus=gpus, network=network)
    command = container.run(PurePosixPath("/home/me/job"), "python -m run", PurePosixPath("/workspace/out"))
    between = command.split("--name x ")[1].split("--shm-size")[0].strip()
    assert between == devices
    assert '--user "$(id -u):$(id -g)" nemo:1 sh -c ' in command
    assert "--volume /home/me/job:/workspace --workdir /workspace" in command


def test_another_rsync_is_told_from_the_right_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "rsync"
    other.write_text("#!/bin/sh\necho 'openrsync: protocol version 29'\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    findings = {each.what: each for each in backend(tmp_path, "echo null", "YES").readiness()}
    assert not findings["rsync"].ok
    assert "rsync 3.1 or later is needed" in findings["rsync"].detail
    with pytest.raises(FlywheelError, match=r"rsync 3\.1"):
        backend(tmp_path, "echo null", "YES").run(
            ComputeJob(name="test", argv=("true",), timeout=60), tmp_path / "out", print
        )
    assert not (tmp_path / "leases").exists()
