"""Scores of a trained policy: episodes seeded by their index, means with bootstrap intervals."""

from __future__ import annotations

import json
import math
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
from mint_rl.training.devices import require_device
from mint_rl.training.rollout import Rollout, record_rollout, run_episodes
from mint_rl.training.statistics import bootstrap_interval
from mint_rl.training.threads import cpu_threads, threads_of

# Test seeds begin here, away from those that demonstrations are recorded with.
TEST_SEED = 1_000_000
# And these are for whatever is chosen by rollouts: beyond the seeds of recording and below those of DAgger.
VALIDATION_SEED = 3_000_000_000
TEMPERATURES = (0.5, 0.0, 1.0)  # what "auto" chooses among; of equally good ones the first
AUTO = "auto"
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
    chunk: int = 1  # actions taken before looking again

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
    chunk: int = 1,
) -> dict[str, Evaluation]:
    """Play `episodes` episodes on each variant of the task that the policy was trained for.

    Args:
        policy: A policy with its `context`, as `behaviour_cloning` and `load_policy` return it.
        variants: MAGICAL's variants, such as Demo and TestJitter. Demo has a single start: its episodes
            differ by the sampling of actions alone.
        episodes: Episodes a variant; number i is seeded with `seed` + i, whatever `parallel` is.
        temperature: Actions are drawn from softmax(logits / temperature); 0 takes the most likely one.
        parallel: Environments stepped together, with one forward pass for all.
        chunk: Actions taken before the policy looks again, at most as many as it predicts.

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
                policy,
                environment,
                seeds[start : start + parallel],
                temperature,
                chunk=chunk,
                **context.env_kwargs,
            )
        ]
        mean = sum(scores) / episodes
        interval = bootstrap_interval(scores)
        results[variant] = Evaluation(environment, seed, temperature, tuple(scores), mean, interval, chunk)
    return results


def validation_score(
    policy: ImitationPolicy, variants: Sequence[str], episodes: int, temperature: float = 0.5, chunk: int = 1
) -> float:
    """The mean score of `episodes` episodes a variant on validation seeds, which no test uses."""
    found = evaluate(policy, variants, episodes, VALIDATION_SEED, temperature, chunk=chunk)
    return sum(result.mean for result in found.values()) / len(found)


def choose_acting(
    policy: ImitationPolicy,
    variants: Sequence[str],
    temperature: str = "0.5",
    chunk: str = "1",
    episodes: int = 20,
    say: Callable[[str], None] = print,
) -> tuple[float, int]:
    """The temperature and the chunk that a policy acts with: as told or, for "auto", the best of several.

    These are chosen by rollouts on validation seeds of `variants`: the temperature among 0.5, 0 and 1, the
    chunk among 1, 2, 4, … up to what the policy predicts. Raises `UserError` for text that is neither.
    """
    temperatures = TEMPERATURES if temperature == AUTO else (parse_temperature(temperature),)
    chunks = _chunks(policy.config.chunk) if chunk == AUTO else [parse_chunk(chunk)]
    ways = [(t, c) for c in chunks for t in temperatures]
    if len(ways) == 1:
        return ways[0]
    scores = {way: validation_score(policy, variants, episodes, *way) for way in ways}
    best = max(ways, key=lambda way: scores[way])  # the first of equally good ones
    tried = ", ".join(f"temperature {t:g}, chunk {c}: {scores[t, c]:.3f}" for t, c in ways)
    say(f"chosen on validation seeds: temperature {best[0]:g}, chunk {best[1]} ({tried})")
    return best


def parse_temperature(text: str) -> float:
    """A temperature from 0 on; `UserError` for anything else, "auto" included."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise UserError(f"the option 'temperature' must be a number from 0 on, or auto, got {text}")
    return value


def parse_chunk(text: str) -> int:
    """A number of actions from 1 on; `UserError` for anything else, "auto" included."""
    if not text.isdecimal() or int(text) < 1:
        raise UserError(f"the option 'chunk' must be a whole number from 1 on, or auto, got {text}")
    return int(text)


def check_acting(temperature: str, chunk: str, validation_episodes: int, seed: int, episodes: int) -> None:
    """`UserError` for settings of acting that cannot be, or test seeds that are those of validation."""
    if temperature != AUTO:
        parse_temperature(temperature)
    if chunk != AUTO:
        parse_chunk(chunk)
    if validation_episodes < 1:
        raise UserError(f"the option 'validation_episodes' must be at least 1, got {validation_episodes}")
    if not 0 <= seed <= VALIDATION_SEED - episodes:
        raise UserError(
            f"the seeds of evaluation must lie from 0 to {VALIDATION_SEED - 1}, got {episodes} from {seed} "
            "on: those beyond are for validation"
        )


def _chunks(most: int) -> list[int]:
    return [2**power for power in range(most.bit_length()) if 2**power <= most]


def example_rollout(
    policy: ImitationPolicy, variant: str = "Demo", seed: int = TEST_SEED, temperature: float | None = None
) -> Rollout:
    """One episode with the pictures, keypoints and actions that a video of it needs.

    The policy acts as its context says, at another temperature if one is given.
    """
    context = _context(policy)
    environment = magical_id(parse_env_id(context.env_id)[0], variant)
    policy.set_training_mode(False)
    chosen = context.temperature if temperature is None else temperature
    return record_rollout(policy, environment, seed, chosen, context.chunk, **context.env_kwargs)


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
    env: str | None = option(None, "the task that the policy must be for; none: any")
    variants: list[str] = option(list(VARIANTS), "variants of the policy's task")
    episodes: int = option(25, "episodes on each variant")
    seed: int = option(TEST_SEED, "seed of the first episode; the next ones count up")
    temperature: str | None = option(
        None, "of the sampling of actions; 0: the most likely action; auto: by validation; none: the policy's"
    )
    chunk: str | None = option(
        None, "actions taken before looking again, or auto: by validation; none: the policy's"
    )
    validation_episodes: int = option(20, "episodes on each variant for what is chosen by validation")
    threads: int | None = option(None, "CPU threads; none: 1 for keypoint policies, all for the CNN agent")
    device: str = option("cpu", "where the policy works: cpu, cuda or cuda:<number>")
    out: str | None = option(None, "the file to write; none: evaluation.json in the run folder")

    def __post_init__(self) -> None:
        # In Python a number does as well.
        self.temperature = None if self.temperature is None else str(self.temperature)
        self.chunk = None if self.chunk is None else str(self.chunk)
        check_acting(
            self.temperature or AUTO, self.chunk or AUTO, self.validation_episodes, self.seed, self.episodes
        )


def evaluate_run(config: EvaluateConfig, say: Callable[[str], None] = print) -> dict[str, Evaluation]:
    """Evaluate a saved policy, print one line a variant and write all scores to a JSON file.

    Raises `UserError` for a folder without policy, a policy for another task, an unknown variant or numbers
    out of range.
    """
    if not config.run:
        raise UserError("which policy? name its run folder: mint-rl evaluate runs/demo")
    policy = load_policy(config.run)
    context = _context(policy)
    require_task(policy, config.env, config.run)
    require_device(config.device)
    policy.to(config.device)
    if context.encoder is not None:
        context.encoder.to(config.device)
    with cpu_threads(threads_of(config.threads, policy.name)):
        # Never on the variants of the test: choosing there would be fitting to them.
        temperature, chunk = choose_acting(
            policy,
            [parse_env_id(context.env_id)[1]],
            str(context.temperature) if config.temperature is None else config.temperature,
            str(context.chunk) if config.chunk is None else config.chunk,
            config.validation_episodes,
            say,
        )
        results = evaluate(policy, config.variants, config.episodes, config.seed, temperature, chunk=chunk)
    for result in results.values():
        say(str(result))
    target = Path(config.out) if config.out is not None else Path(config.run) / EVALUATION_FILE
    evaluations = {name: result.to_json() for name, result in results.items()}
    write_text(target, json.dumps({**asdict(config), "evaluation": evaluations}, indent=2) + "\n")
    say(f"every score: '{target}'")
    return results


def require_task(policy: ImitationPolicy, env: str | None, where: str) -> None:
    """`UserError` if the policy was trained for another task than that of `env`."""
    if env is None:
        return
    wanted, _ = parse_env_id(env)
    trained, _ = parse_env_id(_context(policy).env_id)
    if trained != wanted:
        raise UserError(
            f"the policy in '{where}' was trained for {trained}, not {wanted}: train one with "
            f"'mint-rl bc --env {wanted}'"
        )
