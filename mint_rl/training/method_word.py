"""How benchmarks are told a method and its settings in one word: `cnn:policy.width=0.25,seeds=1`."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from mint_rl.errors import UserError


@dataclass(frozen=True)
class MethodWord:
    """A method with settings."""

    method: str
    settings: tuple[str, ...]  # as Hydra takes them
    seeds: int | None  # its own number of training seeds

    @classmethod
    def parse(cls, word: str, ours: Collection[str]) -> MethodWord:
        """`UserError` for a setting that is among `ours`, those that the benchmark decides."""
        method, _, rest = word.partition(":")
        settings, seeds = [], None
        for setting in filter(None, re.split(r",(?![^\[]*\])", rest)):  # not the commas of a list
            key, _, value = setting.partition("=")
            if key in ours:
                raise UserError(f"the benchmark itself decides '{key}': leave it out of '{word}'")
            if key != "seeds":
                settings.append(setting)
            elif value.isdecimal() and int(value) > 0:
                seeds = int(value)
            else:
                raise UserError(f"'seeds' in '{word}' must be a number of at least 1, got '{value}'")
        return cls(method, tuple(settings), seeds)

    @property
    def name(self) -> str:
        """The word without what does not belong to the method: its number of seeds."""
        return ":".join(filter(None, [self.method, ",".join(self.settings)]))


def slug(word: str) -> str:
    """What may stand in the name of a folder."""
    return re.sub(r"[^\w.+=]+", "_", word.replace("policy.", ""))[:60].strip("_")
