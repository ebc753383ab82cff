"""Behaviour cloning: from demonstrations to a policy that acts on keypoints or, as a baseline, on pixels."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch
from gymnasium import spaces
from torch import nn

from mint_rl.data.demonstrations import DemonstrationSet, read_demonstrations, write_demonstrations
from mint_rl.envs.keypoint_obs import keypoint_space
from mint_rl.envs.magical.names import env_id, parse_env_id
from mint_rl.errors import UserError
from mint_rl.files import new_folder, writable_folder, write_text
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.pretrained import load_encoder
from mint_rl.policies.base import ImitationPolicy, PolicyContext
from mint_rl.policies.checkpoint import save_policy
from mint_rl.policies.cnn import CNNConfig
from mint_rl.policies.registry import policy_class
from mint_rl.training.bc_config import BCConfig, steps_of
from mint_rl.training.cloning_data import CloningData, cloning_data
from mint_rl.training.cloning_losses import augment, cloning_losses
from mint_rl.training.evaluate import EVALUATION_FILE, Evaluation, evaluate
from mint_rl.training.interruption import Interruption
from mint_rl.training.run_log import LOG_FILE, TENSORBOARD_FOLDER, RunLog
from mint_rl.training.threads import cpu_threads, threads_of

CONFIG_FILE = "config.json"
METRICS_FILE = "metrics.json"
DEMONSTRATIONS_FILE = "demonstrations.hdf5"
POLICY_FOLDER = "policy"
# Attempts at demonstrations count their seeds up from here, so that runs of different seeds share none.
_SEEDS_APART = 1000

# Shifted copies are limited to so many frames: half a minute of encoding and 130 MB on a laptop.
_FRAMES_TO_ENCODE = 25_000

Callback = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True)
class BCResult:
    """What a run left behind."""

    folder: Path  # the run folder
    policy: ImitationPolicy
    steps: int  # steps trained: fewer than asked for when interrupted
    interrupted: bool  # by Ctrl-C; the checkpoint holds what was trained until then
    evaluations: dict[str, Evaluation]  # by variant
    metrics: dict[str, Any]  # what metrics.json holds


def behaviour_cloning(
    config: BCConfig, callbacks: Sequence[Callback] = (), say: Callable[[str], None] = print
) -> BCResult:
    """Record or read demonstrations, train a policy on them, evaluate it, and write all of it to a folder.

    The run folder gets `config.json`, `demonstrations.hdf5` (when recorded), `log.jsonl`, `tensorboard/`,
    `policy/` (see `mint_rl.policies.checkpoint`) and `metrics.json`. On one machine the same configuration
    gives the same numbers.

    Args:
        config: The run.
        callbacks: Called with the step and its logged values, every `log_every` steps.
        say: Takes one line for the user at a time.

    Raises:
        UserError: Unknown names, demonstrations that do not fit, a folder that cannot be written. Ctrl-C
            during training is no error: see `BCResult.interrupted`.
    """
    with cpu_threads(threads_of(config.threads, config.policy.name)):
        return _behaviour_cloning(config, callbacks, say)


def _behaviour_cloning(
    config: BCConfig, callbacks: Sequence[Callback], say: Callable[[str], None]
) -> BCResult:
    task, _ = parse_env_id(config.env)
    env = env_id(*parse_env_id(config.env))
    seconds: dict[str, float] = {}
    encoder = None if isinstance(config.policy, CNNConfig) else load_encoder(config.encoder)
    with _timed(seconds, "demonstrations"):
        given = None if config.demos is None else _read_demonstrations(config.demos, env)
        folder = _run_folder(config, task)
        demonstrations = given or _record_demonstrations(config, env, folder, say)
    with _timed(seconds, "encoding"):
        data = cloning_data(
            demonstrations,
            encoder,
            config.history,
            config.descriptors,
            config.validation_share,
            config.seed,
            _copies(config, demonstrations),
            config.shift,
        )
    _clear(folder)
    write_text(folder / CONFIG_FILE, json.dumps({**asdict(config), "out": str(folder)}, indent=2) + "\n")
    policy = _new_policy(config, encoder, data)
    policy.context = PolicyContext(env, {}, encoder, config.encoder if encoder is not None else "")
    say(
        f"training '{config.policy.name}' ({sum(p.numel() for p in policy.parameters()):,} parameters) on "
        f"{len(demonstrations)} demonstrations, {demonstrations.num_steps:,} steps of {task}"
    )
    with _timed(seconds, "training"), RunLog(folder) as log:
        steps, final = train(
            policy, data, config, [lambda step, values: log.record(step, **values), *callbacks]
        )
    save_policy(policy, folder / POLICY_FOLDER)
    interrupted = steps < steps_of(config)
    metrics: dict[str, Any] = {
        "policy": config.policy.name,
        "env": env,
        "demonstrations": {
            "count": len(demonstrations),
            "steps": demonstrations.num_steps,
            "source": demonstrations.source,
        },
        "training": {"steps": steps, "interrupted": interrupted, **final},
        "evaluation": {},
        "cpu_seconds": seconds,
    }
    evaluations: dict[str, Evaluation] = {}
    if interrupted:
        say(f"stopped after {steps} of {steps_of(config)} steps: the policy so far is in '{folder}'")
    else:
        say(f"the policy is in '{folder}'")
        with _timed(seconds, "evaluation"):
            evaluations, interrupted = _evaluate(policy, config, say)
        if interrupted:
            say(f"evaluation stopped: 'mint-rl evaluate {folder}' repeats it")
    metrics["evaluation"] = {name: result.to_json() for name, result in evaluations.items()}
    write_text(folder / METRICS_FILE, json.dumps(metrics, indent=2) + "\n")
    return BCResult(folder, policy, steps, interrupted, evaluations, metrics)


def train(
    policy: ImitationPolicy, data: CloningData, config: BCConfig, callbacks: Sequence[Callback] = ()
) -> tuple[int, dict[str, float]]:
    """Train in place; return the steps made and the last logged values. Ctrl-C ends training early."""
    from tqdm import tqdm

    steps = steps_of(config)
    policy.network.fit_inputs(data.frames[data.training])
    generator = torch.Generator().manual_seed(config.seed)
    optimiser = torch.optim.AdamW(
        policy.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.learning_rate, total_steps=max(steps, 2), pct_start=0.1
    )
    sums: dict[str, float] = {}
    values: dict[str, float] = {}
    done = 0
    with (
        Interruption() as stop,
        tqdm(total=steps, desc="training", unit="step", mininterval=1.0) as progress,
    ):
        while done < steps and not stop.asked:
            policy.set_training_mode(True)
            drawn = torch.randint(len(data.training), (config.batch,), generator=generator)
            batch = augment(data.batch(data.training[drawn]), policy, config.coordinate_noise, generator)
            losses = cloning_losses(policy, batch, config.dynamics_weight)
            optimiser.zero_grad()
            torch.autograd.backward(losses["loss"])
            nn.utils.clip_grad_norm_(policy.parameters(), config.gradient_clip)
            optimiser.step()
            schedule.step()
            done += 1
            progress.update()
            for name, loss in losses.items():
                sums[name] = sums.get(name, 0.0) + loss.item()
            if done % config.log_every == 0 or done == steps:
                averaged = (done - 1) % config.log_every + 1
                values = {name: total / averaged for name, total in sums.items()}
                values |= validate(policy, data, config)
                sums = {}
                shown = {"loss": values["loss"], "valid_accuracy": values["valid_accuracy"]}
                progress.set_postfix(shown, refresh=False)
                for callback in callbacks:
                    callback(done, values)
    policy.set_training_mode(False)
    return done, values


def _copies(config: BCConfig, demonstrations: DemonstrationSet) -> int:
    """How often training frames are encoded again: 8 times where that is a matter of a minute."""
    if config.shifted_copies is not None:
        return config.shifted_copies
    return min(8, _FRAMES_TO_ENCODE // demonstrations.num_steps)


@torch.no_grad()
def validate(policy: ImitationPolicy, data: CloningData, config: BCConfig) -> dict[str, float]:
    """The losses on the held-out demonstrations, as `valid_…`."""
    policy.set_training_mode(False)
    totals: dict[str, float] = {}
    for steps in torch.split(data.validation, 256):
        for name, value in cloning_losses(policy, data.batch(steps), config.dynamics_weight).items():
            totals[name] = totals.get(name, 0.0) + value.item() * len(steps)
    return {f"valid_{name}": total / len(data.validation) for name, total in totals.items()}


def _run_folder(config: BCConfig, task: str) -> Path:
    """The folder of the run; a new one unless the configuration names it."""
    if config.out is not None:
        folder = Path(config.out)
        if not config.overwrite and (folder / POLICY_FOLDER).exists():
            raise UserError(f"'{folder}' holds an earlier run: choose another --out, or pass overwrite=true")
        return writable_folder(folder)
    return new_folder(Path("runs", f"bc-{task}-{config.policy.name}-seed{config.seed}"))


def _clear(folder: Path) -> None:
    """Remove what an earlier run left in the folder; by now nothing that the user gave can be wrong."""
    for name in (POLICY_FOLDER, TENSORBOARD_FOLDER):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in (LOG_FILE, METRICS_FILE, EVALUATION_FILE):
        (folder / name).unlink(missing_ok=True)


def _read_demonstrations(path: str, env: str) -> DemonstrationSet:
    """The demonstrations of a file, if they show this task as the policy will see it."""
    demonstrations = read_demonstrations(path)
    space = gym.make(env).observation_space
    assert space.shape is not None
    demonstrations.require(env, space.shape)
    view = demonstrations.env_kwargs.get("view", "allo")
    if view != "allo":
        raise UserError(f"the demonstrations in '{path}' show the view '{view}', but policies see 'allo'")
    return demonstrations


def _record_demonstrations(
    config: BCConfig, env: str, folder: Path, say: Callable[[str], None]
) -> DemonstrationSet:
    """Demonstrations of the scripted expert, recorded into the run folder."""
    from tqdm import tqdm

    from mint_rl.envs.magical.recording import record_demonstrations

    say(f"recording {config.episodes} demonstrations of {env}")
    with tqdm(total=config.episodes, desc="recording", unit="episode") as progress:
        demonstrations = record_demonstrations(
            env,
            config.episodes,
            _SEEDS_APART * config.seed,
            progress=lambda done, _: progress.update(done - progress.n),
        )
    write_demonstrations(folder / DEMONSTRATIONS_FILE, demonstrations)
    return demonstrations


def _evaluate(
    policy: ImitationPolicy, config: BCConfig, say: Callable[[str], None]
) -> tuple[dict[str, Evaluation], bool]:
    """The evaluations that were finished, and whether Ctrl-C ended them early."""
    results: dict[str, Evaluation] = {}
    try:
        for variant in config.variants if config.evaluation_episodes else ():
            results |= evaluate(
                policy, [variant], config.evaluation_episodes, config.evaluation_seed, config.temperature
            )
            say(str(results[variant]))
    except KeyboardInterrupt:
        return results, True
    return results, False


def _new_policy(config: BCConfig, encoder: KeypointEncoder | None, data: CloningData) -> ImitationPolicy:
    """A policy with weights drawn by the seed, for what the data show."""
    frame: spaces.Box
    if encoder is None:
        frame = spaces.Box(0, 255, tuple(data.frames.shape[1:]), data.frames.numpy().dtype.type)
    else:
        frame = keypoint_space(encoder.num_keypoints, data.frames.shape[2] - 3)
    observation_space = gym.vector.utils.batch_space(frame, config.history)
    action_space = spaces.Discrete(18)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return policy_class(config.policy.name)(observation_space, action_space, config=config.policy)


class _timed:
    """Add the CPU seconds of a block to a dictionary."""

    def __init__(self, seconds: dict[str, float], name: str) -> None:
        self.seconds, self.name = seconds, name

    def __enter__(self) -> None:
        self.start = time.process_time()

    def __exit__(self, *_: object) -> None:
        self.seconds[self.name] = round(time.process_time() - self.start, 2)
