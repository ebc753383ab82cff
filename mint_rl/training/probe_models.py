"""Probes: small regressions that show what some features say about a quantity (Alain and Bengio, 2016).

A linear probe tells what can be read off directly, a small network what is there for a policy to use. Both
are fitted on some episodes, tuned on others and asked about further ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

Rows = NDArray[np.float32]


class Split(NamedTuple):
    """What a probe learns from, what it is tuned on, and what it is asked about."""

    inputs: Rows  # (N, F)
    targets: Rows  # (N, Q)
    tuning_inputs: Rows  # (M, F)
    tuning_targets: Rows  # (M, Q)
    test_inputs: Rows  # (L, F)


Probe = Callable[[Split, int], Rows]

_PENALTIES = tuple(10.0 ** (exponent / 2) for exponent in range(-2, 13))  # 0.1 to 10⁶
_HIDDEN = 128
_STEPS = 600
_BATCH = 128
_LOOK_EVERY = 50


def linear_probe(split: Split, seed: int = 0) -> Rows:
    """Ridge regression: min Σ‖y − Wx − b‖² + λ‖W‖², λ chosen for each target on the tuning rows. (L, Q).

    The seed is not used: the solution is unique.
    """
    x, y, x_tuning, y_tuning, x_test = (torch.from_numpy(part).double() for part in split)
    x_mean, y_mean = x.mean(0), y.mean(0)
    x, y = x - x_mean, y - y_mean
    wide = x.shape[1] > x.shape[0]
    # W = (XᵀX + λ)⁻¹Xᵀy = Xᵀ(XXᵀ + λ)⁻¹y: the eigenvectors of the smaller matrix serve every λ.
    values, vectors = torch.linalg.eigh(x @ x.T if wide else x.T @ x)
    moments = vectors.T @ (y if wide else x.T @ y)

    basis = x.T @ vectors if wide else vectors
    tuning, test = (x_tuning - x_mean) @ basis, (x_test - x_mean) @ basis
    scale = values.clamp(min=0)[:, None]
    errors = torch.stack(
        [
            (tuning @ (moments / (scale + penalty)) + y_mean - y_tuning).square().mean(0)
            for penalty in _PENALTIES
        ]
    )
    chosen = torch.tensor(_PENALTIES, dtype=torch.float64)[errors.argmin(0)]
    predicted: Rows = (test @ (moments / (scale + chosen)) + y_mean).float().numpy()
    return predicted


def network_probe(split: Split, seed: int = 0) -> Rows:
    """A network with two hidden layers of 128, kept at the step at which the tuning rows fit best. (L, Q)."""
    x, y, x_tuning, y_tuning, x_test = (torch.from_numpy(part).float() for part in split)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Linear(x.shape[1], _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, _HIDDEN), nn.ReLU(),
            nn.Linear(_HIDDEN, y.shape[1]),
        )  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=_STEPS, pct_start=0.1)
    best, predicted = float("inf"), y.mean(0).expand(len(x_test), -1)
    for step in range(1, _STEPS + 1):
        rows = torch.randint(len(x), (_BATCH,), generator=generator)
        optimiser.zero_grad()
        functional.mse_loss(network(x[rows]), y[rows]).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        if step % _LOOK_EVERY == 0:
            with torch.no_grad():
                error = float(functional.mse_loss(network(x_tuning), y_tuning))
                if error < best:
                    best, predicted = error, network(x_test)
    return predicted.numpy()


PROBES: dict[str, Probe] = {"linear": linear_probe, "network": network_probe}
