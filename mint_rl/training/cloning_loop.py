"""The loop of behaviour cloning, for every policy: step after step, logged, validated and resumable."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.policies.base import ImitationPolicy
from mint_rl.policies.cnn import CNNConfig
from mint_rl.training.bc_config import (
    BCConfig,
    average_of,
    keep_of,
    patience_of,
    precision_of,
    steps_of,
)
from mint_rl.training.best_checkpoint import BestCheckpoint
from mint_rl.training.cloning_data import Batch, CloningData
from mint_rl.training.cloning_losses import change_images, cloning_losses, jitter, perceive
from mint_rl.training.evaluate import validation_score
from mint_rl.training.interruption import Interruption
from mint_rl.training.run_log import RunLog
from mint_rl.training.snapshot import load_snapshot, save_snapshot
from mint_rl.training.weight_average import WeightAverage

SNAPSHOT_FOLDER = "unfinished"

Callback = Callable[[int, dict[str, float]], None]

_WARMUP = 0.1  # share of the steps in which the learning rate grows, or these if training stops by itself:
_WARMUP_STEPS = 100
_VALIDATION_BATCH = 256
_STATISTICS_FRAMES = 2000  # from which inputs are standardised when the encoder changes with training


class CloningRun:
    """Training of one policy on one set of data, and what a snapshot has to hold of it.

    Args:
        config: The run.
        folder: Where its snapshots go, in `unfinished/`.
        policy: What is trained, in place, on the configured device. Its `context` is what rollouts need.
        data: What it is trained on: keypoints or, for the CNN agent and with an `encoder`, frames.
        encoder: The encoder that is trained along, in place; None where it is frozen or there is none.
        variants: Where rollouts on validation seeds are played: the variants of the demonstrations.
        fingerprint: A digest of the demonstrations, by which a snapshot is known as theirs.
        previous: The round before, in DAgger, whose log and CPU seconds this one goes on with.
    """

    def __init__(
        self,
        config: BCConfig,
        folder: Path,
        policy: ImitationPolicy,
        data: CloningData,
        encoder: KeypointEncoder | None = None,
        variants: Sequence[str] = (),
        fingerprint: str = "",
        previous: CloningRun | None = None,
    ) -> None:
        self.config, self.folder, self.policy, self.data = config, folder, policy, data
        self.encoder, self.variants, self.fingerprint = encoder, variants, fingerprint
        self.pixels = data.frames.ndim == 4
        own: list[nn.Module | None] = [policy.network, policy.action_net, policy.later_net]
        parts = nn.ModuleList(part for part in own if part is not None)
        self.modules = nn.ModuleDict({"policy": parts} | ({} if encoder is None else {"encoder": encoder}))
        groups: list[dict[str, Any]] = [{"params": parts.parameters(), "peak": config.learning_rate}]
        if encoder is not None:
            encoder.requires_grad_()
            groups.append({"params": encoder.parameters(), "peak": config.encoder_learning_rate})
        self.optimiser = torch.optim.AdamW(groups, weight_decay=config.weight_decay, fused=True)
        self.generator = torch.Generator().manual_seed(config.seed)
        policy.network.fit_inputs(self._frames_to_fit())
        decay = average_of(config)
        self.average = WeightAverage(self.modules, decay) if decay else None
        self.best = BestCheckpoint()
        self.waiting = 0  # log records in a row that brought nothing better
        self.done = 0
        self.sums: dict[str, float] = {}  # of the steps since the last log record
        self.values: dict[str, float] = {}  # the last log record
        self.number = 0  # of the round, from 0
        self.before = 0  # steps of earlier rounds
        self.seconds = 0.0  # of CPU time, in all rounds
        self.records: list[dict[str, float]] = []
        if previous is not None:
            self.number, self.before = previous.number + 1, previous.before + previous.done
            self.seconds, self.records = previous.seconds, previous.records

    def train(
        self, log: RunLog, callbacks: Sequence[Callback] = (), say: Callable[[str], None] = print
    ) -> bool:
        """Make the steps that are left; returns whether Ctrl-C ended them early.

        Afterwards the policy has the weights that are kept, and a snapshot has those of the last step.
        """
        from tqdm import tqdm

        config, steps = self.config, steps_of(self.config)
        round_name = f", round {self.number} of {config.dagger}" if config.dagger else ""
        with (
            Interruption() as stop,
            tqdm(
                total=steps, initial=self.done, desc=f"training{round_name}", unit="step", mininterval=1.0
            ) as bar,
        ):
            while self.done < steps and not self.stopped and not stop.asked:
                clock = time.process_time()
                losses = self.step()
                self.done += 1
                for name, value in losses.items():
                    self.sums[name] = self.sums.get(name, 0.0) + value
                bar.update()
                if self.done % config.log_every == 0 or self.done == steps:
                    self.report(log, callbacks)
                    bar.set_postfix(
                        loss=self.values["loss"], valid_accuracy=self.values["valid_accuracy"], refresh=False
                    )
                self.seconds += time.process_time() - clock
                if self.done % config.save_every == 0 and self.done < steps:
                    self.save()
        self.save()
        if self.stopped and self.done < steps:
            say(
                f"stopped at step {self.done}: nothing better in {self.waiting} log records; the weights of "
                f"step {self.best.step} are kept"
            )
        self._load_kept()
        return self.done < steps and not self.stopped

    @property
    def stopped(self) -> bool:
        """Whether training has ended because nothing got better."""
        return 0 < patience_of(self.config) <= self.waiting

    @property
    def kept_step(self) -> int:
        """The step whose weights are kept."""
        return self.best.step or self.done

    def step(self) -> dict[str, float]:
        """One step of the optimiser; its losses."""
        config = self.config
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.done + 1, group["peak"], config)
        self.policy.set_training_mode(True)
        drawn = torch.randint(len(self.data.training), (config.batch,), generator=self.generator)
        losses = self._losses(self.data.training[drawn.to(self.data.training.device)], augment=True)
        numbers = {name: loss.item() for name, loss in losses.items()}
        if not math.isfinite(numbers["loss"]):
            raise UserError(
                f"training diverged: the loss of step {self.done + 1} is {numbers['loss']}; lower "
                f"learning_rate, now {config.learning_rate:g}, or gradient_clip; the log until there is in "
                f"'{self.folder}'"
            )
        self.optimiser.zero_grad()
        torch.autograd.backward(losses["loss"])
        nn.utils.clip_grad_norm_(self.modules.parameters(), config.gradient_clip)
        self.optimiser.step()
        if self.average is not None:
            self.average.update()
        return numbers

    def report(self, log: RunLog, callbacks: Sequence[Callback]) -> None:
        """Log the means since the last record with the losses on held-out demonstrations."""
        averaged = (self.done - 1) % self.config.log_every + 1
        self.values = {name: total / averaged for name, total in self.sums.items()}
        self.sums = {}
        with nullcontext() if self.average is None else self.average.applied():
            self.values |= self.validate()
            self._compare()
        record = {"step": self.before + self.done, **self.values}
        self.records.append(record)
        log.record(**record)  # type: ignore[arg-type]
        for callback in callbacks:
            callback(self.before + self.done, self.values)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """The losses on the held-out demonstrations, as `valid_…`."""
        self.policy.set_training_mode(False)
        totals: dict[str, float] = {}
        for steps in torch.split(self.data.validation, _VALIDATION_BATCH):
            for name, value in self._losses(steps, augment=False).items():
                totals[name] = totals.get(name, 0.0) + value.item() * len(steps)
        return {f"valid_{name}": total / len(self.data.validation) for name, total in totals.items()}

    def save(self) -> None:
        """Write a snapshot to go on from."""
        more = {"generator": self.generator.get_state()}
        more |= {f"best.{name}": tensor for name, tensor in self.best.tensors.items()}
        if self.average is not None:
            more |= {f"average.{name}": tensor for name, tensor in self.average.tensors.items()}
        values = {
            "config": _lasting(self.config),
            "fingerprint": self.fingerprint,
            "round": self.number,
            "done": self.done,
            "before": self.before,
            "waiting": self.waiting,
            "seconds": self.seconds,
            "sums": self.sums,
            "values": self.values,
            "records": self.records,
            "averaged": self.average.steps if self.average is not None else 0,
            "best": {"step": self.best.step, "loss": self.best.loss if self.best.tensors else None},
        }
        save_snapshot(self.folder / SNAPSHOT_FOLDER, self.modules, self.optimiser, values, more)

    def restore(self) -> None:
        """Take up the snapshot in the run folder; `UserError` if it is of another run."""
        values, tensors = load_snapshot(self.folder / SNAPSHOT_FOLDER, self.modules, self.optimiser)
        check_same_run(values, self.config, self.folder)
        if values["fingerprint"] != self.fingerprint:
            raise UserError(
                f"the unfinished run in '{self.folder}' was trained on other demonstrations than these"
            )
        self.number, self.done, self.before = values["round"], values["done"], values["before"]
        self.waiting, self.seconds = values["waiting"], values["seconds"]
        self.sums, self.values, self.records = values["sums"], values["values"], values["records"]
        self.best.restore(**values["best"], tensors=_under(tensors, "best."))
        if self.average is not None:
            self.average.restore(values["averaged"], _under(tensors, "average."))
        self.generator.set_state(tensors["generator"])

    def _losses(self, steps: Tensor, augment: bool) -> dict[str, Tensor]:
        """The losses on the given steps of the data, in the configured precision."""
        config = self.config
        kind, enabled = torch.device(config.device).type, precision_of(config) == "bfloat16"
        with torch.autocast(kind, torch.bfloat16, enabled=enabled):
            return cloning_losses(
                self.policy,
                self._batch(steps, augment),
                config.dynamics_weight,
                config.pose_weight,
                config.idle_weight,
            )

    def _batch(self, steps: Tensor, augment: bool) -> Batch:
        """What the policy sees at these steps, augmented for training."""
        config = self.config
        batch = self.data.batch(steps, next_frames=not self.pixels or self.encoder is not None)
        if self.pixels and augment:
            if isinstance(config.policy, CNNConfig):
                own = config.policy
                batch = change_images(batch, self.generator, own.shift, own.rotation, own.colour)
            else:
                batch = change_images(batch, self.generator, config.shift)
        if self.encoder is not None:
            batch = perceive(batch, self.encoder, config.descriptors)
        if augment and (self.encoder is not None or not self.pixels):
            batch = jitter(batch, config.coordinate_noise, self.generator)
        return batch

    def _compare(self) -> None:
        """Keep the present weights if they are the best so far, by what the configuration compares."""
        keep = keep_of(self.config)
        if keep == "last":
            return
        badness = self.values["valid_action_loss"]
        if keep == "score":
            score = validation_score(self.policy, self.variants, self.config.validation_episodes)
            self.values["valid_score"] = score
            badness = min(badness, 1e3) * 1e-6 - score  # the loss decides between equal scores
        better = self.best.offer(self.modules, self.done, badness)
        # The score of a few rollouts is noisy: while the held-out loss falls, a lucky one ends nothing.
        before = [record["valid_action_loss"] for record in self.records if record["step"] > self.before]
        falling = self.values["valid_action_loss"] < min(before, default=math.inf)
        self.waiting = 0 if better or falling else self.waiting + 1

    def _load_kept(self) -> None:
        if self.best.tensors:
            self.best.load_into(self.modules)
        elif self.average is not None:
            self.modules.load_state_dict(self.average.tensors)
        self.policy.set_training_mode(False)
        if self.encoder is not None:
            self.encoder.requires_grad_(False)

    @torch.no_grad()
    def _frames_to_fit(self) -> Tensor:
        """Frames of the training set as the policy's network sees them, to standardise its inputs by."""
        frames = self.data.frames[self.data.training]
        if self.encoder is None:
            return frames
        some = frames[:: max(1, len(frames) // _STATISTICS_FRAMES)]
        parts = torch.split(some, _VALIDATION_BATCH)
        return torch.cat([self.encoder(part, self.config.descriptors).to_tensor() for part in parts])


def learning_rate(step: int, peak: float, config: BCConfig) -> float:
    """Of a step, counted from 1: a linear warm-up, then a cosine down to 0 at the last step.

    Training that stops by itself has no last step to fall towards: there the rate stays, and the average of
    the weights does what the fall would.
    """
    steps = steps_of(config)
    if patience_of(config):
        return peak * min(1.0, step / _WARMUP_STEPS)
    warmup = max(1, round(_WARMUP * steps))
    if step <= warmup:
        return peak * step / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def check_same_run(values: dict[str, Any], config: BCConfig, folder: Path) -> None:
    """`UserError` if a snapshot's values are those of another configuration."""
    before, now = values.get("config", {}), json.loads(json.dumps(_lasting(config)))
    for name in now:
        if before.get(name) != now[name]:
            raise UserError(
                f"the unfinished run in '{folder}' has {name} = {before.get(name)}, not {now[name]}: resume "
                "with the same settings, or start anew with overwrite=true"
            )


def _lasting(config: BCConfig) -> dict[str, Any]:
    """The settings that a resumed run must share with the one it goes on with."""
    free = (
        "out", "overwrite", "resume", "save_every", "device", "cache", "demos", "variants",
        "evaluation_episodes", "evaluation_seed", "chunk",
    )  # fmt: skip
    return {name: value for name, value in dataclasses.asdict(config).items() if name not in free}


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
