"""Scores of a trained policy: episodes seeded by their index, means with bootstrap intervals."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mint_rl.envs.magical.names import env_id as magical_id
from mint_rl.envs.magical.names import parse_env_id
from mint_rl.errors import UserError
from mint_rl.files import write_text
from mint_rl.options import option
from mint_rl.policies.base import ImitationPolicy, PolicyContext
from mint_rl.policies.checkpoint import load_policy
from mint_rl.training.rollout import Rollout, record_rollout, run_episodes
from mint_rl.training.statistics import bootstrap_interval
from mint_rl.training.threads import cpu_threads, threads_of

# Test seeds begin here, away from those that demonstrations are recorded with.
TEST_SEED = 1_000_000
VARIANTS = ("Demo", "TestJitter")
EVALUATION_FILE = "evaluation.json"


@dataclass(frozen=True)
class Evaluation:
    """Scores on one environment."""

    env_id: str
    seed: int  # episode i was reset with seed + i
    temperature: float
    scores: tuple[float, ...]  # MAGICAL's score in [0, 1] of each episode
    mean: float
    interval: tuple[float, float]  # 95 % bootstrap interval of the mean over these episodes

    def to_json(self) -> dict[str, Any]:
        """As a dictionary of plain values."""
        return {**vars(self), "scores": list(self.scores), "interval": list(self.interval)}

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.env_id}: {self.mean:.3f} [{low:.3f}, {high:.3f}] over {len(self.scores)} episodes"


def evaluate(
    policy: ImitationPolicy,
    variants: Sequence[str] = VARIANTS,
    episodes: int = 25,
    seed: int = TEST_SEED,
    temperature: float = 0.5,
    parallel: int = 25,
) -> dict[str, Evaluation]:
    """Play `episodes` episodes on each variant of the task that the policy was trained for.

    Args:
        policy: A policy with its `context`, as `behaviour_cloning` and `load_policy` return it.
        variants: MAGICAL's variants, such as Demo and TestJitter. Demo has a single start: its episodes
            differ by the sampling of actions alone.
        episodes: Episodes a variant; number i is seeded with `seed` + i, whatever `parallel` is.
        temperature: Actions are drawn from softmax(logits / temperature); 0 takes the most likely one.
        parallel: Environments stepped together, with one forward pass for all.

    Returns:
        One `Evaluation` a variant. Raises `UserError` for an unknown variant or a policy without context.
    """
    if episodes < 1 or parallel < 1:
        raise UserError(
            f"an evaluation needs at least 1 episode and 1 environment, got {episodes} and {parallel}"
        )
    if temperature < 0:
        raise UserError(f"the temperature must be at least 0, got {temperature}")
    context = _context(policy)
    task, _ = parse_env_id(context.env_id)
    ids = {variant: magical_id(task, variant) for variant in variants}
    policy.set_training_mode(False)
    results = {}
    for variant, environment in ids.items():
        seeds = range(seed, seed + episodes)
        scores = [
            score
            for start in range(0, episodes, parallel)
            for score in run_episodes(
                policy, environment, seeds[start : start + parallel], temperature, **context.env_kwargs
            )
        ]
        mean = sum(scores) / episodes
        interval = bootstrap_interval(scores)
        results[variant] = Evaluation(environment, seed, temperature, tuple(scores), mean, interval)
    return results


def example_rollout(
    policy: ImitationPolicy, variant: str = "Demo", seed: int = TEST_SEED, temperature: float = 0.5
) -> Rollout:
    """One episode with the pictures, keypoints and actions that a video of it needs."""
    context = _context(policy)
    environment = magical_id(parse_env_id(context.env_id)[0], variant)
    policy.set_training_mode(False)
    return record_rollout(policy, environment, seed, temperature, **context.env_kwargs)


def _context(policy: ImitationPolicy) -> PolicyContext:
    if policy.context is None:
        raise UserError(
            "the policy does not say what it was trained for: set policy.context to a PolicyContext"
        )
    return policy.context


@dataclass
class EvaluateConfig:
    """Which policy to evaluate, and on what."""

    run: str = option("", "the run folder of `mint-rl bc`, or its policy/ folder")
    variants: list[str] = option(list(VARIANTS), "variants of the policy's task")
    episodes: int = option(25, "episodes on each variant")
    seed: int = option(TEST_SEED, "seed of the first episode; the next ones count up")
    temperature: float = option(0.5, "of the sampling of actions; 0: the most likely action")
    threads: int | None = option(None, "CPU threads; none: 1 for keypoint policies, all for the CNN agent")
    out: str | None = option(None, "the file to write; none: evaluation.json in the run folder")


def evaluate_run(config: EvaluateConfig, say: Callable[[str], None] = print) -> dict[str, Evaluation]:
    """Evaluate a saved policy, print one line a variant and write all scores to a JSON file.

    Raises `UserError` for a folder without policy, an unknown variant or numbers out of range.
    """
    if not config.run:
        raise UserError("which policy? name its run folder: mint-rl evaluate runs/demo")
    policy = load_policy(config.run)
    with cpu_threads(threads_of(config.threads, policy.name)):
        results = evaluate(policy, config.variants, config.episodes, config.seed, config.temperature)
    for result in results.values():
        say(str(result))
    target = Path(config.out) if config.out is not None else Path(config.run) / EVALUATION_FILE
    evaluations = {name: result.to_json() for name, result in results.items()}
    write_text(target, json.dumps({**asdict(config), "evaluation": evaluations}, indent=2) + "\n")
    say(f"every score: '{target}'")
    return results
