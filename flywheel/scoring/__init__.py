"""Scoring: from transcripts to error counts, rates with intervals, breakdowns and comparisons.

rows = score_rows(read_transcripts(hypotheses), CLINICAL, terms)
scores = summarise(rows, model=..., normalizer=CLINICAL, seed=42)
"""

from flywheel.scoring.breakdowns import (
    BREAKDOWNS,
    SLICES,
    keyword_error_rate,
    slice_rows,
    slices_of,
    summarise,
)
from flywheel.scoring.comparison import Comparison, KeywordChange, RateChange, SliceComparison, compare
from flywheel.scoring.errors import (
    ErrorCounts,
    character_errors,
    substituted_with,
    sum_counts,
    term_found,
    word_errors,
)
from flywheel.scoring.intervals import Estimate, bootstrap_bounds, cluster_bootstrap, mcnemar_exact, wilson
from flywheel.scoring.normalizers import CLINICAL, NORMALIZERS, PUBLISHED, Normalizer, normalizer_named
from flywheel.scoring.rows import RowScore, ScoringError, results_csv, score_rows, write_results
from flywheel.scoring.transcripts import Transcript, TranscriptError, check_complete, read_transcripts

__all__ = [
    "BREAKDOWNS",
    "CLINICAL",
    "NORMALIZERS",
    "PUBLISHED",
    "SLICES",
    "Comparison",
    "ErrorCounts",
    "Estimate",
    "KeywordChange",
    "Normalizer",
    "RateChange",
    "RowScore",
    "ScoringError",
    "SliceComparison",
    "Transcript",
    "TranscriptError",
    "bootstrap_bounds",
    "character_errors",
    "check_complete",
    "cluster_bootstrap",
    "compare",
    "keyword_error_rate",
    "mcnemar_exact",
    "normalizer_named",
    "read_transcripts",
    "results_csv",
    "score_rows",
    "slice_rows",
    "slices_of",
    "substituted_with",
    "sum_counts",
    "summarise",
    "term_found",
    "wilson",
    "word_errors",
    "write_results",
]
