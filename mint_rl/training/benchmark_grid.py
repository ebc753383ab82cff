"""The cells of a benchmark: one training run each, in a folder that its configuration names.

    <out>/cells/MoveToRegion-protocol-mlp-magical-1a2b3c4d/seed-0

The eight digits are a digest of all that decides training, but for the seed: settings, the demonstrations'
file, the encoder's weights. So a finished cell is found again, and one with other settings never takes its
place.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mint_rl.errors import UserError
from mint_rl.files import write_text
from mint_rl.keypoints.encoder_files import read_json_object
from mint_rl.keypoints.inference_settings import load_with_settings
from mint_rl.policies.cnn import CNNConfig
from mint_rl.training.bc_config import BCConfig
from mint_rl.training.benchmark_config import BenchmarkConfig
from mint_rl.training.benchmark_data import files_digest
from mint_rl.training.encoding import fingerprint
from mint_rl.training.method_word import MethodWord, slug

CELLS_FOLDER = "cells"
CELL_FILE = "cell.json"

# What the benchmark itself decides about a run of `mint-rl bc`.
_OURS = (
    "policy", "env", "demos", "demo_env", "episodes", "encoder", "seed", "out", "overwrite", "resume",
    "variants", "evaluation_episodes", "evaluation_seed", "threads",
)  # fmt: skip
# Settings that change no weight and no score.
_NOT_IN_DIGEST = (
    "demos", "encoder", "seed", "out", "overwrite", "resume", "cache", "save_every", "threads", "device",
    "variants", "evaluation_episodes", "evaluation_seed",
)  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One training run of a benchmark, and what it is evaluated on."""

    task: str
    data: str  # protocol, randomised, human, or several joined by +
    method: str  # the policy as the user wrote it, such as "cnn:policy.width=0.25"
    encoder: str  # as the user wrote it; "" for policies that read pixels
    seed: int
    demos: list[str]  # files of demonstrations
    digest: str  # of the configuration, shared by the seeds
    folder: Path
    variants: list[str]  # to evaluate on
    episodes: int  # on each
    test_seed: int
    threads: int
    video: bool

    @property
    def name(self) -> str:
        """For people: `MoveToRegion, protocol, mlp on magical, seed 0`."""
        encoder = f" on {self.encoder}" if self.encoder else ""
        return f"{self.task}, {self.data}, {self.method}{encoder}, seed {self.seed}"

    def write(self) -> None:
        """Write `cell.json` into the folder, from which another process reads the cell."""
        content = {**asdict(self), "folder": None}
        write_text(self.folder / CELL_FILE, json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Cell:
        """The cell of a folder; `UserError` if there is none."""
        values = read_json_object(folder / CELL_FILE, f"the folder '{folder}' of a benchmark's cell")
        try:
            return cls(**{**values, "folder": folder})
        except (KeyError, TypeError) as error:
            raise UserError(
                f"'{folder / CELL_FILE}' does not describe a cell of a benchmark: {error}"
            ) from error


@dataclass(frozen=True)
class Method:
    """A policy and its settings, as one word says them: `cnn:policy.width=0.25,seeds=1`."""

    word: str
    seeds: int | None  # its own number of training seeds
    settings: tuple[str, ...]  # of `mint-rl bc`, as Hydra takes them
    name: str  # the word without its number of seeds

    @classmethod
    def parse(cls, word: str) -> Method:
        """`UserError` for what is no policy with settings, or a setting that the benchmark decides."""
        found = MethodWord.parse(word, _OURS)
        return cls(word, found.seeds, (f"policy={found.method}", *found.settings), found.name)

    def configuration(self, task: str) -> BCConfig:
        """The settings of `mint-rl bc` for a task; `UserError` for those that are unknown or impossible."""
        try:
            return dataclasses.replace(_configuration(self.settings, task))
        except UserError as error:
            raise UserError(f"the policy '{self.word}' cannot be: {error}") from error


@functools.cache  # composing takes a twentieth of a second, and every cell asks
def _configuration(settings: tuple[str, ...], task: str) -> BCConfig:
    from mint_rl.training.configuration import load_config

    found: BCConfig = load_config("bc", [*settings, f"env={task}", "evaluation_episodes=0"])
    return found


def grid(config: BenchmarkConfig, demonstrations: Mapping[tuple[str, str], list[str]]) -> list[Cell]:
    """Every cell, those of the first seed before those of the second, so that tables fill evenly.

    demonstrations: for each (task, data) the files; cells without are left out
    """
    encoders = {word: fingerprint(load_with_settings(word)) for word in _needed_encoders(config)}
    cells: dict[Path, Cell] = {}  # by folder: what is named twice is run once
    for (task, data), demos in demonstrations.items():
        demos_digest, variants = files_digest(demos), config.variants_of(task)
        for method in map(Method.parse, config.policies):
            settings = method.configuration(task)
            for encoder in [""] if reads_pixels(settings) else config.encoders:
                key = digest(settings, demos_digest, encoders.get(encoder, ""))
                name = "-".join(map(slug, filter(None, [task, data, method.name, encoder, key])))
                for seed in range(method.seeds or config.seeds):
                    folder = Path(config.out, CELLS_FOLDER, name, f"seed-{seed}")
                    cells[folder] = Cell(
                        task, data, method.name, encoder, seed, demos, key, folder, variants,
                        config.episodes, config.test_seed, config.threads, config.videos,
                    )  # fmt: skip
    return sorted(cells.values(), key=lambda cell: cell.seed)


def check_methods(config: BenchmarkConfig) -> None:
    """`UserError` for an unknown policy, setting or encoder, before any work."""
    for word in config.policies:
        for task in config.tasks:
            Method.parse(word).configuration(task)
    for word in _needed_encoders(config):
        fingerprint(load_with_settings(word))


def reads_pixels(settings: BCConfig) -> bool:
    """Whether the policy needs no encoder."""
    return isinstance(settings.policy, CNNConfig)


def digest(settings: BCConfig, demonstrations: str, encoder: str) -> str:
    """Eight hexadecimal digits that settings, demonstrations and encoder decide."""
    decisive = {name: value for name, value in asdict(settings).items() if name not in _NOT_IN_DIGEST}
    everything = {"settings": decisive, "demonstrations": demonstrations, "encoder": encoder}
    return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()[:8]


def present_digest(cell: Cell) -> str:
    """The digest that the cell would get now: another one if its demonstrations or its encoder changed."""
    encoder = fingerprint(load_with_settings(cell.encoder)) if cell.encoder else ""
    settings = Method.parse(cell.method).configuration(cell.task)
    return digest(settings, files_digest(cell.demos), encoder)


def settings_of(cell: Cell) -> BCConfig:
    """The whole configuration of a cell's training run."""
    settings = Method.parse(cell.method).configuration(cell.task)
    return dataclasses.replace(
        settings,
        demos=cell.demos,
        encoder=cell.encoder or settings.encoder,
        seed=cell.seed,
        threads=cell.threads,
    )


def _needed_encoders(config: BenchmarkConfig) -> Sequence[str]:
    needed = any(
        not reads_pixels(Method.parse(word).configuration(config.tasks[0])) for word in config.policies
    )
    return config.encoders if needed else ()
