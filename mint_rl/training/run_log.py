"""The log of a run: JSON lines and TensorBoard, written as training goes."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any

from mint_rl.files import writable_folder

LOG_FILE = "log.jsonl"
TENSORBOARD_FOLDER = "tensorboard"


class RunLog:
    """Append records of numbers to `log.jsonl` and `tensorboard/` in a run folder.

    Every line is flushed, so an interrupted run keeps what it logged:

        with RunLog(folder) as log:
            log.record(step=100, loss=0.3)
    """

    def __init__(self, folder: str | Path) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter  # half a second to import

        folder = writable_folder(folder)
        self._lines = open(folder / LOG_FILE, "w", encoding="utf-8")  # noqa: SIM115  # closed by close()
        self._board = SummaryWriter(str(folder / TENSORBOARD_FOLDER))

    def record(self, step: int, **values: float) -> None:
        """Log the values of one step."""
        self._lines.write(json.dumps({"step": step, **values}) + "\n")
        self._lines.flush()
        board: Any = self._board
        for name, value in values.items():
            board.add_scalar(name, value, step)

    def close(self) -> None:
        """Write out what is left and close both."""
        self._lines.close()
        board: Any = self._board
        board.close()

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
