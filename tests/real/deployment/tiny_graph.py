"""A graph of two steps that only wait: one that trains, one that evaluates, each in the pool of its kind.

A step notes in a file `<name>.notes` that it began, that it was interrupted, that it ended well; it goes on, and says
so, until there is a file `<name>.end`.
"""

import os
import time
from pathlib import Path

import dagster as dg

_AT_MOST = 300.0


class Waiting(dg.Config):
    """What the files of a step are called."""

    name: str


def wait(context: dg.OpExecutionContext, config: Waiting) -> None:
    """Wait for the file, and say so to the log, which is the database."""
    data = Path(os.environ["FLYWHEEL_DATA"])
    with (data / f"{config.name}.notes").open("a", buffering=1) as notes:
        notes.write("began\n")
        try:
            deadline = time.monotonic() + _AT_MOST
            while time.monotonic() < deadline and not (data / f"{config.name}.end").exists():
                context.log.info("goes on")
                time.sleep(0.2)
        except BaseException:
            time.sleep(1.0)  # the teardown of a rented machine takes its time, too
            notes.write("cleaned up\n")
            raise
        notes.write("ended well\n")


@dg.op(pool="gpu")
def trains(context: dg.OpExecutionContext, config: Waiting) -> None:
    """In the place of a fine-tuning."""
    wait(context, config)


@dg.op(pool="evals")
def evaluates(context: dg.OpExecutionContext, config: Waiting) -> None:
    """In the place of an eval."""
    wait(context, config)


@dg.job(executor_def=dg.in_process_executor)
def training() -> None:
    """A run that holds the GPU."""
    trains()


@dg.job(executor_def=dg.in_process_executor)
def evaluation() -> None:
    """A run that goes beside it."""
    evaluates()


defs = dg.Definitions(jobs=[training, evaluation])
