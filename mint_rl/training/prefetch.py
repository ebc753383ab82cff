"""Batches made in the background, so that a training step finds its own ready."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Generic, TypeVar

Batch = TypeVar("Batch")


class Prefetch(Generic[Batch]):
    """An iterator over the batches of some steps, which a thread makes up to `depth` ahead.

    make: gives the batch of a step, from the step alone: then what comes out does not depend on timing. What
    it raises is raised again where its batch would have come.

    with Prefetch(draw, range(1, 1001)) as batches:
        for frames, entropy in batches:
            ...
    """

    def __init__(self, make: Callable[[int], Batch], steps: Iterable[int], depth: int = 2) -> None:
        self._ready: queue.Queue[Batch | _End] = queue.Queue(depth)
        self._stopped = threading.Event()
        # A daemon, so that a program which dies of an exception does not wait for it.
        self._thread = threading.Thread(target=self._work, args=(make, steps), name="prefetch", daemon=True)
        self._taken = 0
        self.waits = 0  # batches after the first that were not ready when they were asked for
        self.waited = 0.0  # seconds spent waiting for them

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        late, clock = self._ready.empty(), time.perf_counter()
        batch = self._ready.get()
        if isinstance(batch, _End):
            self._ready.put(batch)  # whoever asks again gets the same answer
            raise batch.reason
        if late and self._taken:
            self.waits += 1
            self.waited += time.perf_counter() - clock
        self._taken += 1
        return batch

    def __enter__(self) -> Prefetch[Batch]:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        while self._thread.is_alive():  # perhaps it waits for a place in the queue
            try:
                self._ready.get(timeout=0.01)
            except queue.Empty:
                continue

    def _work(self, make: Callable[[int], Batch], steps: Iterable[int]) -> None:
        try:
            for step in steps:
                if self._stopped.is_set():
                    return
                self._ready.put(make(step))
            self._ready.put(_End(StopIteration()))
        except BaseException as error:  # raised where the batch is taken
            self._ready.put(_End(error))


class _End:
    """No further batch comes, for a reason."""

    def __init__(self, reason: BaseException) -> None:
        self.reason = reason
