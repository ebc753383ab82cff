"""Running the cells of a benchmark: each in a process of its own, or handed to a launcher of Hydra's.

A process for each cell costs two seconds and buys isolation: one that runs out of memory or crashes takes no
other with it.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

from mint_rl.errors import UserError, unknown_name
from mint_rl.training.cell_result import Result
from mint_rl.training.machine import available_cores

OUTPUT_FILE = "output.txt"
HYDRA_FOLDER = "hydra"
_SECONDS_TO_STOP = 60
_SECONDS_TO_LOOK = 5


class Cell(Protocol):
    """One cell of any benchmark, whose process leaves a `result.json` in its folder."""

    @property
    def folder(self) -> Path: ...

    @property
    def name(self) -> str: ...  # for people

    @property
    def threads(self) -> int: ...  # of its process

    def write(self) -> None: ...  # into its folder, from which its process reads it


AnyCell = TypeVar("AnyCell", bound=Cell)
Finished = Callable[[AnyCell], bool]  # whether nothing is left to do in a cell


@dataclass(frozen=True)
class BenchmarkResult:
    """What one call left behind."""

    folder: Path
    finished: int  # cells, from this call or an earlier one
    failures: dict[str, str]  # by the cell's name, a sentence
    interrupted: bool


def run_cells(
    cells: Sequence[AnyCell],
    what: str,
    launcher: str | None,
    jobs: int | None,
    command: Sequence[str],
    finished: Finished[AnyCell],
    folder: Path,
    say: Callable[[str], None] = print,
) -> tuple[dict[str, str], bool]:
    """Do what is left to do in the cells of a benchmark in `folder`, each written into its own folder first.

    what: the cells, for people. launcher: one of Hydra's; None: so many `jobs` at a time, each a process, one
    for each core unless told. command: see `run_in_processes`.

    Returns failures by the cells' names, each a sentence, and whether Ctrl-C ended it early.
    """
    for cell in cells:
        cell.folder.mkdir(parents=True, exist_ok=True)
        cell.write()
    left = [cell for cell in cells if not finished(cell)]
    say(f"{len(cells)} {what}, of which {len(cells) - len(left)} are finished: '{folder}'")
    try:
        if left and launcher is not None:
            return run_with_hydra(left, launcher, command, folder / HYDRA_FOLDER, finished, say), False
        if left:
            return run_in_processes(left, jobs or available_cores(), command, finished, say), False
    except KeyboardInterrupt:
        return {}, True
    return {}, False


def run_in_processes(
    cells: Sequence[AnyCell],
    jobs: int,
    command: Sequence[str],
    finished: Finished[AnyCell],
    say: Callable[[str], None] = print,
) -> dict[str, str]:
    """Run cells, at most `jobs` at a time, each by `command` with the cell's folder behind it.

    What a process prints goes to `output.txt` in the folder. A failure is said when it happens; all of them
    are returned, by the cell's name. Ctrl-C stops the processes, and is raised when they have ended.
    """
    from tqdm import tqdm

    processes: set[subprocess.Popen[bytes]] = set()
    failures: dict[str, str] = {}

    def run(cell: AnyCell) -> int:
        with open(cell.folder / OUTPUT_FILE, "wb") as output:
            process = _start([*command, str(cell.folder)], output, cell.threads)
            processes.add(process)
            try:
                return process.wait()
            finally:
                processes.discard(process)

    with (
        ThreadPoolExecutor(jobs) as pool,
        tqdm(total=len(cells), desc="benchmark", unit="run", smoothing=0) as bar,
    ):
        futures = {pool.submit(run, cell): cell for cell in cells}
        try:
            for future in as_completed(futures):
                bar.update()
                reason = failure(futures[future], finished, future.result())
                if reason is not None:
                    failures[futures[future].name] = reason
                    with bar.external_write_mode():
                        say(f"failed: {futures[future].name}: {reason}")
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            _stop(list(processes))
            raise
    return failures


def run_with_hydra(
    cells: Sequence[AnyCell],
    launcher: str,
    command: Sequence[str],
    folder: Path,
    finished: Finished[AnyCell],
    say: Callable[[str], None] = print,
) -> dict[str, str]:
    """Run cells as one Hydra multirun of `command`, a program of `hydra.main` that takes `+cell=<folder>`.

    launcher: an installed launcher, with settings of its own: `submitit_slurm:partition=cpu,timeout_min=60`
    folder:   for what Hydra writes, its messages in `output.txt`

    Failures are returned as `run_in_processes` does; so is Ctrl-C.
    """
    from tqdm import tqdm

    name, settings = parse_launcher(launcher)
    words = [
        "--multirun",
        f"+cell={','.join(_quoted(cell.folder) for cell in cells)}",
        f"hydra/launcher={name}",
        f"hydra.sweep.dir={_quoted(folder)}",
        *(f"hydra.launcher.{setting}" for setting in settings),
    ]
    folder.mkdir(parents=True, exist_ok=True)
    left = list(cells)
    with (
        open(folder / OUTPUT_FILE, "wb") as output,
        tqdm(total=len(cells), desc=f"benchmark on {name}", unit="run", smoothing=0) as bar,
    ):
        process = _start([*command, *words], output, cells[0].threads)
        try:
            while process.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_SECONDS_TO_LOOK)
                left = [cell for cell in left if not finished(cell)]
                bar.update(len(cells) - len(left) - bar.n)
        except KeyboardInterrupt:
            _stop([process])
            raise
    failures = {cell.name: reason for cell in left if (reason := failure(cell, finished)) is not None}
    for cell, reason in failures.items():
        say(f"failed: {cell}: {reason}")
    if process.returncode != 0:
        say(f"the launcher ended with status {process.returncode}, and says why in '{folder / OUTPUT_FILE}'")
    return failures


def parse_launcher(launcher: str) -> tuple[str, list[str]]:
    """The name and the settings in the word for a launcher; `UserError` if it is not installed."""
    from hydra.core.config_store import ConfigStore
    from hydra.core.plugins import Plugins

    name, _, settings = launcher.partition(":")
    Plugins.instance()  # finds the installed plugins, which register their names
    known = sorted(file.removesuffix(".yaml") for file in ConfigStore.instance().list("hydra/launcher"))
    if name not in known:
        raise UserError(
            f"{unknown_name('launcher', name, known)}; others come with packages such as "
            "hydra-joblib-launcher and hydra-submitit-launcher"
        )
    return name, [setting for setting in settings.split(",") if setting]


def failure(cell: AnyCell, finished: Finished[AnyCell], status: int | None = None) -> str | None:
    """Why a cell is not finished after its process ended, in a sentence; None if it is.

    status: the exit status of its process, where that is known.
    """
    if finished(cell):
        return None
    reason = Result.read(cell.folder).failure
    if reason is not None:
        return reason
    if status is not None and status < 0:
        how = signal.Signals(-status).name
        return f"its process was ended by {how}" + (" (out of memory?)" if how == "SIGKILL" else "")
    output = cell.folder / OUTPUT_FILE
    lines = output.read_text(errors="replace").split("\n") if output.exists() else []
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return last or "it was not run"


def _start(words: Sequence[str], output: BinaryIO, threads: int) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "TQDM_DISABLE": "1"}
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment)


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Interrupt processes, which after Ctrl-C in a terminal have been already, and wait for their end."""
    for process in processes:
        process.send_signal(signal.SIGINT)
    for process in processes:
        try:
            process.wait(_SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            process.kill()


def _quoted(path: Path) -> str:
    """As Hydra's grammar takes a path that holds reserved characters."""
    return "'" + str(path).replace("\\", "\\\\").replace("'", "\\'") + "'"
