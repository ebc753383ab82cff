"""How many CPU threads PyTorch uses while a run lasts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


def threads_of(threads: int | None, policy: str) -> int | None:
    """The threads that a setting asks for; one for keypoint policies unless told, PyTorch's own for CNNs."""
    return 1 if threads is None and policy != "cnn" else threads


@contextmanager
def cpu_threads(count: int | None) -> Iterator[None]:
    """Let PyTorch use `count` threads inside the block; None leaves it as it is.

    Keypoint networks are so small that threads wait for each other more than they work: beside another busy
    process, two threads on two cores took 25 times the CPU time of one. One thread also makes the numbers of
    a run independent of how many cores a machine has.
    """
    import torch

    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
