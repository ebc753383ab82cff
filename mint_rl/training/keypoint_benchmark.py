"""`mint-rl benchmark keypoints`: methods × data × training seeds, all scored on the same test videos."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mint_rl.errors import UserError
from mint_rl.files import writable_folder, write_text
from mint_rl.keypoints.encoder_files import read_json_object
from mint_rl.training.benchmark_command import BENCHMARK_FILE, KEYPOINT_BENCHMARK_FILE, command_of
from mint_rl.training.benchmark_launch import (
    BenchmarkResult,
    parse_launcher,
    run_cells,
)
from mint_rl.training.keypoint_benchmark_cell import is_finished
from mint_rl.training.keypoint_benchmark_config import KeypointBenchmarkConfig
from mint_rl.training.keypoint_benchmark_data import DataSet, check_data, data_set
from mint_rl.training.keypoint_benchmark_grid import check_methods, keypoint_grid


def keypoint_benchmark(
    config: KeypointBenchmarkConfig, command: Sequence[str], say: Callable[[str], None] = print
) -> BenchmarkResult:
    """Do what is not done yet of a benchmark of keypoints, cell by cell.

    Everything that can be wrong with the settings is said before any work. What goes wrong later, such as a
    training run that diverges, is said in a sentence and costs its own cell alone. The same call goes on
    where an interrupted one stopped, and tries again what failed.

    Args:
        config: The grid.
        command: A program that runs one cell when it is given its folder, and many as a Hydra multirun: see
            `benchmark_launch`.
        say: Takes one line for the user at a time.

    Raises:
        UserError: Unknown names, missing files, a folder that cannot be written.
    """
    check_methods(config)
    check_data(config)
    if config.launcher is not None:
        parse_launcher(config.launcher)
    folder = writable_folder(config.out)
    if (folder / BENCHMARK_FILE).exists():
        raise UserError(f"'{folder}' holds a benchmark of policies: choose another folder with --out")
    data = [data_set(config, word) for word in config.data]
    _note_command(config, data, folder)
    cells = keypoint_grid(config, data)
    failures, interrupted = run_cells(
        cells, "encoders and controls", config.launcher, config.jobs, command, is_finished, folder, say
    )
    return BenchmarkResult(folder, sum(map(is_finished, cells)), failures, interrupted)


def is_keypoint_benchmark(folder: Path) -> bool:
    """Whether a folder holds a benchmark of keypoints."""
    return (folder / KEYPOINT_BENCHMARK_FILE).is_file()


def read_keypoint_benchmark(folder: Path) -> dict[str, Any]:
    """Settings of the last call, all commands, and what is scored on, by data; `UserError` without."""
    if not is_keypoint_benchmark(folder):
        raise UserError(
            f"there is no benchmark of keypoints in '{folder}'; 'mint-rl benchmark keypoints --out {folder}' "
            "makes one"
        )
    return read_json_object(folder / KEYPOINT_BENCHMARK_FILE, f"the folder '{folder}'")


def _note_command(config: KeypointBenchmarkConfig, data: Sequence[DataSet], folder: Path) -> None:
    """Write down settings, command and tests, after those of earlier calls."""
    before = read_keypoint_benchmark(folder) if is_keypoint_benchmark(folder) else {}
    earlier = before.get("commands", [])
    command = command_of(config, "keypoint_benchmark", "benchmark keypoints")
    now = {"date": time.strftime("%Y-%m-%d", time.gmtime()), "command": command}
    content = {
        "settings": asdict(config),
        "commands": earlier if now in earlier else [*earlier, now],
        "tests": {**before.get("tests", {}), **{one.name: one.tests for one in data}},
    }
    write_text(folder / KEYPOINT_BENCHMARK_FILE, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
