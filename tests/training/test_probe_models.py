"""Probes: they fit what they should, and are tuned on what they are told to be tuned on."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mint_rl.training.probe_models import PROBES, Split, linear_probe, network_probe


def _split(rows: int, features: int, noise: float, seed: int = 0) -> tuple[Split, NDArray[np.float32]]:
    """Targets that are linear in the first three of the features, and what the test rows should give."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows + 80, features)).astype(np.float32)
    weights = np.zeros((features, 2))
    weights[:3] = [[1.0, 0.0], [-2.0, 0.5], [0.0, 3.0]]
    y = (x @ weights + [5.0, -1.0] + noise * rng.normal(size=(rows + 80, 2))).astype(np.float32)
    return Split(x[:rows], y[:rows], x[rows:-40], y[rows:-40], x[-40:]), y[-40:]


@pytest.mark.parametrize(("rows", "features"), [(60, 8), (30, 90)])
def test_the_linear_probe_is_ridge_regression_with_the_best_tuned_penalty(rows: int, features: int) -> None:
    """Against the normal equations, solved for every penalty."""
    split, _ = _split(rows, features, noise=1.0)
    x, y = split.inputs.astype(float), split.targets.astype(float)
    centred = x - x.mean(0)
    solutions = []
    for exponent in range(-2, 13):
        gram = centred.T @ centred + 10 ** (exponent / 2) * np.eye(features)
        solutions.append(np.linalg.solve(gram, centred.T @ (y - y.mean(0))))
    expected = np.empty((40, 2))
    for target in range(2):
        wrong = [
            ((split.tuning_inputs - x.mean(0)) @ w[:, target] + y[:, target].mean())
            - split.tuning_targets[:, target]
            for w in solutions
        ]
        best = solutions[int(np.argmin([(error**2).mean() for error in wrong]))]
        expected[:, target] = (split.test_inputs - x.mean(0)) @ best[:, target] + y[:, target].mean()
    np.testing.assert_allclose(linear_probe(split), expected, rtol=1e-3, atol=1e-3)


def test_what_inputs_do_not_tell_is_answered_with_the_mean() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(180, 20)).astype(np.float32), rng.normal(size=(180, 1)).astype(np.float32)
    split = Split(x[:60], y[:60], x[60:120], y[60:120], x[120:])
    assert np.abs(linear_probe(split) - y[:60].mean()).max() < 0.2


def test_the_network_sees_what_is_not_linear() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (900, 2)).astype(np.float32)
    y = 2 * x[:, :1] * x[:, 1:]
    split = Split(x[:600], y[:600], x[600:700], y[600:700], x[700:])
    wrong = {name: np.abs(probe(split, 0) - y[700:]).mean() for name, probe in PROBES.items()}
    assert wrong["network"] < 0.1 * wrong["linear"]
    np.testing.assert_array_equal(network_probe(split, 0), network_probe(split, 0))
