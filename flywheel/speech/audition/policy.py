"""Whether what follows may go on, given what people said; a pure function with its reasons."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from flywheel.errors import FlywheelError
from flywheel.files.cycles import CycleFolder
from flywheel.files.records import read_record
from flywheel.scoring.numbers_as_text import counted, listed
from flywheel.speech.audition.judgements import STATUSES, Judgement

__all__ = [
    "OFF",
    "POLICIES",
    "REQUIRE",
    "WARN",
    "AuditionState",
    "decide_audition",
    "policy_named",
    "read_state",
]

OFF, WARN, REQUIRE = "off", "warn", "require"
POLICIES = (OFF, WARN, REQUIRE)
"""`off`: no clip is made and nobody is asked; `warn`: people are asked and nothing waits for them; `require`: the
synthesis waits until every pronunciation is approved."""

_NAMED = 5


@dataclass(frozen=True, slots=True)
class AuditionState:
    """The answer of an audition.

    Args:
        policy: one of `POLICIES`.
        open: whether what follows may go on.
        advice: what was found and what to do, for people.
        counts: how many pronunciations have each status, of `STATUSES`; empty where nobody was asked.
        page: absolute path of the page; empty where there is none.
        verdicts: absolute path of the file of verdicts.
    """

    policy: str
    open: bool
    advice: str
    counts: Mapping[str, int]
    page: str
    verdicts: str

    @property
    def all_approved(self) -> bool:
        """Whether nothing is left to say; True where nobody was asked."""
        return not any(count for status, count in self.counts.items() if status != "approved")


def policy_named(name: str) -> str:
    """`name` if it is a policy; else a `FlywheelError` that lists the policies."""
    if name not in POLICIES:
        raise FlywheelError(
            f"audition: policy: found {name!r}; allowed: {', '.join(POLICIES)} (FLYWHEEL_AUDITION, or policy of the "
            "op audition in the run's configuration)"
        )
    return name


def decide_audition(
    policy: str,
    judgements: Sequence[Judgement],
    *,
    page: Path,
    verdicts: Path,
    unspoken: Mapping[str, str] = MappingProxyType({}),
) -> AuditionState:
    """What the policy makes of the judgements; with `off` they do not matter.

    Args:
        unspoken: why there is no clip of a term or word that has none.
    """
    if policy == OFF:
        advice = "nobody is asked how the terms sound (policy off)"
        return AuditionState(OFF, True, advice, {}, "", str(verdicts))
    of_status = Counter(each.status for each in judgements)
    counts: dict[str, int] = {status: of_status[status] for status in STATUSES}
    waits = policy == REQUIRE and counts["approved"] < len(judgements)
    advice = _advice(judgements, page, verdicts, unspoken)
    if waits:
        advice = f"the synthesis waits for verdicts: {advice}"
    return AuditionState(policy, not waits, advice, counts, str(page), str(verdicts))


def _advice(judgements: Sequence[Judgement], page: Path, verdicts: Path, unspoken: Mapping[str, str]) -> str:
    names: dict[str, list[str]] = {
        status: [each.pronunciation.words for each in judgements if each.status == status]
        for status in STATUSES
    }
    total = counted(len(judgements), "pronunciation")
    if len(names["approved"]) == len(judgements):
        return f"nothing is left to judge: {total} approved"
    open_ends = [
        f"{len(names[status])} {said} ({_some(names[status])})"
        for status, said in (
            ("unjudged", "not judged"),
            ("rejected", "rejected"),
            ("chosen", "approved in another form"),
        )
        if names[status]
    ]
    parts = [f"{total}: {listed(open_ends)}"]
    if names["unjudged"]:
        parts.append(f"listen on {page} and put the verdicts at {verdicts}")
    if names["rejected"]:
        parts.append(
            "give what is rejected an IPA in the overrides, then materialise pronunciations again and listen again"
        )
    if names["chosen"]:
        parts.append("what is approved in another form is in the overrides: materialise pronunciations again")
    if unspoken:
        parts.append(
            "no clip could be made of " + _some([f"{words}: {why}" for words, why in unspoken.items()])
        )
    return "; ".join(parts)


def _some(names: Sequence[str]) -> str:
    left_out = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {left_out} more" if left_out > 0 else "")


def state_file(folder: CycleFolder) -> Path:
    """Where the answer of a cycle's audition is written."""
    return folder.audition / "state.json"


def read_state(folder: CycleFolder) -> AuditionState | None:
    """The answer of the cycle's latest audition; None where there was none."""
    path = state_file(folder)
    return read_record(path, AuditionState) if path.exists() else None
