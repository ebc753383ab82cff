"""Reading a pickle as data: no code runs, whatever the file says.

Python's own unpickler calls what the file names; restricting the names still leaves numpy's and copyreg's
functions to be called with the file's arguments. This reader is a pickle machine of its own for the
thirty-odd instructions that MAGICAL's demonstrations are made of. It imports nothing, looks up no attribute
and calls nothing that came from the file: a global is looked up in the table below and stays a mark, an
array is made from its bytes by `numpy.frombuffer` after its type and shape have been checked. Anything else
is a `ValueError`.

`pickletools.genops` splits the stream into instructions; it executes nothing.
"""

from __future__ import annotations

import enum
import math
import pickletools
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

# The longest human demonstration (ClusterColour, 240 steps, two views of 384×384) has 16,000 instructions.
MAX_INSTRUCTIONS = 1_000_000


class _Known(enum.Enum):
    """What the globals that a demonstration may name stand for."""

    ARRAY = enum.auto()
    SCALAR = enum.auto()
    NDARRAY = enum.auto()
    DTYPE = enum.auto()
    ORDERED_DICT = enum.auto()
    TRAJECTORY = enum.auto()


_GLOBALS = {
    ("numpy.core.multiarray", "_reconstruct"): _Known.ARRAY,
    ("numpy._core.multiarray", "_reconstruct"): _Known.ARRAY,  # numpy 2's name
    ("numpy.core.multiarray", "scalar"): _Known.SCALAR,
    ("numpy._core.multiarray", "scalar"): _Known.SCALAR,
    ("numpy", "ndarray"): _Known.NDARRAY,
    ("numpy", "dtype"): _Known.DTYPE,
    ("collections", "OrderedDict"): _Known.ORDERED_DICT,
    # three releases of MAGICAL, one tuple: (acts, obs, rews, infos)
    ("milbench.baselines.saved_trajectories", "MILBenchTrajectory"): _Known.TRAJECTORY,
    ("magical.saved_trajectories", "MAGICALTrajectory"): _Known.TRAJECTORY,
    ("imitation.util.rollout", "Trajectory"): _Known.TRAJECTORY,
}
_NUMBER_TYPES = frozenset({"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"})


@dataclass(eq=False)
class PickledDtype:
    """A number type: its code such as "u1", then, once built, numpy's."""

    code: str
    value: np.dtype[Any] | None = None


@dataclass(eq=False)
class PickledArray:
    """An array: announced first, filled when its bytes have come. Read-only."""

    value: NDArray[Any] | None = None


@dataclass(frozen=True, eq=False)
class PickledTrajectory:
    """The values of a MAGICAL trajectory, in order: acts, obs, rews, infos."""

    values: tuple[Any, ...]


class _Mark:
    """The bottom of a run of stack items that one instruction takes together."""


class _Limited:
    """A stream that gives at most `limit` bytes, however many its compression promises."""

    def __init__(self, stream: BinaryIO, limit: int) -> None:
        self._stream, self._left, self._limit = stream, limit, limit

    def read(self, count: int) -> bytes:
        if count > self._left:
            raise ValueError(f"it unpacks to more than {self._limit / 2**20:.0f} MiB")
        data = self._stream.read(count)
        self._left -= len(data)
        return data

    def readline(self) -> bytes:
        line = self._stream.readline(self._left + 1)
        if len(line) > self._left:
            raise ValueError(f"it unpacks to more than {self._limit / 2**20:.0f} MiB")
        self._left -= len(line)
        return line


def read_pickle_as_data(stream: BinaryIO, max_bytes: int) -> Any:
    """The value in the pickle `stream`, made of None, numbers, text, bytes, tuples, lists, dictionaries with
    text keys, and the classes above.

    `ValueError` if it names a class or function that no demonstration needs (the message names it), uses an
    instruction that none needs, is cut short, or is longer than `max_bytes`.
    """
    machine = _Machine()
    for count, (opcode, argument, _) in enumerate(pickletools.genops(_Limited(stream, max_bytes))):  # type: ignore[arg-type]
        if count >= MAX_INSTRUCTIONS:
            raise ValueError(f"it has more than {MAX_INSTRUCTIONS:,} instructions")
        machine.step(opcode.name, argument)
    return machine.pop()


class _Machine:
    """The pickle machine: a stack, a memo, and one branch for each instruction that is admitted."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def pop(self) -> Any:
        if not self.stack:
            raise ValueError("its instructions do not fit together")
        return self.stack.pop()

    def pop_many(self, count: int) -> tuple[Any, ...]:
        return tuple(self.pop() for _ in range(count))[::-1]

    def pop_to_mark(self) -> list[Any]:
        items: list[Any] = []
        while not isinstance(item := self.pop(), _Mark):
            items.append(item)
        return items[::-1]

    def top(self, kind: type) -> Any:
        if not self.stack or type(self.stack[-1]) is not kind:
            raise ValueError(f"its instructions do not fit together (no {kind.__name__} to fill)")
        return self.stack[-1]

    def step(self, name: str, argument: Any) -> None:
        push = self.stack.append
        match name:
            case "PROTO" | "FRAME" | "STOP":
                pass
            case "NONE":
                push(None)
            case "NEWTRUE":
                push(True)
            case "NEWFALSE":
                push(False)
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT":
                push(argument)
            case "SHORT_BINUNICODE" | "BINUNICODE" | "SHORT_BINBYTES" | "BINBYTES" | "BINBYTES8":
                push(argument)
            case "MARK":
                push(_Mark())
            case "EMPTY_TUPLE":
                push(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                push(self.pop_many(int(name[-1])))
            case "TUPLE":
                push(tuple(self.pop_to_mark()))
            case "EMPTY_LIST":
                push([])
            case "APPEND":
                value = self.pop()
                self.top(list).append(value)
            case "APPENDS":
                items = self.pop_to_mark()
                self.top(list).extend(items)
            case "EMPTY_DICT":
                push({})
            case "SETITEM":
                key, value = self.pop_many(2)
                self.set_items([key, value])
            case "SETITEMS":
                self.set_items(self.pop_to_mark())
            case "MEMOIZE":
                self.memo[len(self.memo)] = self.last()
            case "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = self.last()
            case "BINGET" | "LONG_BINGET":
                if argument not in self.memo:
                    raise ValueError("it refers to a value that it does not hold")
                push(self.memo[argument])
            case "GLOBAL":
                push(_known(*str(argument).split(" ", 1)))
            case "STACK_GLOBAL":
                push(_known(*self.pop_many(2)))
            case "REDUCE" | "NEWOBJ":
                target, arguments = self.pop_many(2)
                push(_construct(target, arguments))
            case "BUILD":
                state = self.pop()
                _fill(self.last(), state)
            case _:
                raise ValueError(
                    f"it uses the pickle instruction {name}, which no MAGICAL demonstration needs"
                )

    def last(self) -> Any:
        if not self.stack:
            raise ValueError("its instructions do not fit together")
        return self.stack[-1]

    def set_items(self, items: list[Any]) -> None:
        target = self.top(dict)
        keys, values = items[::2], items[1::2]
        if len(keys) != len(values) or not all(isinstance(key, str) for key in keys):
            raise ValueError("it holds a dictionary whose keys are not text")
        target.update(zip(keys, values, strict=True))


def _known(module: Any, name: Any) -> _Known:
    if not (isinstance(module, str) and isinstance(name, str)):
        raise ValueError("it names a class by something that is not text")
    if (module, name) not in _GLOBALS:
        named = f"{module}.{name}"[:80]
        raise ValueError(
            f"it names {named!r}, which is never loaded (only numpy arrays and MAGICAL's trajectories are)"
        )
    return _GLOBALS[module, name]


def _construct(target: Any, arguments: Any) -> Any:
    """What calling the marked global with `arguments` stands for."""
    match target, arguments:
        case _Known.ORDERED_DICT, ():
            return {}
        case _Known.TRAJECTORY, tuple():
            return PickledTrajectory(arguments)
        case _Known.ARRAY, (_Known.NDARRAY, (0,), bytes()):
            return PickledArray()
        case _Known.DTYPE, (str() as code, *_) if code in _NUMBER_TYPES:
            return PickledDtype(code)
        case _Known.SCALAR, (PickledDtype(value=np.dtype() as dtype), bytes() as data):
            if len(data) != dtype.itemsize:
                raise ValueError("it holds a number whose bytes do not fit its type")
            return np.frombuffer(data, dtype)[0].item()
    raise ValueError(f"it builds '{_kind(target)}' in a way that no MAGICAL demonstration does")


def _fill(target: Any, state: Any) -> None:
    """Give a number type its byte order, or an array its contents."""
    match target, state:
        case PickledDtype(value=None), (int(), "<" | ">" | "|" | "=" as order, None, None, None, *_):
            target.value = np.dtype(order + target.code)
        case (
            PickledArray(value=None),
            (
                int(),
                tuple() as shape,
                PickledDtype(value=np.dtype() as dtype),
                bool() as fortran,
                bytes() as data,
            ),
        ):
            sides = all(type(side) is int and side >= 0 for side in shape) and len(shape) <= 8
            if not sides or math.prod(shape) * dtype.itemsize != len(data):
                raise ValueError("it holds an array whose bytes do not fit its shape")
            target.value = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
        case _:
            raise ValueError(f"it changes '{_kind(target)}' in a way that no MAGICAL demonstration does")


def _kind(target: Any) -> str:
    if isinstance(target, _Known):
        return target.name.lower()
    return type(target).__name__.removeprefix("Pickled").lower()
