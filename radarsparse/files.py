"""Writing files so that they appear whole or not at all, and JSON that any reader takes."""

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden path to write to, which takes the name `path` if the block ends without an error."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def to_json(content: Any, indent: int | None = None) -> str:
    """Nested mappings, sequences and numbers as strict JSON, NaN and infinity as null.

    Args:
        content: what is written.
        indent: spaces of each level; all on one line by default.
    """
    return json.dumps(_without_nan(content), indent=indent, allow_nan=False)


def _without_nan(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
