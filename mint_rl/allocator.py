"""Memory that is freed stays with the process, so that the next layer need not ask for it again."""

from __future__ import annotations

import torch

_LARGEST = 30 << 20  # bytes; glibc heeds blocks below 32 MiB


def keep_freed_memory() -> None:
    """Let the C library keep what tensors free, up to 60 MB of it, for this whole process.

    glibc maps each block above 128 kB by itself and gives it back when it is freed, and the next layer's map
    of the same size has all its pages faulted in anew: two fifths of the time of a frame. The limit rises to
    the largest mapped block that was freed (mallopt(3), M_MMAP_THRESHOLD), and one is enough. It is never
    written to, so it costs microseconds. Elsewhere than on glibc nothing changes.
    """
    torch.empty(_LARGEST, dtype=torch.uint8)
