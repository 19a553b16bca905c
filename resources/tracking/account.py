"""Whose runs they are and whether they are sent: read from the configuration, then from W&B's own variables."""

import os
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit

from flywheel.compute.job import Seconds
from flywheel.errors import FlywheelError
from resources.readiness import Finding

__all__ = ["KEY_VARIABLE", "SERVER_VARIABLE", "Account", "Mode", "chosen_account", "readiness"]

Mode: TypeAlias = Literal["online", "offline", "off"]

KEY_VARIABLE: Final = "WANDB_API_KEY"
SERVER_VARIABLE: Final = "WANDB_BASE_URL"
_MODES: Final[dict[str, Mode]] = {
    "online": "online",
    "offline": "offline",
    "off": "off",
    "disabled": "off",
}
_PROJECT: Final = "clinical-asr-flywheel"
_ANSWER_WITHIN: Final[Seconds] = 10.0
_WHO_AM_I: Final = "query Viewer { viewer { id } }"


@dataclass(frozen=True, slots=True)
class Account:
    """Where runs belong.

    Args:
        mode: `online` sends a run, `offline` keeps it here, `off` writes none.
        reason: where the mode comes from.
        project, entity: of W&B; an empty entity is the key's own.
    """

    mode: Mode
    reason: str
    project: str
    entity: str

    @property
    def base_url(self) -> str:
        """Of the server: `WANDB_BASE_URL`, else the client's own default."""
        if given := os.environ.get(SERVER_VARIABLE):
            return given.rstrip("/")
        from wandb import Settings

        return str(Settings.model_fields["base_url"].default)

    @property
    def server(self) -> str:
        """The server's name for people: what a URL may carry besides stays out."""
        parts = urlsplit(self.base_url)
        try:
            port = f":{parts.port}" if parts.port else ""
        except ValueError:
            port = ""
        return f"{parts.scheme}://{parts.hostname}{port}"

    def unreachable(self) -> str:
        """Why nothing can be sent now, found by a free call of at most some ten seconds; empty where it can."""
        import httpx

        key = os.environ.get(KEY_VARIABLE, "")
        if not key:
            return f"{KEY_VARIABLE} is not set"
        try:
            answer = httpx.post(
                f"{self.base_url}/graphql",
                json={"query": _WHO_AM_I},
                auth=("api", key),
                timeout=_ANSWER_WITHIN,
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # Its kind alone: the words of some repeat what was sent.
            return f"{self.server} does not answer ({type(error).__name__})"
        if answer.status_code in (401, 403):
            return f"{self.server} refuses the key in {KEY_VARIABLE}"
        if answer.status_code != 200:
            return f"{self.server} answers with status {answer.status_code}"
        try:
            viewer = answer.json()["data"]["viewer"]
        except (ValueError, KeyError, TypeError):
            return f"{self.server} does not answer as W&B does"
        return "" if viewer else f"{self.server} does not know the key in {KEY_VARIABLE}"


def chosen_account(mode: str = "", project: str = "", entity: str = "") -> Account:
    """The account by configuration, else by `WANDB_MODE`, `WANDB_PROJECT` and `WANDB_ENTITY`.

    Without a mode it is online where there is a key, and off where there is none. A wrong mode is a
    `FlywheelError`.
    """
    named = mode or os.environ.get("WANDB_MODE", "")
    if named and named not in _MODES:
        where = "the resource tracking, mode" if mode else "WANDB_MODE"
        raise FlywheelError(f"{where}: found {named!r}; allowed: {', '.join(_MODES)}")
    chosen, reason = _MODES.get(named, "off"), "mode" if mode else "WANDB_MODE"
    if not named:
        has_key = bool(os.environ.get(KEY_VARIABLE))
        chosen, reason = ("online", KEY_VARIABLE) if has_key else ("off", f"no {KEY_VARIABLE}")
    return Account(
        mode=chosen,
        reason=reason,
        project=project or os.environ.get("WANDB_PROJECT", "") or _PROJECT,
        entity=entity or os.environ.get("WANDB_ENTITY", ""),
    )


def readiness(account: Account | None = None) -> tuple[Finding, ...]:
    """Whether runs are tracked, and whether the key is accepted. A cycle can do without either."""
    account = account or chosen_account()
    if account.mode == "off":
        return (Finding("W&B", True, f"off: {account.reason}", needed=False),)
    if account.mode == "offline":
        return (
            Finding("W&B", True, f"offline ({account.reason}): runs are kept to be synced", needed=False),
        )
    problem = account.unreachable()
    detail = f"{problem}; runs are kept to be synced" if problem else f"{account.server} accepts the key"
    return (Finding("W&B", not problem, detail, needed=False),)
