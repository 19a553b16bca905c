"""What a sandbox of Modal is made of."""

import re
from dataclasses import dataclass
from typing import Final

from flywheel.errors import Problems

__all__ = ["ModalOptions"]

_PREFIX: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,13}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModalOptions:
    """What a sandbox is made of; each can also be a variable, e.g. `FLYWHEEL_MODAL_GPU`.

    Args:
        app: the Modal app that the sandboxes belong to; made if need be.
        image: of a registry. It needs `sh` and a Python that the job's packages are installed in.
        registry_secret: the name of a Modal secret with the registry's login, where the image needs one:
            REGISTRY_USERNAME and REGISTRY_PASSWORD (for NGC ``$oauthtoken`` and the key).
        gpu: e.g. ``L40S``; empty for none. Jobs that use none get none.
        cpu: cores that are reserved.
        memory_mb: MiB of memory that are reserved.
        python: the image's Python.
        volume_prefix: begins the names of volumes and sandboxes.
        start_timeout: seconds that a sandbox may take to start once its image is built.
    """

    app: str = "clinical-asr-flywheel"
    image: str = "nvcr.io/nvidia/nemo:25.11.01"
    registry_secret: str = ""
    gpu: str = "L40S"
    cpu: float = 4.0
    memory_mb: int = 16384
    python: str = "python"
    volume_prefix: str = "flywheel"
    start_timeout: float = 900.0

    def __post_init__(self) -> None:
        problems = [
            f"{name}: found {getattr(self, name)!r}, more than 0 is needed"
            for name in ("cpu", "memory_mb", "start_timeout")
            if not getattr(self, name) > 0
        ]
        # With the longest name of a job it has to fit into Modal's 64 characters.
        if not _PREFIX.fullmatch(self.volume_prefix):
            problems.append(
                f"volume_prefix: found {self.volume_prefix!r}, 1 to 14 of a-z, 0-9 and - are needed"
            )
        if problems:
            raise Problems("options of the backend modal", problems)
