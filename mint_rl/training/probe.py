"""`mint-rl keypoints probe`: what keypoints and descriptors say about the state of the scene.

Small regressions read the robot's heading, its gripper's opening, and where the robot and the blocks are and
how they are turned, off what a policy would see. Episodes are split into folds: each is predicted by probes
that were fitted on others.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mint_rl.envs.magical.names import check_names, parse_env_id
from mint_rl.errors import UserError
from mint_rl.files import writable_folder, write_text
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.inference_settings import describe_settings, load_with_settings
from mint_rl.options import option
from mint_rl.policies.node_features import NodeFeatures
from mint_rl.training.keypoint_evaluation import HELD_OUT_SEED
from mint_rl.training.probe_inputs import Nodes, control_inputs, encoder_inputs, shift_change
from mint_rl.training.probe_models import PROBES, Probe, Split
from mint_rl.training.probe_scenes import Scenes, errors, play_scenes
from mint_rl.training.probe_table import EncoderProbe, Means, table
from mint_rl.training.threads import cpu_threads

SHIFTS = (1, 2, 3)  # pixels
_SHIFTED_FRAMES = 150


@dataclass
class ProbeConfig:
    """Which encoders to probe, and on what."""

    encoders: list[str] = option([], "shipped names, run folders or the authors' .pt files")
    envs: list[str] = option(
        ["MoveToCorner-TestJitter", "MakeLine-TestJitter"], "tasks of MAGICAL, with or without variant"
    )
    episodes: int = option(40, "episodes of each environment, every other one by the scripted expert")
    frames: int = option(2000, "frames of each environment that are looked at, spread over the episodes")
    folds: int = option(4, "parts that the episodes are split into; each is predicted from the others")
    seed: int = option(HELD_OUT_SEED, "seed of the first episode, the folds, the networks")
    controls: bool = option(True, "also probe random networks, a fixed grid and RGB patches")
    out: str | None = option(None, "also write every number, with its interval, to this JSON file")

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise UserError(f"the option 'folds' must be at least 2, got {self.folds}")
        if self.episodes < 3 * self.folds:
            raise UserError(f"{self.folds} folds need {3 * self.folds} episodes or more, got {self.episodes}")
        if self.frames < self.episodes:
            raise UserError(f"the option 'frames' must be at least {self.episodes}, one an episode")
        if not 0 <= self.seed < 2**31:
            raise UserError(f"the option 'seed' must be from 0 to 2147483647, got {self.seed}")
        if not self.envs:
            raise UserError("the option 'envs' names no environment")
        for env in self.envs:
            check_names(*parse_env_id(env))


def run_probe(config: ProbeConfig, say: Callable[[str], None] = print) -> list[EncoderProbe]:
    """Probe encoders on the same frames, print a table for each, and write the JSON file if asked for.

    Raises `UserError` for an unknown encoder or environment, numbers out of range, or a file that cannot be
    written.
    """
    from tqdm import tqdm

    if not config.encoders:
        raise UserError("which encoder? name at least one: mint-rl keypoints probe magical")
    if config.out is not None:
        writable_folder(Path(config.out).parent)
    encoders = {word: load_with_settings(word) for word in config.encoders}
    for encoder in encoders.values():  # the frames are of many episodes, each read for itself
        encoder.config = dataclasses.replace(encoder.config, tracks=None)
    found: list[EncoderProbe] = []
    with cpu_threads(1):
        with tqdm(total=config.episodes * len(config.envs), desc="playing", unit="episode", delay=0.3) as bar:
            scenes = [
                play_scenes(env, config.episodes, config.frames, config.seed, progress=bar.update)
                for env in config.envs
            ]
        fits = len(config.envs) * len(PROBES) * (6 if config.controls else 2)
        with tqdm(total=len(encoders) * fits, desc="probing", unit="probe", delay=0.3) as bar:
            for word, encoder in encoders.items():
                found.append(probe_encoder(word, encoder, scenes, config, bar.update))
    for result in found:
        say("\n" + table(result, found[0] if result is not found[0] else None))
    if config.out is not None:
        content = {
            "settings": asdict(config),
            "encoders": {result.encoder: result.to_json() for result in found},
        }
        write_text(config.out, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        say(f"\nevery number: '{config.out}'")
    return found


def probe_encoder(
    name: str,
    encoder: KeypointEncoder,
    scenes: list[Scenes],
    config: ProbeConfig,
    progress: Callable[[], object] = lambda: None,
) -> EncoderProbe:
    """All probes of one encoder; `progress` is called after each."""
    result = EncoderProbe(name, describe_settings(encoder), encoder.descriptor_dim)
    frames = 0
    for scene in scenes:
        encoder.encode(scene.frames[:1], descriptors=True)  # what is loaded at first use costs no frame
        start = time.process_time()
        inputs = encoder_inputs(encoder, scene.frames)
        result.milliseconds += 1e3 * (time.process_time() - start)
        frames += len(scene.frames)
        if config.controls:
            inputs |= control_inputs(encoder, scene.frames, config.seed)
        result.guesses[scene.env_id] = _guess(scene, config)
        for probe_name, probe in PROBES.items():
            for input_name, nodes in inputs.items():
                means = cross_validate(probe, nodes, scene, config.folds, config.seed)
                result.means[scene.env_id, probe_name, input_name] = means
                progress()
        spread = scene.frames[:: max(1, len(scene.frames) // _SHIFTED_FRAMES)]
        result.shifts[scene.env_id] = {shift: shift_change(encoder, spread, shift) for shift in SHIFTS}
    result.milliseconds /= frames
    return result


def cross_validate(probe: Probe, nodes: Nodes, scenes: Scenes, folds: int, seed: int) -> Means:
    """How wrong a probe of nodes (N, P, 3 + D) is: by group of quantities, the mean of each episode.

    Inputs are what keypoint policies make of them (`NodeFeatures`), targets have mean 0 and deviation 1.
    """
    wrong: dict[str, NDArray[np.float64]] = {}
    for fold, (train, tuning, test) in enumerate(_splits(scenes.episodes, folds, seed)):
        features = NodeFeatures(1, nodes.shape[2] - 3)
        every = torch.from_numpy(nodes)
        features.fit(every[train])
        with torch.no_grad():
            inputs = features(every[:, None]).flatten(1).numpy()
        mean, deviation = scenes.targets[train].mean(0), scenes.targets[train].std(0) + 1e-6
        targets = (scenes.targets - mean) / deviation
        split = Split(inputs[train], targets[train], inputs[tuning], targets[tuning], inputs[test])
        predicted = probe(split, seed + fold) * deviation + mean
        for group, values in errors(predicted, scenes.targets[test], scenes.asked).items():
            wrong.setdefault(group, np.zeros(len(scenes.episodes)))[test] = values
    return {group: _episode_means(values, scenes.episodes) for group, values in wrong.items()}


def _guess(scenes: Scenes, config: ProbeConfig) -> Means:
    """How wrong the mean of the other episodes is."""

    def mean(split: Split, seed: int) -> NDArray[np.float32]:
        return np.repeat(split.targets.mean(0, keepdims=True), len(split.test_inputs), 0)

    nothing = np.zeros((len(scenes.frames), 1, 3), np.float32)
    return cross_validate(mean, nothing, scenes, config.folds, config.seed)


def _splits(
    episodes: NDArray[np.int64], folds: int, seed: int
) -> list[tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]]:
    """For each fold: the rows to fit on, to tune on (a fifth of the other episodes), and to predict."""
    order = np.random.default_rng(seed).permutation(int(episodes.max()) + 1)
    splits = []
    for fold in range(folds):
        others = np.array([episode for place, episode in enumerate(order) if place % folds != fold])
        tuning = np.isin(episodes, others[::5])
        train = np.isin(episodes, others) & ~tuning
        splits.append((train, tuning, ~train & ~tuning))
    return splits


def _episode_means(values: NDArray[np.float64], episodes: NDArray[np.int64]) -> list[float]:
    return [float(values[episodes == episode].mean()) for episode in np.unique(episodes)]
