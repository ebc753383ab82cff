"""Observation and action spaces as JSON: `Box` and `Discrete`, which is what policies here are trained on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from mint_rl.errors import UserError


def space_to_json(space: spaces.Space[Any]) -> dict[str, Any]:
    """A description of a `Box` or a `Discrete` that JSON can hold; `UserError` for other spaces."""
    if isinstance(space, spaces.Discrete):
        return {"type": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, spaces.Box):
        bounds = {"low": _shrink(space.low), "high": _shrink(space.high)}
        return {"type": "Box", "shape": list(space.shape), "dtype": str(space.dtype), **bounds}
    raise UserError(f"a policy's checkpoint can hold Box and Discrete spaces, not {type(space).__name__}")


def space_from_json(description: dict[str, Any]) -> spaces.Space[Any]:
    """The space that `space_to_json` described; `KeyError`, `TypeError` or `UserError` if it is none."""
    kind = description["type"]
    try:
        if kind == "Discrete":
            return spaces.Discrete(description["n"], start=description["start"])
        if kind == "Box":
            shape, dtype = tuple(description["shape"]), np.dtype(description["dtype"])
            low, high = _grow(description["low"], shape, dtype), _grow(description["high"], shape, dtype)
            return spaces.Box(low, high, shape, dtype.type)
    except (ValueError, AssertionError) as error:
        raise UserError(f"the description of a {kind} space does not fit together: {error}") from error
    raise UserError(f"unknown kind of space '{kind}'; known: Box, Discrete")


def _shrink(bound: NDArray[Any]) -> Any:
    """One number, or one for each entry of the last axis, where the others repeat it; else all of them."""
    if bound.size and (bound == bound.flat[0]).all():
        return _number(bound.flat[0])
    if bound.ndim > 1 and (bound == bound.reshape(-1, bound.shape[-1])[0]).all():
        return [_number(value) for value in bound.reshape(-1, bound.shape[-1])[0]]
    return _numbers(bound.tolist())


def _grow(bound: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.broadcast_to(np.array(_parse(bound), dtype=dtype), shape)


def _numbers(values: Any) -> Any:
    return [_numbers(value) for value in values] if isinstance(values, list) else _number(values)


def _number(value: Any) -> float | int | str:
    """JSON has no infinity: it becomes the word "inf" or "-inf"."""
    number = value.item() if isinstance(value, np.generic) else value
    return str(number) if isinstance(number, float) and not math.isfinite(number) else number


def _parse(bound: Any) -> Any:
    if isinstance(bound, list):
        return [_parse(value) for value in bound]
    return float(bound) if isinstance(bound, str) else bound
