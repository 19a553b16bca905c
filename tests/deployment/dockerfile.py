"""The Dockerfile's instructions."""

import re
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Instruction:
    """One instruction: its name, and the rest with continued lines joined."""

    name: str
    rest: str


def stages() -> list[list[Instruction]]:
    """The instructions of each stage, from its FROM on."""
    text = (REPOSITORY / "Dockerfile").read_text()
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    found: list[list[Instruction]] = []
    for line in re.sub(r"\\\n\s*", " ", lines).splitlines():
        name, _, rest = line.partition(" ")
        if name == "FROM":
            found.append([])
        if name:
            found[-1].append(Instruction(name, " ".join(rest.split())))
    return found


def of(stage: list[Instruction], name: str) -> list[str]:
    """What stands after each instruction of that name."""
    return [instruction.rest for instruction in stage if instruction.name == name]
