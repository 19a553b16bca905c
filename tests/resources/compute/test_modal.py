"""The backend modal without its service: what is decided here, before anything is asked for."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flywheel.compute.costs import ConsentMissing
from flywheel.compute.job import ComputeJob, InputMissing
from flywheel.errors import FlywheelError, Problems
from resources.compute import backend_named
from resources.compute.leases import Leases, TeardownFailed
from resources.compute.modal import ModalBackend, ModalOptions
from resources.compute.modal_sandbox import Output, environment_of
from resources.compute.settings import Settings

REPOSITORY = Path(__file__).parents[3]
KEY = "recognisable-key-8c1a"
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither this machine's Modal account nor its options."""
    for name in ("MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET", "FLYWHEEL_GPU_PRICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MODAL_CONFIG_PATH", str(tmp_path / "none.toml"))
    monkeypatch.setenv("MODAL_SERVER_URL", NOWHERE)


@pytest.fixture
def backend(tmp_path: Path) -> ModalBackend:
    return ModalBackend(
        options=ModalOptions(), work_root=tmp_path / "work", leases=Leases(tmp_path / "leases"), consent="YES"
    )


def job(**fields: object) -> ComputeJob:
    given = {"name": "finetune", "argv": ("true",), "timeout": 3600.0, "accelerator": True, **fields}
    return ComputeJob(**given)  # type: ignore[arg-type]


def ignore(_: str) -> None:
    """For jobs whose lines do not matter."""


def test_options_come_from_the_configuration_and_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLYWHEEL_MODAL_CPU", "8")
    monkeypatch.setenv("FLYWHEEL_MODAL_GPU", "H100")
    settings = Settings(
        work_root=tmp_path, leases=Leases(tmp_path), grace=3, consent="YES", options={"gpu": "A10G"}
    )
    made = backend_named("modal")(settings)
    assert isinstance(made, ModalBackend)
    assert (made.options.gpu, made.options.cpu, made.grace, made.consent) == ("A10G", 8.0, 3, "YES")
    assert made.has_accelerator


def test_without_a_gpu_there_is_no_accelerator(backend: ModalBackend) -> None:
    assert not replace(backend, options=ModalOptions(gpu="")).has_accelerator


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cpu": 0.0}, "cpu: found 0.0"),
        ({"memory_mb": -1}, "memory_mb: found -1"),
        ({"start_timeout": float("nan")}, "start_timeout: found nan"),
        ({"volume_prefix": "a-much-too-long-prefix"}, "volume_prefix: found 'a-much-too-long-prefix'"),
        ({"volume_prefix": "Upper"}, "volume_prefix: found 'Upper'"),
    ],
)
def test_options_that_cannot_be_right(options: dict[str, Any], said: str) -> None:
    with pytest.raises(Problems, match=said):
        ModalOptions(**options)


def test_the_package_is_not_loaded_with_the_backend() -> None:
    program = (
        "import sys, resources.compute.modal; print([n for n in sys.modules if n.split('.')[0] == 'modal'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


# --- nothing is asked for ----------------------------------------------------------------------------


def test_inputs_are_looked_at_first(backend: ModalBackend, tmp_path: Path) -> None:
    with pytest.raises(InputMissing):
        replace(backend, consent="").run(job(inputs={"a": tmp_path / "a"}), tmp_path, ignore)


@pytest.mark.parametrize("consent", ["", "yes", "NO"])
def test_nothing_starts_without_consent(backend: ModalBackend, tmp_path: Path, consent: str) -> None:
    with pytest.raises(ConsentMissing) as caught:
        replace(backend, consent=consent).run(job(expected=1800.0), tmp_path / "out", ignore)
    for part in ("L40S, 4 cores, 16 GiB", "$2.91 an hour", "32 minutes", "Forgotten for a day", "$69.7"):
        assert part in str(caught.value), part
    assert not backend.leases.folder.exists()


def test_cores_and_memory_are_paid_for_beside_the_gpu(backend: ModalBackend) -> None:
    with_gpu, without = backend.price(job()), backend.price(job(accelerator=False))
    assert with_gpu.usd_per_hour == pytest.approx(1.95 + 4 * 0.142 + 16 * 0.0242)
    assert without.usd_per_hour == pytest.approx(4 * 0.142 + 16 * 0.0242)
    assert without.sku == "4 cores, 16 GiB"


def test_a_gpu_without_a_known_price_is_refused(backend: ModalBackend, tmp_path: Path) -> None:
    other = replace(backend, options=ModalOptions(gpu="B200"))
    with pytest.raises(FlywheelError, match="no price for modal 'B200'; known are L4, A10G, L40S"):
        other.run(job(), tmp_path, ignore)


def test_without_a_token_the_error_says_how_to_get_one(backend: ModalBackend, tmp_path: Path) -> None:
    with pytest.raises(FlywheelError, match="no Modal token was found: run `modal token new`"):
        backend.run(job(), tmp_path, ignore)
    assert not backend.leases.folder.exists()


def test_a_time_out_beyond_what_a_sandbox_may_live_is_refused(backend: ModalBackend, tmp_path: Path) -> None:
    with pytest.raises(FlywheelError, match="ends any sandbox after 86400 s; allow the job at most 86330 s"):
        backend.run(job(timeout=86400.0), tmp_path, ignore)


@pytest.mark.parametrize(("timeout", "lifetime"), [(100.5, 1071), (3600.0, 4570), (86330.0, 86400)])
def test_a_sandbox_ends_itself_soon_after_its_job(
    backend: ModalBackend, timeout: float, lifetime: int
) -> None:
    """Never earlier than time-out and grace, never at the service's default of 300 s, never beyond its longest."""
    assert backend.lifetime(job(timeout=timeout)) == lifetime


# --- what is there -----------------------------------------------------------------------------------


def test_readiness_says_what_is_missing_without_an_account(backend: ModalBackend) -> None:
    found = {each.what: each for each in replace(backend, consent="").readiness()}
    assert {what for what, each in found.items() if each.ok} == {"package", "price"}
    assert "modal token new" in found["token"].detail
    assert "FLYWHEEL_CONSENT_TO_COST=YES" in found["consent"].detail


def test_readiness_does_not_wait_for_a_service_that_is_not_there(
    backend: ModalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODAL_TOKEN_ID", "ak-1")
    monkeypatch.setenv("MODAL_TOKEN_SECRET", KEY)
    (token,) = (each for each in backend.readiness() if not each.ok)
    assert token.what == "token"
    assert KEY not in token.detail


def test_a_teardown_without_an_account_is_shouted(backend: ModalBackend) -> None:
    lease = backend.leases.open(
        backend="modal", resource="flywheel-x-1", job="x", lifetime=1, details={"app": "a"}
    )
    with pytest.raises(TeardownFailed, match="could not end 'flywheel-x-1': no Modal token was found"):
        replace(backend, teardown_pauses=(0.0,)).teardown(lease)


# --- the job's variables and lines -------------------------------------------------------------------


def test_a_jobs_variables_do_not_hide_the_package(backend: ModalBackend) -> None:
    found = environment_of(job(environment={"PYTHONPATH": "/opt/NeMo", "SECRET": KEY}), "L40S")
    assert found["PYTHONPATH"] == "/workspace/.flywheel/source:/opt/NeMo"
    assert found["SECRET"] == KEY
    assert "CUDA_VISIBLE_DEVICES" not in found
    assert environment_of(job(), None)["CUDA_VISIBLE_DEVICES"] == ""


WHOLE = "one\ntwo\nthree\nfour\n"


@pytest.mark.parametrize(
    ("streams", "lines", "torn"),
    [
        pytest.param([[WHOLE]], ["one", "two", "three", "four"], False, id="unbroken"),
        pytest.param([["one\ntw"], [WHOLE]], ["one", "two", "three", "four"], False, id="broken in a line"),
        pytest.param(
            [["one\n"], ["one", "\ntwo\n"], [WHOLE]], ["one", "two", "three", "four"], False, id="twice"
        ),
        pytest.param([[WHOLE], [WHOLE]], ["one", "two", "three", "four"], False, id="broken at the end"),
        pytest.param(
            [["one\ntwo\n"], ["three\nfour\n"]], ["one", "two", "three", "four"], True, id="beginning gone"
        ),
        pytest.param([["one\ntwo\n"], [""]], ["one", "two"], True, id="all gone"),
        pytest.param([["no end"]], ["no end"], False, id="no line end"),
    ],
)
def test_a_stream_that_begins_anew_is_passed_on_once(
    streams: list[list[str]], lines: list[str], torn: bool
) -> None:
    found: list[str] = []
    output = Output(found.append)
    for pieces in streams:
        output.begin()
        for piece in pieces:
            output.feed(piece)
    assert output.close() == torn
    assert found == lines
