"""Pretraining: from videos to a keypoint encoder, without labels, by the MINT loss."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mint_rl.errors import UserError, unknown_name
from mint_rl.files import writable_folder, write_text
from mint_rl.keypoints.encoder import EncoderConfig, KeypointEncoder, Keypoints
from mint_rl.keypoints.mint import MintLossConfig, MintTerms, mint_loss
from mint_rl.keypoints.pretrained import CONFIG_FILE as ENCODER_CONFIG_FILE
from mint_rl.keypoints.pretrained import read_json_object
from mint_rl.options import option
from mint_rl.training.failure_signs import failure_signs, measure
from mint_rl.training.interruption import Interruption
from mint_rl.training.run_log import LOG_FILE, TENSORBOARD_FOLDER, RunLog
from mint_rl.training.snapshot import load_snapshot, save_snapshot
from mint_rl.training.video_pairs import VideoPairs

CONFIG_FILE = "pretrain.json"
METRICS_FILE = "metrics.json"
SNAPSHOT_FOLDER = "unfinished"
PREPROCESSINGS = ("binarise", "paper", "none")

Callback = Callable[[int, dict[str, float]], None]


@dataclass
class PretrainConfig:
    """Everything that decides a pretraining run."""

    data: list[str] = option([], "demonstration files; none: rollouts of the eight tasks")
    seed: int = option(0, "decides rollouts, initial weights, batches and the validation split")
    out: str | None = option(None, "the run folder; none: a new one in runs/")
    overwrite: bool = option(False, "allow `out` to hold an earlier run, which is replaced")
    resume: bool = option(False, "go on with the unfinished run in `out`")

    steps: int = option(2000, "training steps")
    pairs: int = option(10, "pairs of neighbouring frames a step")
    learning_rate: float = option(2e-3, "of Adam, after the warm-up")
    warmup: int = option(100, "steps over which the learning rate grows to that")
    final_rate: float = option(0.02, "share of it that the cosine schedule ends at")
    weight_decay: float = option(1e-4, "weight decay of Adam")
    gradient_clip: float = option(10.0, "largest norm of the gradient")
    turns: bool = option(True, "augment: turn each pair by quarters and mirror it")
    shift: int = option(6, "augment: move each pair by up to so many pixels")

    num_keypoints: int = option(25, "keypoints, K")
    gamma: float = option(10.0, "γ, the height of a feature map that makes a keypoint active, while training")
    status_slope: float = option(1000.0, "steepness of the status around γ")
    inference_gamma: float | None = option(None, "γ that the saved encoder uses; none: the same")
    window: float | None = option(0.2, "soft-argmax window of the saved encoder, image sides; none: all")
    gate: float | None = option(None, "entropy gate of the saved encoder, nats; none: no gate")
    preprocessing: str = option(
        "binarise", "what happens to frames before their entropy: binarise, paper or none"
    )
    region: int = option(3, "side of the region that a pixel's entropy is taken over")
    loss: MintLossConfig = field(default_factory=MintLossConfig)

    validation_share: float = option(0.1, "share of the videos that is held out, whole")
    log_every: int = option(50, "steps between log records")
    save_every: int = option(250, "steps between snapshots, from which a run can be resumed")
    device: str = option("cpu", "where to train: cpu, cuda or cuda:<number>")

    def __post_init__(self) -> None:
        lowest = {
            "seed": 0, "steps": 1, "pairs": 1, "warmup": 0, "final_rate": 0.0, "weight_decay": 0.0,
            "shift": 0, "num_keypoints": 1, "validation_share": 0.0, "log_every": 1, "save_every": 1,
        }  # fmt: skip
        for name, limit in lowest.items():
            if not getattr(self, name) >= limit:
                raise UserError(f"the option '{name}' must be at least {limit:g}, got {getattr(self, name)}")
        for name in ("learning_rate", "gradient_clip", "status_slope"):
            if not getattr(self, name) > 0:
                raise UserError(f"the option '{name}' must be above 0, got {getattr(self, name)}")
        if self.window is not None and not self.window > 0:
            raise UserError(f"the option 'window' must be above 0 or none, got {self.window}")
        if not self.validation_share < 1:
            raise UserError(f"the option 'validation_share' must be below 1, got {self.validation_share}")
        if self.preprocessing not in PREPROCESSINGS:
            raise unknown_name("preprocessing", self.preprocessing, PREPROCESSINGS)
        if self.region not in (3, 5, 7, 9, 11):
            raise UserError(f"the option 'region' must be 3, 5, 7, 9 or 11, got {self.region}")
        if self.resume and self.out is None:
            raise UserError("resume=true needs the folder of the run to go on with: give --out")
        if self.resume and self.overwrite:
            raise UserError("resume=true and overwrite=true contradict each other")


@dataclass(frozen=True)
class PretrainResult:
    """What a run left behind."""

    folder: Path  # the run folder, from which `load_encoder` reads
    encoder: KeypointEncoder
    steps: int  # steps trained: fewer than asked for when interrupted
    interrupted: bool  # by Ctrl-C; the folder holds what was trained until then
    warnings: list[str]  # signs of failure that were said, in words
    metrics: dict[str, Any]  # what metrics.json holds
    examples: NDArray[np.uint8]  # (8, H, W, 3), frames to look at, of held-out videos if there are any


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
    folder = _run_folder(config)
    started = time.process_time()
    videos = load_videos(config, say)
    training, validation = split_videos(videos, config.validation_share, config.seed)
    pairs = VideoPairs(training, config.preprocessing, config.region)
    held_out = VideoPairs(validation, config.preprocessing, config.region) if validation else None
    prepared = time.process_time()

    encoder = new_encoder(config, pairs.size)
    optimiser = torch.optim.Adam(
        encoder.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    run = _Run(config, folder, encoder, optimiser, pairs, _fingerprint(videos))
    if config.resume:
        run.restore()
    else:
        _clear(folder)
        write_text(folder / CONFIG_FILE, json.dumps(dataclasses.asdict(config), indent=2) + "\n")
    say(
        f"pretraining {sum(p.numel() for p in encoder.parameters()):,} parameters on {len(training)} videos, "
        f"{len(pairs):,} pairs of frames" + (f", from step {run.done}" if run.done else "")
    )
    interrupted = run.train(callbacks, say)
    encoder.eval()
    seconds = {
        "data": round(prepared - started, 2),
        "training": round(run.seconds, 2),
        "per_step": round(run.seconds / max(run.done, 1), 4),
    }
    encoder.config = dataclasses.replace(
        encoder.config,
        gamma=config.gamma if config.inference_gamma is None else config.inference_gamma,
        window=config.window,
        gate=config.gate,
    )
    metrics: dict[str, Any] = {
        "steps": run.done,
        "interrupted": interrupted,
        "videos": len(videos),
        "pairs": len(pairs),
        "training": run.values,
        "validation": validate(encoder, held_out, config) if held_out else None,
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
    examples = _examples(validation or training)
    return PretrainResult(folder, encoder, run.done, interrupted, metrics["warnings"], metrics, examples)


class _Run:
    """The loop and what a snapshot has to hold of it."""

    def __init__(
        self,
        config: PretrainConfig,
        folder: Path,
        encoder: KeypointEncoder,
        optimiser: torch.optim.Optimizer,
        pairs: VideoPairs,
        fingerprint: str,
    ) -> None:
        self.config, self.folder, self.encoder, self.optimiser = config, folder, encoder, optimiser
        self.pairs, self.fingerprint = pairs, fingerprint
        self.done = 0
        self.seconds = 0.0
        self.sums: dict[str, float] = {}  # of the steps since the last log record
        self.values: dict[str, float] = {}  # the last log record
        self.records: list[dict[str, float]] = []
        self.warnings: dict[str, str] = {}  # by kind of failure

    def train(self, callbacks: Sequence[Callback], say: Callable[[str], None]) -> bool:
        """Make the steps that are left; returns whether Ctrl-C ended them early."""
        from tqdm import tqdm

        config = self.config
        self.encoder.train()
        with (
            Interruption() as stop,
            RunLog(self.folder) as log,
            tqdm(
                total=config.steps, initial=self.done, desc="pretraining", unit="step", mininterval=1.0
            ) as bar,
        ):
            for record in self.records:
                log.record(**record)  # type: ignore[arg-type]
            while self.done < config.steps and not stop.asked:
                clock = time.process_time()
                for name, value in self.step(self.done + 1).items():
                    self.sums[name] = self.sums.get(name, 0.0) + value
                self.done += 1
                self.seconds += time.process_time() - clock
                bar.update()
                if self.done % config.log_every == 0 or self.done == config.steps:
                    self.report(log, callbacks, lambda line: bar.write(line) if say is print else say(line))
                    bar.set_postfix(loss=f"{self.values['total']:.1f}", active=f"{self.values['active']:.1f}")
                if self.done % config.save_every == 0 and self.done < config.steps:
                    self.save()
        return self.done < config.steps

    def step(self, number: int) -> dict[str, float]:
        """One step of the optimiser; the loss terms and the numbers that show failures."""
        config = self.config
        rng = np.random.default_rng([config.seed, number])
        frames, entropy = self.pairs.draw(config.pairs, rng, config.turns, config.shift)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(number, config)
        keypoints, terms = evaluate_pairs(self.encoder, frames, entropy, config)
        self.optimiser.zero_grad()
        terms.total.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.encoder.parameters(), config.gradient_clip)
        self.optimiser.step()
        return {**_numbers(keypoints, terms), "gradient_norm": float(norm)}

    def report(self, log: RunLog, callbacks: Sequence[Callback], say: Callable[[str], None]) -> None:
        """Log the means since the last record, and say what looks wrong once."""
        averaged = (self.done - 1) % self.config.log_every + 1
        self.values = {name: total / averaged for name, total in self.sums.items()}
        self.values["learning_rate"] = learning_rate(self.done, self.config)
        self.sums = {}
        record = {"step": self.done, **self.values}
        self.records.append(record)
        log.record(**record)  # type: ignore[arg-type]
        signs = failure_signs(self.done, self.values, self.config.gamma, self.config.num_keypoints)
        for kind, sign in signs.items():
            if kind not in self.warnings:
                self.warnings[kind] = f"step {self.done}: {sign}"
                say(f"warning: {self.warnings[kind]}")
        for callback in callbacks:
            callback(self.done, self.values)

    def save(self) -> None:
        """Write a snapshot to go on from."""
        save_snapshot(
            self.folder / SNAPSHOT_FOLDER,
            self.encoder,
            self.optimiser,
            {
                "config": _lasting(self.config),
                "fingerprint": self.fingerprint,
                "done": self.done,
                "seconds": self.seconds,
                "sums": self.sums,
                "values": self.values,
                "records": self.records,
                "warnings": self.warnings,
            },
        )

    def restore(self) -> None:
        """Take up the snapshot in the run folder; `UserError` if it is of another run."""
        values = load_snapshot(self.folder / SNAPSHOT_FOLDER, self.encoder, self.optimiser)
        before, now = values["config"], json.loads(json.dumps(_lasting(self.config)))
        for name in now:
            if before.get(name) != now[name]:
                raise UserError(
                    f"the unfinished run in '{self.folder}' has {name} = {before.get(name)}, not "
                    f"{now[name]}: resume with the same settings, or start anew with overwrite=true"
                )
        if values["fingerprint"] != self.fingerprint:
            raise UserError(f"the unfinished run in '{self.folder}' was trained on other frames than these")
        self.done, self.seconds = values["done"], values["seconds"]
        self.sums, self.values = values["sums"], values["values"]
        self.records, self.warnings = values["records"], values["warnings"]


def new_encoder(config: PretrainConfig, size: tuple[int, int]) -> KeypointEncoder:
    """An untrained encoder for frames of `size` (height, width), its weights drawn by the seed."""
    settings = EncoderConfig.for_images(
        *size, num_keypoints=config.num_keypoints, gamma=config.gamma, status_slope=config.status_slope
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return KeypointEncoder(settings).to(config.device)


def learning_rate(step: int, config: PretrainConfig) -> float:
    """Of a step, counted from 1: a linear warm-up under a cosine that falls to `final_rate`."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / config.steps))
    warm = min(1.0, step / config.warmup) if config.warmup else 1.0
    return config.learning_rate * warm * (config.final_rate + (1 - config.final_rate) * cosine)


def evaluate_pairs(
    encoder: KeypointEncoder, frames: Tensor, entropy: Tensor, config: PretrainConfig
) -> tuple[Keypoints, MintTerms]:
    """Keypoints and loss of pairs: frames (B, 2, H, W, C) uint8, entropy (B, 2, H, W)."""
    number = len(frames)
    found = encoder(frames.flatten(0, 1).to(config.device))
    pairs = Keypoints(*(part.unflatten(0, (number, 2)) for part in found[:3]))
    terms = mint_loss(pairs.coordinates, pairs.status, entropy.to(config.device), config.loss)
    return pairs, terms


@torch.no_grad()
def validate(encoder: KeypointEncoder, pairs: VideoPairs, config: PretrainConfig) -> dict[str, float]:
    """Loss terms and failure numbers of up to 200 held-out pairs, with the encoder's inference settings."""
    frames, entropy = pairs.spread(200)
    totals: dict[str, float] = {}
    for start in range(0, len(frames), 16):
        part = frames[start : start + 16]
        keypoints, terms = evaluate_pairs(encoder, part, entropy[start : start + 16], config)
        for name, value in _numbers(keypoints, terms).items():
            totals[name] = totals.get(name, 0.0) + value * len(part)
    return {name: total / len(frames) for name, total in totals.items()}


def load_videos(config: PretrainConfig, say: Callable[[str], None]) -> list[NDArray[np.uint8]]:
    """The videos (T, H, W, 3) of the demonstration files, or of rollouts made for the purpose."""
    if config.data:
        from mint_rl.data.demonstrations import read_demonstrations

        return [demo.images for path in config.data for demo in read_demonstrations(path).demonstrations]
    from mint_rl.envs.magical.recording import collect_frames

    say("recording rollouts of the eight MAGICAL tasks")
    videos: list[NDArray[np.uint8]] = collect_frames(seed=config.seed)
    return videos


def split_videos(
    videos: Sequence[NDArray[np.uint8]], share: float, seed: int
) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """Videos for training and validation: a share of them, drawn by the seed, and never the last one left."""
    held_out = min(math.ceil(share * len(videos)), len(videos) - 1)
    order = np.random.default_rng(seed).permutation(len(videos))
    chosen = set(order[:held_out].tolist()) if held_out > 0 else set()
    training = [video for number, video in enumerate(videos) if number not in chosen]
    return training, [videos[number] for number in sorted(chosen)]


def _examples(videos: Sequence[NDArray[np.uint8]], count: int = 8) -> NDArray[np.uint8]:
    """Frames spread evenly over the videos and over time."""
    frames = [(video, step) for video in range(len(videos)) for step in range(len(videos[video]))]
    chosen = np.linspace(0, len(frames) - 1, count).round().astype(int)
    return np.stack([videos[video][step] for video, step in (frames[i] for i in chosen)])


def _numbers(keypoints: Keypoints, terms: MintTerms) -> dict[str, float]:
    values = {name: term.item() for name, term in zip(terms._fields, terms, strict=True)}
    with torch.no_grad():
        return values | measure(keypoints.coordinates, keypoints.status, keypoints.peaks)


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
    taken = 1
    name = f"pretrain-seed{config.seed}"
    while (folder := Path("runs", name if taken == 1 else f"{name}-{taken}")).exists():
        taken += 1
    return writable_folder(folder)


def _clear(folder: Path) -> None:
    """Remove what an earlier run left in the folder and this one would not replace at once."""
    for name in (SNAPSHOT_FOLDER, TENSORBOARD_FOLDER):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / LOG_FILE).unlink(missing_ok=True)


def _lasting(config: PretrainConfig) -> dict[str, Any]:
    """The settings that a resumed run must share with the one it goes on with."""
    free = ("out", "overwrite", "resume", "save_every", "device")
    return {name: value for name, value in dataclasses.asdict(config).items() if name not in free}


def _fingerprint(videos: Sequence[NDArray[np.uint8]]) -> str:
    digest = hashlib.sha256()
    for video in videos:
        digest.update(repr(video.shape).encode())
        digest.update(np.ascontiguousarray(video).tobytes())
    return digest.hexdigest()
