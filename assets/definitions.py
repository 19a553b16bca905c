"""What Dagster loads: all assets and checks, their resources, one process for the steps of a run."""

import dagster as dg

from assets.audition import audition
from assets.boosting import boosted_eval
from assets.code_links import with_code_links
from assets.console import console
from assets.corpus import audio, manifest, schema, sentences, speech, term_seed
from assets.dead_runs import dead_runs
from assets.evaluation import base_model, baseline_eval, next_eval
from assets.finetuning import adapted_model
from assets.gate import gate
from assets.growth import manifest_growth
from assets.history import history
from assets.jobs import flywheel_cycle
from assets.leaderboard import decision, leaderboard, promotion
from assets.object_store import bucket_copy
from assets.pronunciation import pronunciations
from assets.readiness import ready
from assets.recordings import recordings
from assets.retention import audio_retention, audio_retention_weekly
from assets.sensors import after_a_cancelled_run, after_a_failed_run, lease_sweep
from assets.splits import split
from assets.tracking import tracked_run
from resources.compute.resource import Compute
from resources.data_folder import DataFolder
from resources.dictionary import Dictionary
from resources.object_store.resource import ObjectStore
from resources.speech.resource import Speech
from resources.tracking.resource import Tracking

_DATA = DataFolder()

defs = dg.Definitions(
    assets=with_code_links(
        [
            term_seed,
            sentences,
            pronunciations,
            audition,
            speech,
            recordings,
            manifest,
            split,
            base_model,
            baseline_eval,
            gate,
            boosted_eval,
            adapted_model,
            next_eval,
            decision,
            promotion,
            leaderboard,
            history,
            tracked_run,
            bucket_copy,
        ]
    ),
    asset_checks=[ready, schema, audio],
    jobs=[flywheel_cycle, audio_retention],
    schedules=[audio_retention_weekly],
    sensors=[manifest_growth, dead_runs, lease_sweep, after_a_failed_run, after_a_cancelled_run],
    resources={
        "data": _DATA,
        "voices": Speech(),
        "compute": Compute(data=_DATA),
        "dictionary": Dictionary(data=_DATA),
        "tracking": Tracking(data=_DATA),
        "store": ObjectStore(),
    },
    loggers={"console": console},
    # Steps that need cores or memory of their own run as compute jobs; a process a step would only cost
    # four to eight seconds each.
    executor=dg.in_process_executor,
)
