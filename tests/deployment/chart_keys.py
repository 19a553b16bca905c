"""The key paths of a Helm chart's values.

helm show values dagster/dagster --version 1.13.27 | python tests/deployment/chart_keys.py

prints what `chart_keys.txt` holds, without the keys that the chart's values only mention in comments.
"""

import sys
from collections.abc import Iterator
from typing import Any

import yaml

FREE = ".*"
"""Ends the path of something empty: what goes there is Kubernetes' or the user's."""


def key_paths(values: Any, path: str = "") -> Iterator[str]:
    """Paths such as ``a.b``, ``list[].name``, and ``resources.*`` for what is empty."""
    if isinstance(values, dict) and values:
        for key, value in values.items():
            yield from key_paths(value, f"{path}.{key}" if path else str(key))
    elif isinstance(values, list) and any(isinstance(value, dict) for value in values):
        for value in values:
            yield from key_paths(value, f"{path}[]")
    elif values in ({}, [], None):
        yield path + FREE
    else:
        yield path


if __name__ == "__main__":
    print("\n".join(sorted(set(key_paths(yaml.safe_load(sys.stdin))))))
