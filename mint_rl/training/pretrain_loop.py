"""The loop of pretraining: one step after another, logged, watched and resumable."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import KeypointEncoder, Keypoints
from mint_rl.keypoints.encoder_config import EncoderConfig
from mint_rl.keypoints.method import Clips, Method
from mint_rl.training.best_checkpoint import BestCheckpoint
from mint_rl.training.failure_signs import failure_signs, measure
from mint_rl.training.interruption import Interruption
from mint_rl.training.prefetch import Prefetch
from mint_rl.training.pretrain_config import PretrainConfig
from mint_rl.training.run_log import RunLog
from mint_rl.training.snapshot import load_snapshot, save_snapshot
from mint_rl.training.video_pairs import VideoPairs

SNAPSHOT_FOLDER = "unfinished"

Callback = Callable[[int, dict[str, float]], None]


class PretrainingRun:
    """The loop and what a snapshot has to hold of it."""

    def __init__(
        self,
        config: PretrainConfig,
        folder: Path,
        method: Method,
        optimiser: torch.optim.Optimizer,
        pairs: VideoPairs,
        watched: VideoPairs,
        fingerprint: str,
    ) -> None:
        self.config, self.folder, self.optimiser = config, folder, optimiser
        self.method, self.encoder = method, method.encoder
        self.pairs, self.watched, self.fingerprint = pairs, watched, fingerprint
        self.best = BestCheckpoint()  # by the loss on `watched`, the videos held out from training
        self.done = 0
        self.seconds = 0.0
        self.waited = 0.0  # seconds of this process in which a step waited for its pairs
        self.sums: dict[str, float] = {}  # of the steps since the last log record
        self.values: dict[str, float] = {}  # the last log record
        self.records: list[dict[str, float]] = []
        self.warnings: dict[str, str] = {}  # by kind of failure

    def train(self, callbacks: Sequence[Callback], say: Callable[[str], None]) -> bool:
        """Make the steps that are left; returns whether Ctrl-C ended them early."""
        from tqdm import tqdm

        config = self.config
        self.method.train()
        with (
            Interruption() as stop,
            RunLog(self.folder) as log,
            tqdm(
                total=config.steps, initial=self.done, desc="pretraining", unit="step", mininterval=1.0
            ) as bar,
            Prefetch(self.draw, range(self.done + 1, config.steps + 1)) as batches,
        ):
            for record in self.records:
                log.record(**record)  # type: ignore[arg-type]
            while self.done < config.steps and not stop.asked:
                clock = time.process_time()
                for name, value in self.step(self.done + 1, next(batches)).items():
                    self.sums[name] = self.sums.get(name, 0.0) + value
                self.done += 1
                self.seconds += time.process_time() - clock
                bar.update()
                if self.done % config.validate_every == 0 or self.done == config.steps:
                    self.watch()
                if self.done % config.log_every == 0 or self.done == config.steps:
                    self.report(log, callbacks, lambda line: bar.write(line) if say is print else say(line))
                    bar.set_postfix(loss=f"{self.values['total']:.3g}", active=f"{self.values['active']:.1f}")
                if self.done % config.save_every == 0 and self.done < config.steps:
                    self.save()
            self.waited += batches.waited
        if self.done == config.steps:
            self.best.load_into(self.method)
        return self.done < config.steps

    def watch(self) -> None:
        """Measure the loss on the watched videos and keep the weights if it is the lowest so far."""
        self.method.eval()
        loss = validate(self.method, self.watched, self.config)["total"]
        self.method.train()
        self.best.offer(self.method, self.done, loss)
        self.sums["valid_total"] = loss * self._since_record()

    def draw(self, number: int) -> Clips:
        """The clips of a step, counted from 1."""
        rng, config = np.random.default_rng([self.config.seed, number]), self.config
        clips = self.pairs.draw(config.pairs, rng, config.turns, config.shift, config.apart)
        return clips._replace(extra=self.method.extra(config.pairs, rng))

    def step(self, number: int, clips: Clips) -> dict[str, float]:
        """One step of the optimiser; the loss terms and the numbers that show failures."""
        config = self.config
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(number, config)
        keypoints, terms = evaluate_clips(self.method, clips, config)
        self.optimiser.zero_grad()
        terms["total"].backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.method.parameters(), config.gradient_clip)
        self.optimiser.step()
        return {**_numbers(keypoints, terms), "gradient_norm": float(norm)}

    def report(self, log: RunLog, callbacks: Sequence[Callback], say: Callable[[str], None]) -> None:
        """Log the means since the last record, and say what looks wrong once."""
        averaged = self._since_record()
        self.values = {name: total / averaged for name, total in self.sums.items()}
        self.values["learning_rate"] = learning_rate(self.done, self.config)
        self.sums = {}
        record = {"step": self.done, **self.values}
        self.records.append(record)
        log.record(**record)  # type: ignore[arg-type]
        signs = failure_signs(self.done, self.values, self.encoder.config, self.method.advice)
        for kind, sign in signs.items():
            if kind not in self.warnings:
                self.warnings[kind] = f"step {self.done}: {sign}"
                say(f"warning: {self.warnings[kind]}")
        for callback in callbacks:
            callback(self.done, self.values)

    def _since_record(self) -> int:
        """Steps since the last log record, this one included."""
        return (self.done - 1) % self.config.log_every + 1

    def save(self) -> None:
        """Write a snapshot to go on from."""
        save_snapshot(
            self.folder / SNAPSHOT_FOLDER,
            self.method,
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
                "best": {"step": self.best.step, "loss": self.best.loss if self.best.tensors else None},
            },
            self.best.tensors,
        )

    def restore(self) -> None:
        """Take up the snapshot in the run folder; `UserError` if it is of another run."""
        values, tensors = load_snapshot(self.folder / SNAPSHOT_FOLDER, self.method, self.optimiser)
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
        self.best.restore(**values["best"], tensors=tensors)


def new_method(config: PretrainConfig, size: tuple[int, int]) -> Method:
    """An untrained encoder for frames of `size` (height, width) in its method, weights drawn by the seed."""
    settings = EncoderConfig.for_images(
        *size,
        num_keypoints=config.num_keypoints,
        gamma=config.gamma,
        status_slope=config.status_slope,
        preprocessing=config.preprocessing,
        region=config.region,
        **config.loss.encoder_settings(),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return config.loss.build(KeypointEncoder(settings)).to(config.device)


def learning_rate(step: int, config: PretrainConfig) -> float:
    """Of a step, counted from 1: a linear warm-up under a cosine that falls to `final_rate`."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / config.steps))
    warm = min(1.0, step / config.warmup) if config.warmup else 1.0
    return config.learning_rate * warm * (config.final_rate + (1 - config.final_rate) * cosine)


def evaluate_clips(
    method: Method, clips: Clips, config: PretrainConfig
) -> tuple[Keypoints, dict[str, Tensor]]:
    """Keypoints of clips, in the coordinates of the videos, and the terms of their loss."""
    kind = torch.device(config.device).type
    clips = Clips(
        clips.frames.to(config.device, non_blocking=True),
        None if clips.entropy is None else clips.entropy.to(config.device),
        clips.back.to(config.device),
        {name: value.to(config.device) for name, value in clips.extra.items()},
    )
    with torch.autocast(kind, torch.bfloat16, enabled=config.precision == "bfloat16"):
        found, more = method.see(clips.frames.flatten(0, 1))
    clip = clips.frames.shape[:2]
    placed = Keypoints(*(part.view(*clip, *part.shape[1:]) for part in found[:3]))
    terms = method.loss(clips._replace(extra={**clips.extra, **more}), placed)
    return placed._replace(coordinates=clips.in_video(placed.coordinates)), terms


@torch.no_grad()
def validate(method: Method, pairs: VideoPairs, config: PretrainConfig) -> dict[str, float]:
    """Loss terms and failure numbers of up to 200 held-out pairs, with the encoder's inference settings."""
    rng = np.random.default_rng([config.seed, 0])  # steps are counted from 1
    count = 0
    totals: dict[str, float] = {}
    for part in pairs.spread(200):
        part = part._replace(extra=method.extra(len(part.frames), rng))
        keypoints, terms = evaluate_clips(method, part, config)
        for name, value in _numbers(keypoints, terms).items():
            totals[name] = totals.get(name, 0.0) + value * len(part.frames)
        count += len(part.frames)
    return {name: total / count for name, total in totals.items()}


def _numbers(keypoints: Keypoints, terms: dict[str, Tensor]) -> dict[str, float]:
    values = {name: term.item() for name, term in terms.items()}
    with torch.no_grad():
        return values | measure(keypoints.coordinates, keypoints.status, keypoints.peaks)


def _lasting(config: PretrainConfig) -> dict[str, Any]:
    """The settings that a resumed run must share with the one it goes on with."""
    free = ("out", "overwrite", "resume", "save_every", "device", "cache", "broken")
    return {name: value for name, value in dataclasses.asdict(config).items() if name not in free}
