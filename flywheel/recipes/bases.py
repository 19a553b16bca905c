"""Base models: which may be fine-tuned, how, and which are refused with the reason."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flywheel import bundled
from flywheel.errors import FlywheelError

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


class BaseRefused(FlywheelError):
    """A base model, or a way of training it, that is known to fail or that there is no recipe for."""


@dataclass(frozen=True, slots=True)
class Base:
    """A model to start from: either a `.nemo` file here, or a published `name` that the job fetches."""

    name: str
    file: Path | None = None

    @property
    def needs_accelerator(self) -> bool:
        """Whether training it needs a GPU: the published models do, TDT's loss has no CPU form at all."""
        return self.file is None or self.name in _FULL


def find_base(name: str, mode: Mode = "full") -> Base:
    """The base called `name`: `bundled`, a published model's name, or the path of a `.nemo` file.

    Raises `BaseRefused` for a model or a mode that must not be fine-tuned, and for a path that is no file.
    """
    check_mode(name, mode)
    if name == BUNDLED:
        return Base(BUNDLED, bundled.path("base_fastconformer_ctc.nemo"))
    if name in _FULL:
        return Base(name)
    path = Path(name)
    if name.endswith(".nemo") or path.exists():
        if not path.is_file() or path.suffix != ".nemo":
            raise BaseRefused(f"base model {name!r} is not a file that ends in .nemo; give the path of one")
        return Base(path.stem, path.resolve())
    raise BaseRefused(f"base model {name!r} is unknown; allowed are {_allowed()}")


def check_mode(name: str, mode: Mode) -> None:
    """Raise `BaseRefused` for the pairs of base and mode that are known to fail."""
    if name == _STREAMING:
        raise BaseRefused(
            f"base model {name!r} is refused: fine-tuned, it collapses to unknown tokens after its first step. "
            f"Take {DEFAULT_WITH_GPU} and chunk its audio when serving streams"
        )
    if name == _SALM and mode != "lora":
        raise BaseRefused(f"base model {name!r} is refused in mode {mode!r}: it is tuned by LoRA only")
    if name == _SALM:
        raise BaseRefused(f"base model {name!r} has no recipe here yet; allowed are {_allowed()}")
    if mode == "adapter" and _FULL.get(name, "ctc") in ("tdt", "rnnt"):
        raise BaseRefused(
            f"mode 'adapter' is refused for {name!r}: adapter modules give NaN weights with TDT and RNNT "
            "decoders at any learning rate. Use mode 'full'"
        )
    if mode != "full":
        raise BaseRefused(f"mode {mode!r} has no recipe for {name!r}; allowed is 'full'")


def _allowed() -> str:
    return ", ".join([BUNDLED, *_FULL, "the path of a .nemo file"])
