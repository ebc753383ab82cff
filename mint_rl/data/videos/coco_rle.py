"""Masks in COCO's compressed run-length encoding, as CLEVRER's proposals have them.

A mask is a list of run lengths down its columns, background first, alternating. In the text each number is a
chain of characters: 48 + five bits, the lowest five first, 0x20 when more follow, and 0x10 in the last for a
negative number. From the fourth run on a number is the difference to the run two before.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def decode_mask(encoded: Any) -> NDArray[np.bool_]:
    """The mask (H, W) of `{"size": [H, W], "counts": text}`. `ValueError` for anything else."""
    try:
        height, width = (int(side) for side in encoded["size"])
        runs = decode_counts(encoded["counts"])
    except (TypeError, KeyError) as error:
        raise ValueError("a mask is not of the form {size, counts}") from error
    if not 0 < height * width <= 2**28 or min(runs, default=0) < 0 or sum(runs) != height * width:
        raise ValueError(f"a mask of {height}×{width} pixels has runs of {sum(runs)} in all")
    inside = np.arange(len(runs)) % 2 == 1
    return np.repeat(inside, runs).reshape(width, height).T


def decode_counts(text: str) -> list[int]:
    """The run lengths that the text stands for."""
    runs: list[int] = []
    number = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 30:
            raise ValueError(f"a mask has the character {character!r} in its counts")
        number |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            number -= 1 << shift
        runs.append(number + runs[-2] if len(runs) > 2 else number)
        number = shift = 0
    if shift:
        raise ValueError("the counts of a mask end in the middle of a number")
    return runs
