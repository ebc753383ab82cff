"""`mint-rl dynamics`: learn how keypoints move, and see how well it is predicted."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from mint_rl.errors import UserError
from mint_rl.files import new_folder, writable_folder, write_text
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.inference_settings import describe_settings, load_with_settings
from mint_rl.policies.dynamics import MODEL_FOLDER, KeypointDynamics
from mint_rl.training.devices import require_device
from mint_rl.training.dynamics_config import DynamicsConfig
from mint_rl.training.dynamics_data import DynamicsData, KeypointVideo, load_data, number_of_actions
from mint_rl.training.dynamics_loop import Callback, DynamicsTraining
from mint_rl.training.dynamics_scores import LEGEND, DynamicsScores, score_video, table
from mint_rl.training.run_log import LOG_FILE, TENSORBOARD_FOLDER
from mint_rl.training.threads import cpu_threads

__all__ = ["DynamicsConfig", "DynamicsResult", "learn_dynamics"]

CONFIG_FILE = "config.json"
METRICS_FILE = "metrics.json"
ENCODER_FOLDER = "encoder"  # beside the model


@dataclass(frozen=True)
class DynamicsResult:
    """What a run left behind."""

    folder: Path  # the run folder, from which `load_dynamics` reads
    model: KeypointDynamics
    encoder: KeypointEncoder
    steps: int  # steps trained: fewer than asked for if interrupted, or if nothing got better
    interrupted: bool  # by Ctrl-C; the folder holds the model as it was then, and no scores
    scores: DynamicsScores | None  # on the videos to test on
    test: list[KeypointVideo]
    metrics: dict[str, Any]  # what metrics.json holds


def learn_dynamics(
    config: DynamicsConfig, callbacks: Sequence[Callback] = (), say: Callable[[str], None] = print
) -> DynamicsResult:
    """Train a network to predict the next keypoints, score it beside baselines, write all of it to a folder.

    The run folder gets `config.json`, `log.jsonl`, `tensorboard/`, `model/` with the model and, in its
    `encoder/`, the encoder whose keypoints it knows, and `metrics.json` with every score. On one machine the
    same configuration gives the same numbers.

    Args:
        config: The run.
        callbacks: Called with the step and its logged values, every `validate_every` steps.
        say: Takes one line for the user at a time.

    Raises:
        UserError: Unknown names, videos that cannot be used, a folder that cannot be written, a loss that is
            no longer a number. Ctrl-C during training is no error: see `DynamicsResult.interrupted`.
    """
    with cpu_threads(config.threads):
        return _learn_dynamics(config, callbacks, say)


def _learn_dynamics(
    config: DynamicsConfig, callbacks: Sequence[Callback], say: Callable[[str], None]
) -> DynamicsResult:
    require_device(config.device)
    encoder = load_with_settings(config.encoder)
    folder = _run_folder(config)
    started = time.process_time()
    data = load_data(config, encoder, say)
    seconds = {"data": round(time.process_time() - started, 2)}
    _clear(folder)
    write_text(folder / CONFIG_FILE, json.dumps(asdict(config) | {"out": str(folder)}, indent=2) + "\n")

    model = _new_model(config, encoder).to(config.device)
    training = DynamicsTraining(config, model, data.training, data.validation)
    say(
        f"learning dynamics: {sum(p.numel() for p in model.parameters()):,} parameters, "
        f"{len(data.training)} videos, {len(training.windows):,} windows of {config.history} frames"
    )
    interrupted = training.train(folder, callbacks)
    seconds["training"] = round(training.seconds, 2)
    model.to("cpu").requires_grad_(False)
    model.save_pretrained(folder / MODEL_FOLDER)
    encoder.save_pretrained(folder / MODEL_FOLDER / ENCODER_FOLDER)
    metrics: dict[str, Any] = {
        "encoder": {"name": config.encoder, "settings": describe_settings(encoder)},
        "videos": _counts(data),
        "steps": training.done,
        "kept_step": training.kept_step,
        "interrupted": interrupted,
        "validation_loss": training.best.loss if training.best.tensors else None,
        "cpu_seconds": seconds,
    }
    scores = None
    if interrupted:
        say(f"stopped after {training.done} of {config.steps} steps: the model so far is in '{folder}'")
    else:
        if training.done < config.steps:
            say(f"stopped at step {training.done}: nothing better since step {training.kept_step}")
        started = time.process_time()
        scores = _score(config, model, data.test)
        seconds["scoring"] = round(time.process_time() - started, 2)
        metrics["scores"] = scores.to_json()
        say(f"\n{len(data.test)} videos to test on: {', '.join(_counts(data)['test'])}\n\n{table(scores)}")
        say(f"\n{LEGEND}")
    write_text(folder / METRICS_FILE, json.dumps(metrics, indent=2, ensure_ascii=False) + "\n")
    if not interrupted:
        say(f"the model is in '{folder}', every number in '{folder / METRICS_FILE}'")
    return DynamicsResult(folder, model, encoder, training.done, interrupted, scores, data.test, metrics)


def _new_model(config: DynamicsConfig, encoder: KeypointEncoder) -> KeypointDynamics:
    descriptors = encoder.descriptor_dim if config.descriptors else 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return KeypointDynamics(
            encoder.num_video_keypoints,
            descriptors,
            config.history,
            number_of_actions(config),
            config.network,
        )


def _score(
    config: DynamicsConfig, model: KeypointDynamics, videos: Sequence[KeypointVideo]
) -> DynamicsScores:
    from tqdm import tqdm

    scores = DynamicsScores(config.horizons)
    for video in tqdm(videos, desc="testing", unit="video", delay=0.5):
        scores.add(video.name, score_video(model, video, config.horizons))
    return scores


def _counts(data: DynamicsData) -> dict[str, dict[str, int]]:
    """How many videos of what there are, by part."""
    counts: dict[str, dict[str, int]] = {}
    for part, videos in data._asdict().items():
        names = [video.name for video in videos]
        counts[part] = {name: names.count(name) for name in dict.fromkeys(names)}
    return counts


def _run_folder(config: DynamicsConfig) -> Path:
    """The folder of the run; a new one unless the configuration names it."""
    if config.out is None:
        return new_folder(Path("runs", f"dynamics-seed{config.seed}"))
    folder = Path(config.out)
    held = (folder / MODEL_FOLDER).exists() or (folder / CONFIG_FILE).exists()
    if held and not config.overwrite:
        raise UserError(f"'{folder}' holds an earlier run: choose another --out, or pass overwrite=true")
    return writable_folder(folder)


def _clear(folder: Path) -> None:
    """Remove what an earlier run left in the folder and this one would not replace at once."""
    for name in (MODEL_FOLDER, TENSORBOARD_FOLDER):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in (LOG_FILE, METRICS_FILE):
        (folder / name).unlink(missing_ok=True)
