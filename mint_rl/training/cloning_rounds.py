"""From demonstrations to a trained policy: once, or in rounds with the policy's own rollouts (DAgger)."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import gymnasium as gym
import torch
from gymnasium import spaces

from mint_rl.data.demonstrations import (
    Demonstration,
    DemonstrationSet,
    read_demonstrations,
    write_demonstrations,
)
from mint_rl.envs.keypoint_obs import keypoint_space
from mint_rl.envs.magical.names import env_id, parse_env_id
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.policies.base import ImitationPolicy, PolicyContext
from mint_rl.policies.node_features import KeypointPolicyConfig
from mint_rl.policies.registry import policy_class
from mint_rl.training.bc_config import BCConfig
from mint_rl.training.cloning_data import CloningData, cloning_data
from mint_rl.training.cloning_demonstrations import SEEDS_APART, digest_of, episodes_of, variants_of
from mint_rl.training.cloning_loop import Callback, CloningRun
from mint_rl.training.dagger import DAGGER_SEED, labelled_rollouts
from mint_rl.training.encoding import Encoding
from mint_rl.training.evaluate import AUTO, parse_temperature
from mint_rl.training.run_log import RunLog

ROLLOUTS_FILE = "rollouts.hdf5"

# Shifted copies are limited to so many frames: half a minute of encoding and 130 MB on a laptop.
_FRAMES_TO_ENCODE = 25_000
_SAMPLED = 0.5  # the temperature of rollouts where that of the evaluation is yet to be chosen


def train_rounds(
    config: BCConfig,
    folder: Path,
    sets: Sequence[DemonstrationSet],
    encoder: KeypointEncoder | None,
    seconds: dict[str, float],
    first: int = 0,
    callbacks: Sequence[Callback] = (),
    say: Callable[[str], None] = print,
) -> tuple[CloningRun, bool]:
    """Train; after each round of DAgger but the last play, label and train anew on all there is.

    Args:
        config: The run.
        folder: Its folder, where snapshots, the log and the rollouts go.
        sets: The demonstrations.
        encoder: The frozen encoder; None for a policy that reads pixels.
        seconds: CPU seconds by what they were for, to be added to.
        first: The round to go on with, whose snapshot is in the folder.
        callbacks: Called with the step and its logged values.
        say: Takes one line for the user at a time.

    Returns:
        The last run, with the trained policy, and whether Ctrl-C ended it early.
    """
    demonstrations = episodes_of(sets)
    fingerprint = digest_of(demonstrations)
    if encoder is not None:
        encoder.to(config.device)
    frozen = None
    if encoder is not None and not config.finetune_encoder:
        frozen = Encoding(encoder, config.descriptors, config.cache)
    rollouts = _earlier_rollouts(folder, first * config.dagger_episodes)
    run: CloningRun | None = None
    with RunLog(folder) as log:
        for number in range(first, config.dagger + 1):
            data = cloning_data(
                demonstrations,
                frozen,
                config.history,
                config.validation_share,
                config.seed,
                0 if frozen is None else _copies(config, demonstrations),
                config.shift,
                config.colour,
                config.policy.chunk,
                rollouts,
            )
            if frozen is not None:
                seconds["encoding"] = round(frozen.seconds, 2)
                frozen.trim()
            learning = copy.deepcopy(encoder) if config.finetune_encoder else None
            policy = new_policy(config, learning or encoder, data).to(config.device)
            run = CloningRun(
                config, folder, policy, data.to(config.device), learning, variants_of(sets), fingerprint, run
            )
            if config.resume and number == first:
                run.restore()
                for record in run.records:
                    log.record(**record)  # type: ignore[arg-type]
            say(_what_is_trained(policy, demonstrations, rollouts, run.done))
            if isinstance(config.policy, KeypointPolicyConfig) and config.policy.frame and config.pose_weight:
                if learning is not None:
                    say("the robot's pose is not learned: with --finetune-encoder the frames are moved about")
                elif not data.poses.isfinite().any():
                    say("the robot's pose is not learned: no demonstration holds the simulator's states")
            interrupted = run.train(log, callbacks, say)
            seconds["training"] = round(run.seconds, 2)
            if interrupted:
                return run, True
            if number < config.dagger:
                with timed(seconds, "rollouts"):
                    played = _play(config, policy, sets, number)
                rollouts += played
                about = "rollouts, labelled by the scripted expert"
                write_demonstrations(
                    folder / ROLLOUTS_FILE, DemonstrationSet(sets[0].env_id, rollouts, {}, about)
                )
                score = sum(episode.score for episode in played) / len(played)
                say(f"round {number + 1} of {config.dagger}: {len(played)} rollouts, mean score {score:.3f}")
    assert run is not None
    return run, False


def new_policy(config: BCConfig, encoder: KeypointEncoder | None, data: CloningData) -> ImitationPolicy:
    """A policy with weights drawn by the seed, for what the data show."""
    frame: spaces.Box
    if encoder is None:
        frame = spaces.Box(0, 255, tuple(data.frames.shape[1:]), data.frames.numpy().dtype.type)
    else:
        descriptor_dim = encoder.descriptor_dim if config.descriptors else 0
        frame = keypoint_space(encoder.num_video_keypoints, descriptor_dim)
    observation_space = gym.vector.utils.batch_space(frame, config.history)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        policy = policy_class(config.policy.name)(
            observation_space, spaces.Discrete(18), config=config.policy
        )
    name = "" if encoder is None else config.encoder + (", fine-tuned" if config.finetune_encoder else "")
    policy.context = PolicyContext(env_id(*parse_env_id(config.env)), {}, encoder, name)
    return policy


@contextmanager
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Add the CPU seconds of a block to a dictionary."""
    start = time.process_time()
    try:
        yield
    finally:
        seconds[name] = round(seconds.get(name, 0.0) + time.process_time() - start, 2)


def _copies(config: BCConfig, demonstrations: Sequence[Demonstration]) -> int:
    """How often training frames are encoded again: 8 times where that is a matter of a minute."""
    if config.shifted_copies is not None:
        return config.shifted_copies
    return min(8, _FRAMES_TO_ENCODE // sum(map(len, demonstrations)))


def _play(
    config: BCConfig, policy: ImitationPolicy, sets: Sequence[DemonstrationSet], number: int
) -> list[Demonstration]:
    """The rollouts of a round, on the variants of the demonstrations in turn."""
    task, _ = parse_env_id(config.env)
    environments = [env_id(task, variant) for variant in variants_of(sets)]
    count = config.dagger_episodes
    start = DAGGER_SEED + SEEDS_APART * config.seed + count * number
    temperature = _SAMPLED if config.temperature == AUTO else parse_temperature(config.temperature)
    return labelled_rollouts(policy, environments, range(start, start + count), temperature)


def _earlier_rollouts(folder: Path, count: int) -> list[Demonstration]:
    """The rollouts of the rounds before the one that is gone on with."""
    return list(read_demonstrations(folder / ROLLOUTS_FILE))[:count] if count else []


def _what_is_trained(
    policy: ImitationPolicy,
    demonstrations: Sequence[Demonstration],
    rollouts: Sequence[Demonstration],
    done: int,
) -> str:
    parameters = sum(parameter.numel() for parameter in policy.parameters())
    extra = f" and {len(rollouts)} rollouts" if rollouts else ""
    steps = sum(map(len, [*demonstrations, *rollouts]))
    return (
        f"training '{policy.name}' ({parameters:,} parameters) on {len(demonstrations)} "
        f"demonstrations{extra}, {steps:,} steps" + (f", from step {done}" if done else "")
    )
