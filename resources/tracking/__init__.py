"""Weights & Biases: one run a cycle, written here first and sent where that is wanted."""

from resources.tracking.account import readiness

__all__ = ["readiness"]
