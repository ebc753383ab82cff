"""Training a model of keypoint dynamics: through its own predictions, stopped by held-out videos."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from mint_rl.errors import UserError
from mint_rl.policies.dynamics import ACTIVE, JUMP, KeypointDynamics
from mint_rl.training.best_checkpoint import BestCheckpoint
from mint_rl.training.dynamics_config import DynamicsConfig
from mint_rl.training.dynamics_data import Batch, KeypointVideo, Windows
from mint_rl.training.interruption import Interruption
from mint_rl.training.run_log import RunLog
from mint_rl.training.weight_average import WeightAverage

Callback = Callable[[int, dict[str, float]], None]

_WARMUP = 100  # steps over which the learning rate grows
_STATUS_WEIGHT = 0.5
_VALIDATION_WINDOWS, _VALIDATION_BATCH = 512, 64


def rollout_losses(predicted: Tensor, batch: Batch, scale: Tensor) -> dict[str, Tensor]:
    """Errors of predicted keypoints (B, S, K, 3): of their places, of their status, and the sum `loss`.

    Places are compared in units of `scale` (2,), with Huber's loss, for as long as a keypoint is followed.
    The status is a probability; it is compared with whether the encoder's is above one half.
    """
    kept = followed(batch.history[:, -1], batch.targets) & batch.known[..., None]
    error = (predicted[..., :2] - batch.targets[..., :2]) / scale
    huber = functional.huber_loss(error, torch.zeros_like(error), reduction="none").sum(dim=-1)
    place = (huber * kept).sum() / kept.sum().clamp(min=1)
    # Not PyTorch's binary cross-entropy, which raises an error of its own where training has diverged.
    status = predicted[..., 2]
    likely = torch.where(batch.targets[..., 2] > ACTIVE, status, 1 - status)
    entropy = -likely.clamp(min=1e-12).log().mean(dim=-1)
    status_loss = (entropy * batch.known).sum() / batch.known.sum().clamp(min=1)
    return {"loss": place + _STATUS_WEIGHT * status_loss, "place_loss": place, "status_loss": status_loss}


def followed(now: Tensor, later: Tensor) -> Tensor:
    """Whether each keypoint is still what it was, (B, S, K) bool: active all along, and it never jumped.

    now (B, K, ≥3), later (B, S, K, 3). One that leaps by more than `JUMP` from a frame to the next has
    not moved: the encoder found something else.
    """
    path = torch.cat([now[:, None, :, :3], later], dim=1)
    active = path[..., 2] > ACTIVE
    near = (path[:, 1:, :, :2] - path[:, :-1, :, :2]).norm(dim=-1) < JUMP
    kept: Tensor = (active[:, :-1] & active[:, 1:] & near).long().cumprod(dim=1).bool()
    return kept


class DynamicsTraining:
    """One run of training.

    Args:
        config: The run.
        model: What is trained, in place, on the configured device.
        training, validation: Videos to learn from, and to stop by.
    """

    def __init__(
        self,
        config: DynamicsConfig,
        model: KeypointDynamics,
        training: Sequence[KeypointVideo],
        validation: Sequence[KeypointVideo],
    ) -> None:
        self.config, self.model = config, model
        self.windows = Windows(training, config.history)
        self.held_out = Windows(validation, config.history)
        model.fit(self.windows.keypoints.to(config.device), self.windows.movements().to(config.device))
        self.optimiser = torch.optim.AdamW(model.parameters(), weight_decay=config.weight_decay)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.average = WeightAverage(model, config.average)
        self.best = BestCheckpoint()
        self.done = 0
        self.seconds = 0.0  # CPU time

    def train(self, folder: Path, callbacks: Sequence[Callback] = ()) -> bool:
        """Make the steps, logged in the folder; returns whether Ctrl-C ended them early.

        The model is left with the averaged weights of the step at which the held-out videos were predicted
        best. Raises `UserError` if the loss is no longer a number.
        """
        from tqdm import tqdm

        config = self.config
        sums: dict[str, float] = {}
        waiting = summed = 0
        with (
            Interruption() as stop,
            RunLog(folder) as log,
            tqdm(total=config.steps, desc="training", unit="step", mininterval=1.0) as bar,
        ):
            while self.done < config.steps and waiting < config.patience and not stop.asked:
                clock = time.process_time()
                for name, value in self.step().items():
                    sums[name] = sums.get(name, 0.0) + value
                self.done, summed = self.done + 1, summed + 1
                bar.update()
                if self.done % config.validate_every == 0 or self.done == config.steps:
                    values = {name: total / summed for name, total in sums.items()}
                    sums, summed = {}, 0
                    with self.average.applied():
                        values |= self.validate()
                        better = self.best.offer(self.model, self.done, values["valid_loss"])
                    waiting = 0 if better else waiting + 1
                    log.record(self.done, **values)
                    bar.set_postfix(loss=values["loss"], valid_loss=values["valid_loss"], refresh=False)
                    for callback in callbacks:
                        callback(self.done, values)
                self.seconds += time.process_time() - clock
        self.model.load_state_dict(self.best.tensors or self.average.tensors)
        self.model.eval()
        return stop.asked

    @property
    def kept_step(self) -> int:
        """The step whose weights are kept."""
        return self.best.step or self.done

    def step(self) -> dict[str, float]:
        """One step of the optimiser; its losses."""
        config = self.config
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.done + 1, config)
        drawn = torch.randint(len(self.windows), (config.batch,), generator=self.generator)
        losses = self._losses(self.windows, drawn)
        numbers = {name: loss.item() for name, loss in losses.items()}
        if not math.isfinite(numbers["loss"]):
            raise UserError(
                f"training diverged: the loss of step {self.done + 1} is {numbers['loss']}; lower "
                f"learning_rate, now {config.learning_rate:g}, or gradient_clip"
            )
        self.optimiser.zero_grad()
        torch.autograd.backward(losses["loss"])
        nn.utils.clip_grad_norm_(self.model.parameters(), config.gradient_clip)
        self.optimiser.step()
        self.average.update()
        return numbers

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """The losses on windows of the held-out videos, evenly over these, as `valid_…`."""
        number = min(len(self.held_out), _VALIDATION_WINDOWS)
        chosen = torch.linspace(0, len(self.held_out) - 1, number).round().long()
        totals: dict[str, float] = {}
        for part in torch.split(chosen, _VALIDATION_BATCH):
            for name, value in self._losses(self.held_out, part).items():
                totals[name] = totals.get(name, 0.0) + value.item() * len(part)
        return {f"valid_{name}": total / number for name, total in totals.items()}

    def _losses(self, windows: Windows, chosen: Tensor) -> dict[str, Tensor]:
        batch = windows.batch(chosen, self.config.unroll).to(self.config.device)
        predicted = self.model.roll_out(batch.history, self.config.unroll, batch.actions)
        return rollout_losses(predicted, batch, self.model.scale)


def learning_rate(step: int, config: DynamicsConfig) -> float:
    """Of a step, counted from 1: a linear warm-up, and a cosine down to 0 at the last step."""
    warmup = min(1.0, step / _WARMUP)
    return config.learning_rate * warmup * 0.5 * (1 + math.cos(math.pi * (step - 1) / config.steps))
