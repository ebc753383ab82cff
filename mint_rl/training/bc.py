"""Behaviour cloning: from demonstrations to a policy that acts on keypoints or, as a baseline, on pixels."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mint_rl.envs.magical.names import env_id, parse_env_id
from mint_rl.errors import UserError
from mint_rl.files import new_folder, writable_folder, write_text
from mint_rl.keypoints.inference_settings import load_with_settings
from mint_rl.policies.base import ImitationPolicy
from mint_rl.policies.checkpoint import save_policy
from mint_rl.policies.cnn import CNNConfig
from mint_rl.training.bc_config import BCConfig, steps_of
from mint_rl.training.cloning_demonstrations import (
    given_demonstrations,
    recorded_demonstrations,
    variants_of,
)
from mint_rl.training.cloning_loop import SNAPSHOT_FOLDER, Callback, check_same_run
from mint_rl.training.cloning_rounds import ROLLOUTS_FILE, timed, train_rounds
from mint_rl.training.devices import require_device
from mint_rl.training.evaluate import EVALUATION_FILE, Evaluation, choose_acting, evaluate
from mint_rl.training.run_log import LOG_FILE, TENSORBOARD_FOLDER
from mint_rl.training.snapshot import snapshot_values
from mint_rl.training.threads import cpu_threads, threads_of

__all__ = ["BCConfig", "BCResult", "behaviour_cloning"]

CONFIG_FILE = "config.json"
METRICS_FILE = "metrics.json"
POLICY_FOLDER = "policy"


@dataclass(frozen=True)
class BCResult:
    """What a run left behind."""

    folder: Path  # the run folder
    policy: ImitationPolicy
    steps: int  # steps trained, in all rounds: fewer than asked for if interrupted, or if nothing got better
    interrupted: bool  # by Ctrl-C; the checkpoint holds what was trained until then
    evaluations: dict[str, Evaluation]  # by variant
    metrics: dict[str, Any]  # what metrics.json holds


def behaviour_cloning(
    config: BCConfig, callbacks: Sequence[Callback] = (), say: Callable[[str], None] = print
) -> BCResult:
    """Record or read demonstrations, train a policy on them, evaluate it, and write all of it to a folder.

    The run folder gets `config.json`, `demonstrations.hdf5` (when recorded), `rollouts.hdf5` (with DAgger),
    `log.jsonl`, `tensorboard/`, `policy/` (see `mint_rl.policies.checkpoint`) and `metrics.json`; while the
    run is unfinished, also `unfinished/`, from which `resume=True` goes on as if it had not stopped. On one
    machine the same configuration gives the same numbers.

    Args:
        config: The run.
        callbacks: Called with the step and its logged values, every `log_every` steps.
        say: Takes one line for the user at a time.

    Raises:
        UserError: Unknown names, demonstrations that do not fit, a folder that cannot be written, a loss that
            is no longer a number, nothing to resume. Ctrl-C during training is no error: see
            `BCResult.interrupted`.
    """
    with cpu_threads(threads_of(config.threads, config.policy.name)):
        return _behaviour_cloning(config, callbacks, say)


def _behaviour_cloning(
    config: BCConfig, callbacks: Sequence[Callback], say: Callable[[str], None]
) -> BCResult:
    task, _ = parse_env_id(config.env)
    seconds: dict[str, float] = {}
    require_device(config.device)
    encoder = None if isinstance(config.policy, CNNConfig) else load_with_settings(config.encoder)
    if encoder is not None and encoder.config.tracks is not None and config.finetune_encoder:
        raise UserError(
            f"the encoder '{config.encoder}' has tracks, through which nothing is learned: fine-tune it "
            "without them, with the setting tracks=none"
        )
    with timed(seconds, "demonstrations"):
        given = given_demonstrations(config, say)
        folder = _run_folder(config, task)
        first_round = _round_to_resume(config, folder)
        sets = given or recorded_demonstrations(config, folder, say)
    if not config.resume:
        _clear(folder)
        about = {**asdict(config), "out": str(folder)}
        write_text(folder / CONFIG_FILE, json.dumps(about, indent=2) + "\n")
    run, interrupted = train_rounds(config, folder, sets, encoder, seconds, first_round, callbacks, say)
    policy, steps = run.policy, run.before + run.done
    save_policy(policy, folder / POLICY_FOLDER)
    evaluations: dict[str, Evaluation] = {}
    if interrupted:
        wanted = steps_of(config) * (1 + config.dagger)
        say(
            f"stopped after {steps} of {wanted} steps: the policy so far is in '{folder}'; the same command "
            "with resume=true goes on from here"
        )
    else:
        say(f"the policy is in '{folder}'")
        with timed(seconds, "evaluation"):
            evaluations, interrupted = _evaluate(policy, config, variants_of(sets), say)
        if interrupted:
            say("evaluation stopped: the same command with resume=true does it again")
        save_policy(policy, folder / POLICY_FOLDER)  # which now knows how it acts
    metrics: dict[str, Any] = {
        "policy": config.policy.name,
        "env": env_id(*parse_env_id(config.env)),
        "demonstrations": {
            "count": sum(map(len, sets)),
            "steps": sum(one.num_steps for one in sets),
            "variants": variants_of(sets),
            "source": "; ".join(one.source for one in sets),
        },
        "training": {"steps": steps, "kept_step": run.kept_step, "interrupted": interrupted, **run.values},
        "evaluation": {name: result.to_json() for name, result in evaluations.items()},
        "cpu_seconds": seconds,
    }
    write_text(folder / METRICS_FILE, json.dumps(metrics, indent=2) + "\n")
    if not interrupted:
        shutil.rmtree(folder / SNAPSHOT_FOLDER, ignore_errors=True)
    return BCResult(folder, policy, steps, interrupted, evaluations, metrics)


def _run_folder(config: BCConfig, task: str) -> Path:
    """The folder of the run; a new one unless the configuration names it."""
    if config.out is not None:
        folder = Path(config.out)
        held = [name for name in (POLICY_FOLDER, SNAPSHOT_FOLDER) if (folder / name).exists()]
        if held and not config.overwrite and not config.resume:
            raise UserError(
                f"'{folder}' holds an earlier run: choose another --out, or pass overwrite=true"
                + (", or resume=true to go on with it" if SNAPSHOT_FOLDER in held else "")
            )
        return writable_folder(folder)
    return new_folder(Path("runs", f"bc-{task}-{config.policy.name}-seed{config.seed}"))


def _round_to_resume(config: BCConfig, folder: Path) -> int:
    """The round of DAgger that the unfinished run in the folder is in; 0 for a new one."""
    if not config.resume:
        return 0
    values = snapshot_values(folder / SNAPSHOT_FOLDER)
    check_same_run(values, config, folder)
    return int(values["round"])


def _clear(folder: Path) -> None:
    """Remove what an earlier run left in the folder; by now nothing that the user gave can be wrong."""
    for name in (POLICY_FOLDER, TENSORBOARD_FOLDER, SNAPSHOT_FOLDER):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in (LOG_FILE, METRICS_FILE, EVALUATION_FILE, ROLLOUTS_FILE):
        (folder / name).unlink(missing_ok=True)


def _evaluate(
    policy: ImitationPolicy, config: BCConfig, variants: Sequence[str], say: Callable[[str], None]
) -> tuple[dict[str, Evaluation], bool]:
    """The evaluations that were finished, and whether Ctrl-C ended them early.

    How the policy acts is chosen first, on the variants that it was trained on, and told to its context.
    """
    results: dict[str, Evaluation] = {}
    assert policy.context is not None
    try:
        temperature, chunk = choose_acting(
            policy, variants, config.temperature, config.chunk, config.validation_episodes, say
        )
        policy.context.temperature, policy.context.chunk = temperature, chunk
        for variant in config.variants if config.evaluation_episodes else ():
            results |= evaluate(
                policy,
                [variant],
                config.evaluation_episodes,
                config.evaluation_seed,
                temperature,
                chunk=chunk,
            )
            say(str(results[variant]))
    except KeyboardInterrupt:
        return results, True
    return results, False
