"""Running a policy: what it sees, what it does, and one episode recorded for a video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

import mint_rl.envs.magical  # noqa: F401  # registers the environments
from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.tracking import Tracker, follow
from mint_rl.policies.base import ImitationPolicy

# Called with an environment, what the policy sees of it, and the action, None at the end of the episode.
Watch = Callable[[gym.Env[Any, Any], NDArray[Any], int | None], None]


@dataclass(frozen=True)
class Rollout:
    """One episode of T steps."""

    env_id: str
    seed: int
    frames: NDArray[np.uint8]  # (T + 1, H, W, 3): the pictures that render() gives, 384 × 384 in MAGICAL
    keypoints: NDArray[np.float32] | None  # (T + 1, K, 3) in [0, 1] of the picture; None for pixel policies
    actions: NDArray[np.int64]  # (T,)
    score: float


class Perception:
    """What a policy sees of several environments: encoded frames, stacked over time.

    It gives the observations of `FrameStackObservation(KeypointObs(env))`, for all environments with one
    forward pass of the encoder, whose tracks, if it has any, are those of each environment.
    """

    def __init__(self, policy: ImitationPolicy) -> None:
        shape = policy.observation_space.shape
        assert shape is not None
        self.history = shape[0]
        self.encoder: KeypointEncoder | None = policy.context.encoder if policy.context else None
        # Stacked keypoints are (T, K, 3 + D), stacked images (T, H, W, C).
        if len(shape) == 3 and self.encoder is None:
            raise UserError("this policy reads keypoints but comes without an encoder: set policy.context")
        self.descriptors = shape[-1] > 3
        self.trackers: list[Tracker] = []

    def reset(self, frames: NDArray[np.uint8]) -> NDArray[Any]:
        """Observations (N, T, …) at the start of N episodes, from their first frames (N, H, W, C)."""
        if self.encoder is not None and self.encoder.config.tracks is not None:
            self.trackers = [self.encoder.tracker() for _ in frames]
        self.stacked: NDArray[Any] = np.repeat(self._encode(frames)[:, None], self.history, axis=1)
        return self.stacked

    def step(self, frames: NDArray[np.uint8]) -> NDArray[Any]:
        """Observations (N, T, …) after a step, from the new frames (N, H, W, C)."""
        self.stacked = np.concatenate([self.stacked[:, 1:], self._encode(frames)[:, None]], axis=1)
        return self.stacked

    def _encode(self, frames: NDArray[np.uint8]) -> NDArray[Any]:
        if self.encoder is None:
            return frames
        if self.trackers:
            return follow(self.encoder, frames, self.trackers, self.descriptors)
        return self.encoder.encode(frames, descriptors=self.descriptors)


def action_logits(policy: ImitationPolicy, observations: NDArray[Any]) -> NDArray[np.float64]:
    """Logits (N, C, A) of the next C discrete actions for observations (N, T, …)."""
    with torch.no_grad():
        logits = policy.plan(torch.as_tensor(observations, device=policy.device)).logits
    return logits.cpu().numpy().astype(np.float64)


def choose_action(logits: NDArray[np.float64], temperature: float, generator: np.random.Generator) -> int:
    """Draw from softmax(logits / temperature); a temperature of 0 takes the most likely action."""
    if temperature == 0:
        return int(logits.argmax())
    weights = np.exp((logits - logits.max()) / temperature)
    # One uniform number through the cumulative distribution: rounding in the logits hardly ever matters.
    return int(np.searchsorted(np.cumsum(weights), generator.random() * weights.sum(), side="right"))


def run_episodes(
    policy: ImitationPolicy,
    env_id: str,
    seeds: Sequence[int],
    temperature: float,
    watch: Watch | None = None,
    chunk: int = 1,
    **env_kwargs: Any,
) -> list[float]:
    """Play one episode for each seed, all stepped together, and return their scores.

    Episode i depends on `seeds[i]` alone: it seeds both the environment and the sampling of actions. The
    score is MAGICAL's `eval_score` of the last step; elsewhere it is the sum of rewards.
    `watch(environment, observation, action)` is called before each action and, with None, at the end.
    `chunk` actions are taken, as they were predicted, before the policy looks again.
    """
    environments = [gym.make(env_id, **env_kwargs) for _ in seeds]
    try:
        return play(policy, environments, seeds, temperature, watch, chunk)
    finally:
        for environment in environments:
            environment.close()


def play(
    policy: ImitationPolicy,
    environments: Sequence[gym.Env[Any, Any]],
    seeds: Sequence[int],
    temperature: float,
    watch: Watch | None = None,
    chunk: int = 1,
) -> list[float]:
    """`run_episodes` in environments that are there already, one for each seed."""
    if not 1 <= chunk <= policy.config.chunk:
        raise UserError(
            f"chunk is {chunk}, but this policy predicts {policy.config.chunk} action(s) at a time: train it "
            f"with policy.chunk={max(chunk, 1)}"
        )
    perception = Perception(policy)
    generators = [np.random.default_rng([seed, 1]) for seed in seeds]
    starts = [environment.reset(seed=seed)[0] for environment, seed in zip(environments, seeds, strict=True)]
    frames = np.stack(starts)
    observations = perception.reset(frames)
    scores = np.zeros(len(seeds))
    going = np.ones(len(seeds), dtype=bool)
    step = 0
    while going.any():
        if step % chunk == 0:
            plans = action_logits(policy, observations)
        running = np.flatnonzero(going).tolist()
        for row in running:
            action = choose_action(plans[row, step % chunk], temperature, generators[row])
            if watch is not None:
                watch(environments[row], observations[row], action)
            frames[row], reward, terminated, truncated, info = environments[row].step(action)
            scores[row] += float(reward)
            if terminated or truncated:
                scores[row] = float(info.get("eval_score", scores[row]))
                going[row] = False
        observations = perception.step(frames)
        if watch is not None:
            for row in (row for row in running if not going[row]):
                watch(environments[row], observations[row], None)
        step += 1
    return [float(score) for score in scores]


def record_rollout(
    policy: ImitationPolicy,
    env_id: str,
    seed: int = 0,
    temperature: float = 0.5,
    chunk: int = 1,
    **env_kwargs: Any,
) -> Rollout:
    """Play one episode and keep its pictures, its keypoints and its actions."""
    frames: list[NDArray[np.uint8]] = []
    keypoints: list[NDArray[np.float32]] = []
    actions: list[int] = []

    def keep(environment: gym.Env[Any, Any], observation: NDArray[Any], action: int | None) -> None:
        picture: Any = environment.render()
        frames.append(picture)
        keypoints.append(observation[-1, ..., :3].copy())
        if action is not None:
            actions.append(action)

    (score,) = run_episodes(
        policy, env_id, [seed], temperature, keep, chunk, render_mode="rgb_array", **env_kwargs
    )
    reads_keypoints = policy.context is not None and policy.context.encoder is not None
    return Rollout(
        env_id=env_id,
        seed=seed,
        frames=np.stack(frames),
        keypoints=np.stack(keypoints) if reads_keypoints else None,
        actions=np.array(actions, dtype=np.int64),
        score=score,
    )
