"""Writes one part of a run with W&B's client, offline, in a process of its own.

    python -m resources.tracking.writer     # reads messages from standard input, one JSON object a line

The first message says which run: `{"run": {...}}`, see `_open`. Each of the others holds `log` (figures by name),
`tables`, `page`, `artifact` or `exit_code`. The end of the input ends the run, so that it is whole however its
sender ended. What the client starts (a service, threads, exit hooks) and prints ends with this process, and cannot
hold up the one that turns the cycle. It has no key and sends nothing.
"""

import html
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import wandb


def main() -> None:
    """Open the run that the first message says, and follow the others."""
    run = _open(json.loads(sys.stdin.readline())["run"])
    exit_code = 1  # of an input that ends without one: its sender was killed
    for line in sys.stdin:
        message = json.loads(line)
        exit_code = message.get("exit_code", exit_code)
        if values := _values(message):
            run.log(values)
        if "artifact" in message:
            _log_artifact(run, message["artifact"])
    run.finish(exit_code=exit_code)
    # It leads to the service's own log, which goes with this process.
    (Path(run.dir).parent / "logs" / "debug-core.log").unlink(missing_ok=True)


def _open(wanted: Mapping[str, Any]) -> "wandb.Run":
    """The part of the run `id` that is written below `folder`; `axes` say over which figure others are drawn."""
    import wandb

    settings = wandb.Settings(
        mode="offline",
        silent=True,
        console="off",
        disable_git=True,
        disable_code=True,
        save_code=False,
        symlink=False,
        # Neither the machine nor who uses it is anybody's business.
        host="",
        username="",
        email="",
        x_disable_meta=True,
        x_disable_stats=True,
        x_save_requirements=False,
        # By default losses would stand in the file, and be sent, after 15 seconds. No public setting says that.
        x_transaction_log_flush_interval=1.0,
    )
    run = wandb.init(
        id=wanted["id"],
        name=wanted["name"],
        project=wanted["project"],
        entity=wanted["entity"] or None,
        notes=wanted["notes"] or None,
        config=wanted["config"],
        dir=wanted["folder"],
        resume="allow",
        settings=settings,
    )
    for drawn, axis in wanted["axes"].items():
        run.define_metric(axis)
        run.define_metric(drawn, step_metric=axis)
    return run


def _values(message: Mapping[str, Any]) -> dict[str, Any]:
    import wandb

    values = dict(message.get("log", {}))
    for name, table in message.get("tables", {}).items():
        values[name] = wandb.Table(columns=table["columns"], data=table["rows"])
    if "page" in message:
        values["page"] = wandb.Html(f"<pre>{html.escape(message['page'])}</pre>")
    return values


def _log_artifact(run: "wandb.Run", wanted: Mapping[str, Any]) -> None:
    """`copied` files are kept as they are now, `kept` ones never change and are read when they are sent."""
    import wandb

    artifact = wandb.Artifact(wanted["name"], wanted["type"], metadata=wanted["metadata"])
    for name, file in wanted["copied"].items():
        artifact.add_file(file, name=name)
    for name, file in wanted["kept"].items():
        artifact.add_file(file, name=name, policy="immutable", skip_cache=True)
    run.log_artifact(artifact, aliases=[wanted["alias"]])


if __name__ == "__main__":
    main()
