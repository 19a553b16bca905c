"""The compute backend as a Dagster resource: chosen by one word, logging every line of its jobs."""

import os
import shutil
import subprocess

import dagster as dg

from flywheel.compute import ComputeBackend
from resources.compute import backend_named
from resources.data_folder import DataFolder


class Compute(dg.ConfigurableResource):
    """Where jobs run: `backend`, or `FLYWHEEL_COMPUTE`, by default `local`.

    `grace_seconds` is the time between TERM and KILL; `keep_failed` leaves the workspace of a failed job
    to be looked at.
    """

    data: dg.ResourceDependency[DataFolder]
    backend: str = ""
    grace_seconds: float = 10.0
    keep_failed: bool = False

    def connect(self) -> ComputeBackend:
        """The backend; a wrong name is a `FlywheelError` that lists the right ones."""
        make = backend_named(self.backend or os.environ.get("FLYWHEEL_COMPUTE", "local"))
        return make(work_root=self.data.work, grace=self.grace_seconds, keep_failed=self.keep_failed)

    @property
    def has_accelerator(self) -> bool:
        """Whether jobs of this backend can use a GPU: here, whether NVIDIA's driver lists one."""
        if shutil.which("nvidia-smi") is None:
            return False
        listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=30)
        return listed.returncode == 0 and "GPU" in listed.stdout
