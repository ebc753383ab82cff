"""Pretraining: from videos to a keypoint encoder, without labels, by MINT or one of its rivals."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mint_rl.errors import UserError
from mint_rl.files import new_folder, writable_folder, write_text
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.encoder_files import CONFIG_FILE as ENCODER_CONFIG_FILE
from mint_rl.keypoints.encoder_files import read_json_object
from mint_rl.keypoints.gate import choose_gate
from mint_rl.training.pose_priors import prior_of, with_prior
from mint_rl.training.pretrain_config import PretrainConfig
from mint_rl.training.pretrain_data import load_videos, split_videos, spread_frames
from mint_rl.training.pretrain_loop import (
    SNAPSHOT_FOLDER,
    Callback,
    PretrainingRun,
    new_method,
    validate,
)
from mint_rl.training.run_log import LOG_FILE, TENSORBOARD_FOLDER
from mint_rl.training.threads import cpu_threads
from mint_rl.training.video_pairs import VideoPairs

__all__ = ["PretrainConfig", "PretrainResult", "pretrain"]

CONFIG_FILE = "pretrain.json"
METRICS_FILE = "metrics.json"
_EXAMPLES = 8
_EXAMPLE_FRAMES = 240


@dataclass(frozen=True)
class PretrainResult:
    """What a run left behind."""

    config: PretrainConfig
    folder: Path  # the run folder, from which `load_encoder` reads
    encoder: KeypointEncoder
    steps: int  # steps trained: fewer than asked for when interrupted
    interrupted: bool  # by Ctrl-C; the folder holds what was trained until then
    warnings: list[str]  # signs of failure that were said, in words
    metrics: dict[str, Any]  # what metrics.json holds
    examples: NDArray[np.uint8]  # (8, H, W, 3), frames to look at, of held-out videos if there are any
    example_video: NDArray[np.uint8]  # (T, H, W, 3), the beginning of the longest of these, T ≥ 2


def pretrain(
    config: PretrainConfig, callbacks: Sequence[Callback] = (), say: Callable[[str], None] = print
) -> PretrainResult:
    """Train a keypoint encoder on videos and write it to a folder.

    The run folder gets the encoder (`config.json`, `model.safetensors`), `pretrain.json` (this
    configuration), `metrics.json`, `log.jsonl` and `tensorboard/`; while the run is unfinished, also
    `unfinished/`, from which `resume=True` goes on as if it had not stopped. On one machine the same
    configuration gives the same numbers.

    Args:
        config: The run.
        callbacks: Called with the step and its logged values, every `log_every` steps.
        say: Takes one line for the user at a time.

    Raises:
        UserError: Videos that cannot be used, a folder that cannot be written, or nothing to resume. Ctrl-C
            during training is no error: see `PretrainResult.interrupted`.
    """
    with cpu_threads(config.threads):
        return _pretrain(config, callbacks, say)


def _pretrain(
    config: PretrainConfig, callbacks: Sequence[Callback], say: Callable[[str], None]
) -> PretrainResult:
    folder = _run_folder(config)
    started = time.process_time()
    try:
        prior = prior_of(config, folder)  # before frames are collected, which takes longer
        videos = load_videos(config, folder, say)
    except UserError:
        with suppress(OSError):  # an earlier run is in it
            folder.rmdir()
        raise
    training, validation = split_videos(videos.videos, config.validation_share, config.seed)
    needs = config.loss.needs()
    needs = needs._replace(entropy=needs.entropy or config.gate == "auto")
    pairs = VideoPairs(training, config.preprocessing, config.region, needs)
    held_out = VideoPairs(validation, config.preprocessing, config.region, needs) if validation else None
    prepared = time.process_time()

    method = new_method(with_prior(config, prior, folder), pairs.size)
    encoder = method.encoder
    optimiser = torch.optim.Adam(
        method.parameter_groups(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    run = PretrainingRun(config, folder, method, optimiser, pairs, held_out or pairs, videos.fingerprint())
    if config.resume:
        run.restore()
    else:
        _clear(folder)
        write_text(folder / CONFIG_FILE, json.dumps(dataclasses.asdict(config), indent=2) + "\n")
    say(
        f"pretraining {sum(p.numel() for p in method.parameters()):,} parameters on {len(training)} videos, "
        f"{len(pairs):,} pairs of frames" + (f", from step {run.done}" if run.done else "")
    )
    interrupted = run.train(callbacks, say)
    method.eval()
    seconds = {
        "data": round(prepared - started, 2),
        "training": round(run.seconds, 2),
        "per_step": round(run.seconds / max(run.done, 1), 4),
        "waiting": round(run.waited, 2),
    }
    encoder.config = dataclasses.replace(
        encoder.config,
        gamma=config.gamma if config.inference_gamma is None else config.inference_gamma,
        window=config.window,
        gate=_gate(config, pairs, encoder.config.gate_size),
    )
    metrics: dict[str, Any] = {
        "steps": run.done,
        "kept_step": run.done if interrupted else run.best.step,
        "interrupted": interrupted,
        "videos": len(videos),
        "skipped_videos": videos.broken,
        "pairs": len(pairs),
        "training": run.values,
        "validation": validate(method, held_out, config) if held_out else None,
        "warnings": list(run.warnings.values()),
        "cpu_seconds": seconds,
    }
    encoder.save_pretrained(folder)
    write_text(folder / METRICS_FILE, json.dumps(metrics, indent=2) + "\n")
    if interrupted:
        run.save()
        say(
            f"stopped after {run.done} of {config.steps} steps: the encoder so far is in '{folder}'; "
            "the same command with resume=true goes on from here"
        )
    else:
        shutil.rmtree(folder / SNAPSHOT_FOLDER, ignore_errors=True)
        say(f"the encoder is in '{folder}'")
    shown = validation or training
    return PretrainResult(
        config=config,
        folder=folder,
        encoder=encoder,
        steps=run.done,
        interrupted=interrupted,
        warnings=metrics["warnings"],
        metrics=metrics,
        examples=spread_frames(shown, _EXAMPLES),
        example_video=np.array(max(shown, key=len)[:_EXAMPLE_FRAMES]),
    )


def _gate(config: PretrainConfig, pairs: VideoPairs, size: int) -> float | None:
    """The entropy gate that the configuration asks for; "auto" looks at the training frames alone."""
    if config.gate == "auto":
        return round(choose_gate(pairs.entropy_sample(), size), 4)
    return None if config.gate == "none" else float(config.gate)


def _run_folder(config: PretrainConfig) -> Path:
    """The folder of the run; a new one unless the configuration names it."""
    if config.out is not None:
        folder = Path(config.out)
        held = [name for name in (ENCODER_CONFIG_FILE, SNAPSHOT_FOLDER) if (folder / name).exists()]
        if held and not config.overwrite and not config.resume:
            raise UserError(f"'{folder}' holds an earlier run: choose another --out, or pass overwrite=true")
        if config.resume:
            read_json_object(folder / CONFIG_FILE, f"the run folder '{folder}'")
        return writable_folder(folder)
    return new_folder(Path("runs", f"pretrain-seed{config.seed}"))


def _clear(folder: Path) -> None:
    """Remove what an earlier run left in the folder and this one would not replace at once."""
    for name in (SNAPSHOT_FOLDER, TENSORBOARD_FOLDER):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / LOG_FILE).unlink(missing_ok=True)
