"""Fields of configuration dataclasses that carry their own help text, for `mint-rl <verb> --help`."""

from __future__ import annotations

import copy
from dataclasses import field
from typing import Any


def option(default: Any, meaning: str) -> Any:
    """A dataclass field with a default and one line on what it means; lists are copied per instance."""
    if isinstance(default, list | dict):
        return field(default_factory=lambda: copy.deepcopy(default), metadata={"help": meaning})
    return field(default=default, metadata={"help": meaning})
