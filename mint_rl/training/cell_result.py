"""What came of one cell of a benchmark, and how it is worked on: alone, with failures as sentences."""

from __future__ import annotations

import dataclasses
import json
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mint_rl.errors import UserError
from mint_rl.files import write_text
from mint_rl.keypoints.encoder_files import read_json_object

RESULT_FILE = "result.json"


@dataclass
class Result:
    """What came of a cell so far."""

    trained: bool = False
    failure: str | None = None  # a sentence
    cpu_seconds: dict[str, float] = field(default_factory=dict)  # of training, part by part, and "evaluation"
    machine: dict[str, str] = field(default_factory=dict)
    finished: str = ""  # when the last part of it was: ISO 8601, UTC

    @property
    def training_seconds(self) -> dict[str, float]:
        """CPU seconds of training, part by part: encoding the demonstrations, and the steps."""
        return {name: value for name, value in self.cpu_seconds.items() if name != "evaluation"}

    @classmethod
    def read(cls, folder: Path) -> Result:
        """The result in a cell's folder; an empty one where there is none."""
        if not (folder / RESULT_FILE).exists():
            return cls()
        values = read_json_object(folder / RESULT_FILE, f"the folder '{folder}' of a benchmark's cell")
        known = {entry.name for entry in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})

    def write(self, folder: Path) -> None:
        """Replace the result in a cell's folder."""
        from mint_rl.training.machine import describe_machine

        self.machine = describe_machine()
        self.finished = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        write_text(folder / RESULT_FILE, json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n")


def work_on(folder: Path, work: Callable[[Result, bool], None]) -> Result:
    """Let `work` do what is left in a cell's folder; a failure becomes a sentence in `result.json`.

    work: takes the result so far, which it changes and writes, and whether it may go on with a training run
        that was interrupted: it may not with one that failed.

    Raises `UserError` if another process is at this cell, and `KeyboardInterrupt` on Ctrl-C, after which the
    next call goes on.
    """
    with _alone(folder):
        result = Result.read(folder)
        failed_before, result.failure = result.failure, None
        try:
            work(result, failed_before is None)
        except UserError as error:
            result.failure = str(error)
        except Exception as error:
            traceback.print_exc()
            first = (str(error).splitlines() or [""])[0]
            result.failure = f"{type(error).__name__}: {first}"
        if result.failure != failed_before:
            result.write(folder)
        return result


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """`UserError` if another process is at the same cell, on this machine or one that shares the folder."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(f"another process is at the cell in '{folder}'") from error
        yield
