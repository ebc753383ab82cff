"""The demonstrations of a benchmark: recorded once for each task and setting, and shared by all its runs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mint_rl.data.demonstrations import read_demonstrations
from mint_rl.envs.magical.experts import expert
from mint_rl.envs.magical.names import env_id, parse_env_id
from mint_rl.errors import UserError
from mint_rl.training.benchmark_config import BenchmarkConfig
from mint_rl.training.record import RecordConfig, record

DEMONSTRATIONS_FOLDER = "demos"
START_VARIANTS = {"protocol": "Demo", "randomised": "TestJitter"}


def check_demonstrations(config: BenchmarkConfig) -> dict[str, str]:
    """The file of human demonstrations of each task; `UserError` for what is missing, before any work."""
    files: dict[str, str] = {}
    for path in config.human:
        task, _ = parse_env_id(read_demonstrations(path).env_id)
        if task in files:
            raise UserError(f"both '{files[task]}' and '{path}' show {task}: give one file for each task")
        files[task] = path
    for task in config.tasks:
        for setting in _settings(config):
            if setting in START_VARIANTS:
                expert(task)
            elif task not in files:
                raise UserError(
                    f"data=human needs demonstrations of {task}: name a file with --human, such as "
                    "'mint-rl demos import' writes"
                )
    return files


def shared_demonstrations(
    config: BenchmarkConfig, human: dict[str, str], say: Callable[[str], None] = print
) -> dict[tuple[str, str], list[str]]:
    """For each (task, data), the files of demonstrations; what is not there yet is recorded.

    human: what `check_demonstrations` found. Where recording fails, the reason is said in a sentence, and the
    others go on.
    """
    found = {}
    for task in config.tasks:
        for data in config.data:
            try:
                found[task, data] = [_file(config, task, part, human, say) for part in data.split("+")]
            except UserError as error:
                say(f"no demonstrations for {task}, {data}: {error}")
    return found


def files_digest(paths: Sequence[str]) -> str:
    """A digest of the bytes of several files."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _settings(config: BenchmarkConfig) -> Iterator[str]:
    for data in config.data:
        yield from data.split("+")


def _file(
    config: BenchmarkConfig, task: str, setting: str, human: dict[str, str], say: Callable[[str], None]
) -> str:
    """The file of one setting, recorded if it is not there."""
    if setting not in START_VARIANTS:
        return human[task]
    count = config.protocol_demos if setting == "protocol" else config.randomised_demos
    path = Path(config.out, DEMONSTRATIONS_FOLDER, f"{task}-{setting}-{count}.hdf5")
    if not path.exists():
        env = env_id(task, START_VARIANTS[setting])
        record(RecordConfig(env=env, episodes=count, out=str(path)), say)
    return str(path)
