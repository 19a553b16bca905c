"""Scoring: from transcripts to error counts, rates with intervals, breakdowns and comparisons.

rows = score_rows(read_transcripts(hypotheses), CLINICAL, terms)
scores = summarise(rows, model=..., normalizer=CLINICAL, seed=42)
"""

from flywheel.scoring.aggregation import (
    BREAKDOWNS,
    RowTable,
    keyword_error_rate,
    slice_rows,
    summarise,
    word_error_rate,
)
from flywheel.scoring.comparison import Comparison, KeywordChange, Pairs, RateChange, SliceComparison, compare
from flywheel.scoring.doses import NO_DOSES, DoseErrors, dose_errors
from flywheel.scoring.errors import ErrorCounts, character_errors, substituted_with, sum_counts, word_errors
from flywheel.scoring.intervals import (
    LEAST_CHANGES,
    LEAST_CLUSTERS,
    LEAST_ROWS,
    Estimate,
    PairedRates,
    bootstrap_bounds,
    carries,
    cluster_bootstrap,
    holm,
    mcnemar_exact,
    paired_bootstrap,
    rows_needed,
    wilson,
)
from flywheel.scoring.normalizers import CLINICAL, NORMALIZERS, PUBLISHED, Normalizer, normalizer_named
from flywheel.scoring.row_table import read_rows, row_frame, write_rows
from flywheel.scoring.rows import RowScore, score_rows
from flywheel.scoring.scores import Scores
from flywheel.scoring.slices import SLICES, slices_of
from flywheel.scoring.term_matching import term_found
from flywheel.scoring.transcripts import (
    ScoringError,
    Transcript,
    TranscriptError,
    check_complete,
    read_transcripts,
)

__all__ = [
    "BREAKDOWNS",
    "CLINICAL",
    "LEAST_CHANGES",
    "LEAST_CLUSTERS",
    "LEAST_ROWS",
    "NORMALIZERS",
    "NO_DOSES",
    "PUBLISHED",
    "SLICES",
    "Comparison",
    "DoseErrors",
    "ErrorCounts",
    "Estimate",
    "KeywordChange",
    "Normalizer",
    "PairedRates",
    "Pairs",
    "RateChange",
    "RowScore",
    "RowTable",
    "Scores",
    "ScoringError",
    "SliceComparison",
    "Transcript",
    "TranscriptError",
    "bootstrap_bounds",
    "carries",
    "character_errors",
    "check_complete",
    "cluster_bootstrap",
    "compare",
    "dose_errors",
    "holm",
    "keyword_error_rate",
    "mcnemar_exact",
    "normalizer_named",
    "paired_bootstrap",
    "read_rows",
    "read_transcripts",
    "row_frame",
    "rows_needed",
    "score_rows",
    "slice_rows",
    "slices_of",
    "substituted_with",
    "sum_counts",
    "summarise",
    "term_found",
    "wilson",
    "word_error_rate",
    "word_errors",
    "write_rows",
]
