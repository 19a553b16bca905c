"""`doctor`: what a cycle needs, and whether it is there."""

import argparse
from functools import partial

from flywheel.cli.options import add_data
from flywheel.errors import FlywheelError
from resources.compute import BACKENDS
from resources.compute.resource import Compute
from resources.data_folder import DataFolder
from resources.dictionary import Dictionary
from resources.doctor import SERVICES, backend_readiness, lines, look, looks
from resources.object_store.resource import ObjectStore
from resources.speech.resource import Speech
from resources.tracking.resource import Tracking

__all__ = ["EPILOG", "add_arguments", "run"]

_SUBJECTS = (*SERVICES, *BACKENDS)

EPILOG = """\
One line for each thing, of this machine, of each service and of each compute backend. Nothing is started and nothing is
paid for: a key is tried with a call that is free. The machine, the services that are switched on and the backend in use
are always looked at, even if you ask only for others, because the exit code is about them.

Examples:
  flywheel doctor
  flywheel doctor docker modal

Exit codes: 0 a cycle has what it needs; 1 something is missing that it cannot do without; 2 wrong use."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument(
        "what", nargs="*", metavar="WHAT", help=f"any of {', '.join(_SUBJECTS)} (default: all)"
    )
    add_data(parser)


def run(options: argparse.Namespace) -> int:
    """Look, and print a line for each finding; 1 where a cycle lacks something, else 0."""
    asked = options.what or _SUBJECTS
    if wrong := [name for name in asked if name not in _SUBJECTS]:
        raise FlywheelError(f"doctor: found {', '.join(wrong)}; allowed: {', '.join(_SUBJECTS)}")
    data = DataFolder(root=str(options.data))
    compute = Compute(data=data)
    chosen = looks(compute, Speech(), Dictionary(data=data), Tracking(data=data), ObjectStore())
    others = {
        name: partial(backend_readiness, compute, name)
        for name in BACKENDS
        if name in asked and name not in chosen
    }
    found = look({**chosen, **others})
    for name in (*SERVICES, *BACKENDS, *(found.keys() - set(_SUBJECTS))):
        if name in found:
            print("\n".join(lines(name, found[name])), flush=True)
    lacking = [f"{name} {each.what}" for name in chosen for each in found[name] if each.stops]
    print("missing: " + ", ".join(lacking) if lacking else "ready: a cycle has what it needs")
    return 1 if lacking else 0
