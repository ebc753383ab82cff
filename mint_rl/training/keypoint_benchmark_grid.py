"""The cells of a benchmark of keypoints: one encoder or control on one kind of data, in a folder of its own.

    <out>/cells/bouncing-transporter-1a2b3c4d/seed-0

The eight digits are a digest of all that decides the keypoints, but for the seed, so that a finished cell is
found again, and one with other settings never takes its place. What a cell is scored on is no part of it:
more test videos are added to the cells that are there.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mint_rl.errors import UserError, unknown_name
from mint_rl.files import write_text
from mint_rl.keypoints.controls import GridKeypoints, RandomKeypoints
from mint_rl.keypoints.encoder_files import read_json_object
from mint_rl.keypoints.inference_settings import load_with_settings
from mint_rl.training.configuration import group_choices, load_config
from mint_rl.training.encoding import fingerprint
from mint_rl.training.keypoint_benchmark_config import KeypointBenchmarkConfig
from mint_rl.training.keypoint_benchmark_data import DataSet
from mint_rl.training.keypoint_evaluation import Detector
from mint_rl.training.method_word import MethodWord, slug
from mint_rl.training.pretrain_config import PretrainConfig

CELLS_FOLDER = "cells"
CELL_FILE = "keypoint_cell.json"
RUN_FOLDER = "run"  # of a cell: what `mint-rl pretrain` writes

# What kind of row a cell belongs to.
TRAINED, ENCODER, CONTROL = "trained", "encoder", "control"
RANDOM, GRID = "random", "grid"

# What the benchmark itself decides about a run of `mint-rl pretrain`.
_OURS = (
    "method", "data", "env", "rollouts", "max_videos", "size", "seed", "out", "overwrite", "resume",
    "threads",
)  # fmt: skip
# Settings that change no weight; the digest of the data stands for its paths.
_NOT_IN_DIGEST = (
    "data", "seed", "out", "overwrite", "resume", "cache", "broken", "save_every", "log_every", "threads",
    "device",
)  # fmt: skip


@dataclass(frozen=True)
class KeypointCell:
    """One encoder or control, and what it is scored on."""

    kind: str  # TRAINED, ENCODER or CONTROL
    method: str  # as the user wrote it, such as "transporter:loss.gap=20"; of controls "random" and "grid"
    data: str  # as the user wrote it
    seed: int
    settings: list[str]  # of `mint-rl pretrain`, as Hydra takes them; none of what is not trained
    training: dict[str, Any]  # and which frames it is trained on
    tests: dict[str, dict[str, Any]]  # by name, settings of `mint-rl keypoints evaluate`
    dynamics: dict[str, Any]  # settings of `mint-rl dynamics`; empty if that is not asked for
    keypoints: int  # of a control
    digest: str  # shared by the seeds
    folder: Path
    threads: int

    @property
    def name(self) -> str:
        """For people: `bouncing, transporter, seed 0`."""
        return f"{self.data}, {self.method}, seed {self.seed}"

    def configuration(self) -> PretrainConfig:
        """The whole configuration of its training run."""
        settings: PretrainConfig = load_config("pretrain", self.settings)
        return dataclasses.replace(settings, **self.training, seed=self.seed, threads=self.threads)

    def detector(self) -> Detector:
        """What finds its keypoints, once it is trained; `UserError` for an encoder that is not there."""
        if self.kind == CONTROL:
            if self.method == GRID:
                return GridKeypoints(self.keypoints)
            return RandomKeypoints(self.keypoints, self.seed)
        return load_with_settings(self.encoder)

    @property
    def encoder(self) -> str:
        """The word for its encoder, as `--encoder` takes it."""
        return str(self.folder / RUN_FOLDER) if self.kind == TRAINED else self.method

    def write(self) -> None:
        """Write the cell into its folder, from which another process reads it."""
        content = {**asdict(self), "folder": None}
        write_text(self.folder / CELL_FILE, json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, folder: Path) -> KeypointCell:
        """The cell of a folder; `UserError` if there is none."""
        values = read_json_object(folder / CELL_FILE, f"the folder '{folder}' of a benchmark's cell")
        try:
            return cls(**{**values, "folder": folder})
        except TypeError as error:
            raise UserError(
                f"'{folder / CELL_FILE}' does not describe a cell of a benchmark: {error}"
            ) from error


def check_methods(config: KeypointBenchmarkConfig) -> None:
    """`UserError` for an unknown method, setting or encoder, before any work."""
    for word in config.methods:
        _configuration(word, config.steps)
    for word in config.also:
        load_with_settings(word)


def keypoint_grid(config: KeypointBenchmarkConfig, data: list[DataSet]) -> list[KeypointCell]:
    """Every cell, those of the first seed before those of the second, so that tables fill evenly."""
    cells = {cell.folder: cell for cell in _cells(config, data)}  # what is named twice is run once
    return sorted(cells.values(), key=lambda cell: cell.seed)


def _cells(config: KeypointBenchmarkConfig, data: list[DataSet]) -> Iterator[KeypointCell]:
    encoders = {word: fingerprint(load_with_settings(word))[:8] for word in config.also}
    for one in data:
        for word in config.methods:
            method, settings, found = _configuration(word, config.steps)
            digest = _digest(dataclasses.replace(found, **one.training), one)
            for seed in range(method.seeds or config.seeds):
                yield _cell(config, one, TRAINED, method.name, seed, digest, settings)
        for word in config.also:
            yield _cell(config, one, ENCODER, word, 0, encoders[word])
        for keypoints in filter(None, config.controls):
            for seed in range(config.seeds):
                yield _cell(config, one, CONTROL, RANDOM, seed, f"{keypoints}", keypoints=keypoints)
            yield _cell(config, one, CONTROL, GRID, 0, f"{keypoints}", keypoints=keypoints)


def _cell(
    config: KeypointBenchmarkConfig,
    data: DataSet,
    kind: str,
    method: str,
    seed: int,
    digest: str,
    settings: Sequence[str] = (),
    keypoints: int = 0,
) -> KeypointCell:
    dynamics = {}
    if config.dynamics and kind != CONTROL:
        dynamics = data.dynamics | {"steps": config.dynamics_steps, "horizons": config.horizons}
    name = "-".join((slug(data.name), slug(method), digest))
    return KeypointCell(
        kind, method, data.name, seed, list(settings), data.training if kind == TRAINED else {}, data.tests,
        dynamics, keypoints, digest, Path(config.out, CELLS_FOLDER, name, f"seed-{seed}"),
        config.threads,
    )  # fmt: skip


@functools.cache  # composing takes a twentieth of a second
def _configuration(word: str, steps: int | None) -> tuple[MethodWord, tuple[str, ...], PretrainConfig]:
    """A method in a word: its settings as Hydra takes them, and the configuration that they give."""
    method = MethodWord.parse(word, _OURS)
    if method.method not in group_choices("method"):
        raise unknown_name("method", method.method, group_choices("method"))
    settings = [f"method={method.method}"]
    if steps is not None and not any(setting.startswith("steps=") for setting in method.settings):
        settings.append(f"steps={steps}")
    settings += method.settings
    try:
        return method, tuple(settings), load_config("pretrain", settings)
    except UserError as error:
        raise UserError(f"the method '{word}' cannot be: {error}") from error


def _digest(settings: PretrainConfig, data: DataSet) -> str:
    """Eight hexadecimal digits that settings and training data decide."""
    decisive = {name: value for name, value in asdict(settings).items() if name not in _NOT_IN_DIGEST}
    everything = {"settings": decisive, "data": [data.name, data.digest]}
    return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()[:8]
