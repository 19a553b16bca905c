"""The fine-tuning that the gate allowed."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import dagster as dg

from assets.boosting import boosted_eval
from assets.cycles import CYCLES, GPU_POOL, OWNERS, making
from assets.evaluation import base_model
from assets.rented import left_running_spec, rented_step
from assets.splits import split
from flywheel.files.cycles import CycleFolder
from flywheel.recognisers.bases import read_base
from flywheel.recognisers.nemo_asr import TrainingRun, chosen_hyperparameters, epochs_table, finetune
from resources.compute.resource import Compute
from resources.data_folder import DataFolder
from resources.object_store.resource import ObjectStore
from resources.tracking.resource import Tracking


class FinetuningConfig(dg.Config):
    """`compute`: the backend, by default the run's. `hyperparameters`: those that differ from the recipe's, by
    name, see `Hyperparameters`. `timeout_seconds`: after which the job is ended."""

    compute: str = ""
    hyperparameters: dict[str, Any] = {}
    timeout_seconds: float = 12 * 3600


@dg.asset(
    group_name="training",
    kinds={"nemo", "pytorch"},
    owners=OWNERS,
    # What something free would do is measured first: it costs a minute, and beside a training, on the same GPU or the
    # same few cores, both would take longer than in turn.
    deps=[base_model, split, dg.AssetKey("training_ticket"), boosted_eval],
    partitions_def=CYCLES,
    pool=GPU_POOL,
    code_version="1",
    check_specs=[
        dg.AssetCheckSpec("rows_seen", asset="adapted_model"),
        left_running_spec("adapted_model"),
    ],
    description=(
        "The fine-tuned model: the checkpoint with the best word error rate on the development rows. Trained "
        "again only if base, rows or hyperparameters changed."
    ),
)
def adapted_model(
    context: dg.AssetExecutionContext,
    config: FinetuningConfig,
    data: DataFolder,
    compute: Compute,
    tracking: Tracking,
    store: ObjectStore,
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """Fine-tune the base on the training rows in a compute job."""
    with making(context, data, "adapted_model") as folder:
        base = read_base(folder.base_model)
        backend = compute.connect(config.compute)
        accelerator = backend.has_accelerator
        hyperparameters = chosen_hyperparameters(base, config.hyperparameters, accelerator=accelerator)

        def train() -> dg.MaterializeResult:
            told = {
                "cycle": folder.cycle,
                "hyperparameters": asdict(hyperparameters),
                "backend": backend.name,
            }
            with (
                store.watching_checkpoints(data, folder.cycle, context.log.info),
                tracking.losses(folder.cycle, told, context.log.info) as follow,
            ):
                run = finetune(
                    base,
                    folder,
                    hyperparameters,
                    backend,
                    follow,
                    accelerator=accelerator,
                    timeout=config.timeout_seconds,
                )
            return _trained(run, folder)

        yield from rented_step("adapted_model", train)


def _trained(run: TrainingRun, folder: CycleFolder) -> dg.MaterializeResult:
    return dg.MaterializeResult(
        data_version=dg.DataVersion(run.info.model_sha256),
        metadata={
            "epochs": dg.MetadataValue.md(epochs_table(run.info.epochs)),
            "best validation WER": run.info.best.val_wer,
            "seconds": run.info.seconds,
            "billed seconds": run.info.billed_seconds,
            "cost in US dollars": run.info.cost_usd,
            "cache_hits": int(run.cached),
            "model": dg.MetadataValue.path(folder.adapted_model),
        },
        check_results=[
            dg.AssetCheckResult(
                check_name="rows_seen",
                passed=True,
                description="The trainer saw every row of its manifests; the step fails where it does not.",
                metadata=dict(run.info.rows_seen),
            )
        ],
    )
