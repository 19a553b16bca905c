"""Base models: which may be fine-tuned, how, and which are refused with the reason."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flywheel.errors import FlywheelError
from flywheel.files import bundled
from flywheel.files.content import content_of_file
from flywheel.files.records import read_record, write_record
from flywheel.recognisers.registry import Registry

BUNDLED = "bundled"
"""The name by which the tiny model that ships with the package is asked for."""

DEFAULT_WITH_GPU = "nvidia/parakeet-tdt-0.6b-v2"

Mode = Literal["full", "adapter", "lora"]
"""What is trained: all weights, adapter modules, or low-rank updates."""

_FULL = {
    DEFAULT_WITH_GPU: "tdt",
    "nvidia/stt_en_conformer_ctc_large": "ctc",
    "nvidia/parakeet-ctc-0.6b": "ctc",
    "nvidia/parakeet-ctc-1.1b": "ctc",
    "nvidia/parakeet-rnnt-0.6b": "rnnt",
    "nvidia/parakeet-rnnt-1.1b": "rnnt",
}
"""Published models with a recipe, and their decoders."""

_STREAMING = "nvidia/nemotron-speech-streaming-en-0.6b"
_SALM = "nvidia/canary-qwen-2.5b"


class BaseRefusedError(FlywheelError):
    """A base model, or a way of training it, that is known to fail or that there is no recipe for."""


@dataclass(frozen=True, slots=True)
class Base:
    """A model to start from.

    Args:
        name: what pages call it.
        file: the `.nemo` file; None for a published model, which the job fetches by its name.
        origin: the base at the beginning of its line: `bundled`, a published model, or a user's file by name.
    """

    name: str
    file: Path | None
    origin: str

    @property
    def needs_accelerator(self) -> bool:
        """Whether training it needs a GPU: the published models do, TDT's loss has no CPU form at all."""
        return self.origin in _FULL

    @property
    def sha256(self) -> str | None:
        """Of the content of the file; None for a published model."""
        return None if self.file is None else content_of_file(self.file)

    @property
    def record(self) -> "BaseRecord":
        """The base with the content of its file."""
        return BaseRecord(self.name, self.file, self.origin, self.sha256)


@dataclass(frozen=True, slots=True)
class BaseRecord:
    """A base as it was when a cycle chose it, as `base_model.json` holds it.

    Args:
        name, file, origin: as in `Base`.
        sha256: of the file; None for a published model.
    """

    name: str
    file: Path | None
    origin: str
    sha256: str | None


def write_base(path: Path, base: Base) -> None:
    """Note the base of a cycle."""
    write_record(path, base.record)


def read_base(path: Path) -> Base:
    """The base that `write_base` noted; raises where its file has changed since."""
    noted = read_record(path, BaseRecord)
    base = Base(noted.name, noted.file, noted.origin)
    if base.file is not None and (not base.file.is_file() or base.sha256 != noted.sha256):
        raise FlywheelError(
            f"{base.file}: the base of this cycle is gone or has changed; choose the base again"
        )
    return base


def base_of_cycle(cycle: int, registry: Registry, name: str, *, accelerator: bool) -> Base:
    """What a cycle starts from: `name` where one is given, else the newest model that an earlier cycle
    promoted, else the default: the published one with a GPU, the bundled one without.

    Raises `BaseRefusedError` as `find_base`, `RegistryError` where the promoted model is damaged.
    """
    if name:
        return find_base(name)
    entry = registry.newest(before_cycle=cycle)
    if entry is not None:
        return Base(f"model of {entry.cycle}", registry.path_of(entry), entry.base_model)
    return find_base(DEFAULT_WITH_GPU if accelerator else BUNDLED)


def find_base(name: str, mode: Mode = "full") -> Base:
    """The base called `name`: `bundled`, a published model's name, or the path of a `.nemo` file.

    Raises `BaseRefusedError` for a model or a mode that must not be fine-tuned, and for a path that is no file.
    """
    check_mode(name, mode)
    if name == BUNDLED:
        return Base(BUNDLED, bundled.path("base_fastconformer_ctc.nemo"), BUNDLED)
    if name in _FULL:
        return Base(name, None, name)
    path = Path(name)
    if name.endswith(".nemo") or path.exists():
        if not path.is_file() or path.suffix != ".nemo":
            raise BaseRefusedError(
                f"base model {name!r} is not a file that ends in .nemo; give the path of one"
            )
        return Base(path.stem, path.resolve(), path.name)
    raise BaseRefusedError(f"base model {name!r} is unknown; allowed are {_allowed()}")


def check_mode(name: str, mode: Mode) -> None:
    """Raise `BaseRefusedError` for the pairs of base and mode that are known to fail."""
    if name == _STREAMING:
        raise BaseRefusedError(
            f"base model {name!r} is refused: fine-tuned, it collapses to unknown tokens after its first step. "
            f"Take {DEFAULT_WITH_GPU} and chunk its audio when serving streams"
        )
    if name == _SALM and mode != "lora":
        raise BaseRefusedError(f"base model {name!r} is refused in mode {mode!r}: it is tuned by LoRA only")
    if name == _SALM:
        raise BaseRefusedError(f"base model {name!r} has no recipe here yet; allowed are {_allowed()}")
    if mode == "adapter" and _FULL.get(name, "ctc") in ("tdt", "rnnt"):
        raise BaseRefusedError(
            f"mode 'adapter' is refused for {name!r}: adapter modules give NaN weights with TDT and RNNT "
            "decoders at any learning rate. Use mode 'full'"
        )
    if mode != "full":
        raise BaseRefusedError(f"mode {mode!r} has no recipe for {name!r}; allowed is 'full'")


def _allowed() -> str:
    return ", ".join([BUNDLED, *_FULL, "the path of a .nemo file"])
