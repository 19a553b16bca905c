"""A graph of one asset, whose step runs one of the jobs below on the configured backend.

python endings_graph.py JOB                                     # the job alone
JOB=lasts dagster asset materialize -f endings_graph.py ...     # the same in a run
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import dagster as dg

import assets  # noqa: F401  (lets Dagster read `--select` beside NeMo)
from flywheel.compute.job import ComputeJob
from flywheel.errors import FlywheelError
from resources.compute.resource import Compute
from resources.data_folder import DataFolder

SCRIPTS = {
    "ends well": "cat in.txt; echo done > out.txt",
    "fails": "echo it broke >&2; exit 3",
    "takes too long": "echo started; sleep 600",
    "lasts": "echo started; sleep 600; echo done > out.txt",
    "counts": "for n in 1 2 3 4 5 6 7 8; do echo line $n; sleep 1; done; echo done > out.txt",
    "leaves nothing": "echo started",
}


def job(name: str) -> ComputeJob:
    """One of the jobs: each reads `in.txt`, sees a key, and should leave `out.txt`."""
    given = Path(os.environ["FLYWHEEL_DATA"]) / "in.txt"
    given.parent.mkdir(parents=True, exist_ok=True)
    if not given.exists():
        given.write_text("given\n" * int(os.environ.get("IN_LINES", "1")))
    return ComputeJob(
        name="ending",
        argv=("sh", "-c", SCRIPTS[name]),
        inputs={"in.txt": given},
        outputs=("out.txt",),
        environment={"ENDING_KEY": os.environ.get("ENDING_KEY", "")},
        timeout=6.0 if name == "takes too long" else 300.0,
    )


def run(name: str, compute: Compute, on_line: Callable[[str], None]) -> None:
    """Run the job; its output goes to the data folder's `out`."""
    out = Path(os.environ["FLYWHEEL_DATA"]) / "out"
    outcome = compute.connect().run(job(name), out, on_line)
    on_line(
        f"ended well: {outcome.seconds:.1f} s, billed {outcome.billed_seconds:.1f} s, ${outcome.cost_usd:.4f}"
    )


@dg.asset
def ending(context: dg.AssetExecutionContext, compute: Compute) -> None:
    """The job named by JOB."""
    try:
        run(os.environ["JOB"], compute, context.log.info)
    except FlywheelError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None


defs = dg.Definitions(
    assets=[ending], resources={"compute": Compute(data=DataFolder())}, executor=dg.in_process_executor
)


if __name__ == "__main__":
    try:
        run(sys.argv[1], Compute(data=DataFolder()), lambda line: print(line, flush=True))
    except FlywheelError as error:
        sys.exit(f"error: {error}")
