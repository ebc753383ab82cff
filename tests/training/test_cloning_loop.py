"""The loop of cloning: rate, stopping, what is kept, and resuming to the last bit."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from mint_rl.envs.keypoint_obs import keypoint_space
from mint_rl.errors import UserError
from mint_rl.policies.cnn import CNNConfig, CNNPolicy
from mint_rl.policies.mlp import MLPConfig, MLPKeypointPolicy
from mint_rl.training.bc_config import BCConfig
from mint_rl.training.cloning_data import (
    CloningData,
    following_indices,
    history_indices,
    later_indices,
)
from mint_rl.training.cloning_loop import CloningRun, learning_rate
from mint_rl.training.run_log import RunLog

K = 4


def data(frames: torch.Tensor, chunk: int = 1) -> CloningData:
    """Four episodes of 16 steps, the last one held out; the action says where the first keypoint is."""
    lengths = [16] * 4
    seen = frames.flatten(1)[:, 0].float()
    actions = (18 * (seen - seen.min()) / (seen.max() - seen.min() + 1e-6)).long()
    return CloningData(
        frames, actions, history_indices(lengths, 2), later_indices(lengths, chunk),
        following_indices(lengths), torch.arange(48), torch.arange(48, 64), torch.full((64, 4), torch.nan),
    )  # fmt: skip


def keypoint_run(folder: Path, chunk: int = 1, **options: Any) -> CloningRun:
    config = BCConfig(
        **{
            "policy": MLPConfig(hidden=16, chunk=chunk),
            "steps": 12,
            "batch": 8,
            "log_every": 3,
            "history": 2,
            **options,
        }
    )
    torch.manual_seed(0)
    space = gym.vector.utils.batch_space(keypoint_space(K), 2)
    policy = MLPKeypointPolicy(space, spaces.Discrete(18), config=config.policy)
    frames = torch.rand(64, K, 3, generator=torch.Generator().manual_seed(1))
    return CloningRun(config, folder, policy, data(frames, chunk), fingerprint="these")


def train(run: CloningRun, *options: Any) -> bool:
    with RunLog(run.folder) as log:
        for record in run.records:
            log.record(**record)
        return run.train(log, *options)


def weights(run: CloningRun) -> list[torch.Tensor]:
    return [value.clone() for value in run.modules.state_dict().values()]


def logged(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def press_at(wanted: int) -> Any:
    def press(step: int, values: dict[str, float]) -> None:
        if step == wanted:
            signal.raise_signal(signal.SIGINT)

    return press


def test_the_rate_rises_falls_to_nothing_and_stays_where_training_stops_by_itself() -> None:
    config = BCConfig(policy=MLPConfig(), steps=1000)
    rates = [learning_rate(step, 2.0, config) for step in range(1, 1001)]
    assert rates[0] == pytest.approx(0.02)
    assert rates[99] == max(rates) == 2.0
    assert rates[549] == pytest.approx(1.0, abs=0.01)
    assert rates[-1] == pytest.approx(0.0, abs=1e-9)
    stopping = BCConfig(policy=MLPConfig(), steps=1000, patience=3)
    assert learning_rate(50, 2.0, stopping) == pytest.approx(1.0)
    assert learning_rate(1000, 2.0, stopping) == 2.0


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"average": 0.9},
        {"keep": "loss"},
        {"patience": 50, "keep": "loss"},
        {"chunk": 2, "average": 0.5, "keep": "loss"},
        {"precision": "bfloat16"},
    ],
    ids=str,
)
def test_resuming_changes_nothing(tmp_path: Path, options: dict[str, Any]) -> None:
    whole = keypoint_run(tmp_path / "whole", **options)
    assert not train(whole)
    parts = keypoint_run(tmp_path / "parts", **options)
    assert train(parts, [press_at(6)])
    again = keypoint_run(tmp_path / "parts", **options)
    again.restore()
    assert again.done == 6
    assert not train(again)
    assert all(torch.equal(a, b) for a, b in zip(weights(whole), weights(again), strict=True))
    assert logged(tmp_path / "whole") == logged(tmp_path / "parts")
    for name in ("state.safetensors",):
        written = [(tmp_path / part / "unfinished" / name).read_bytes() for part in ("whole", "parts")]
        assert written[0] == written[1]


def test_a_snapshot_is_written_now_and_then(tmp_path: Path) -> None:
    """What a kill leaves behind goes on to the same end."""
    whole = keypoint_run(tmp_path / "whole", save_every=4)
    train(whole)
    killed = keypoint_run(tmp_path / "killed", save_every=4)

    def kill(step: int, values: dict[str, float]) -> None:
        if step == 9:
            raise MemoryError

    with pytest.raises(MemoryError):
        train(killed, [kill])
    again = keypoint_run(tmp_path / "killed", save_every=4)
    again.restore()
    assert again.done == 8
    train(again)
    assert all(torch.equal(a, b) for a, b in zip(weights(whole), weights(again), strict=True))


def test_another_run_is_not_gone_on_with(tmp_path: Path) -> None:
    train(keypoint_run(tmp_path), [press_at(3)])
    with pytest.raises(UserError, match=r"has learning_rate = 0.001, not 0.1: resume with the same settings"):
        keypoint_run(tmp_path, learning_rate=0.1).restore()
    other = keypoint_run(tmp_path)
    other.fingerprint = "others"
    with pytest.raises(UserError, match="was trained on other demonstrations than these"):
        other.restore()


def test_the_average_is_what_is_validated_and_kept(tmp_path: Path) -> None:
    run = keypoint_run(tmp_path, average=0.9)
    train(run)
    assert run.average is not None
    kept = run.modules.state_dict()
    assert all(torch.equal(kept[name], value) for name, value in run.average.tensors.items())
    assert run.validate() == {name: run.values[name] for name in run.values if name.startswith("valid_")}


def scores(monkeypatch: pytest.MonkeyPatch, values: list[float]) -> None:
    left = iter(values)
    monkeypatch.setattr("mint_rl.training.cloning_loop.validation_score", lambda *_: next(left))


def held_out_losses(monkeypatch: pytest.MonkeyPatch, values: list[float]) -> None:
    left = iter(values)
    monkeypatch.setattr(
        CloningRun, "validate", lambda _: {"valid_action_loss": next(left), "valid_accuracy": 0.5}
    )


def test_training_ends_when_the_score_does_not_rise_and_the_best_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores(monkeypatch, [0.2, 0.6, 0.5, 0.5, 0.9])
    held_out_losses(monkeypatch, [1.0] * 5)
    said: list[str] = []
    seen: dict[int, list[torch.Tensor]] = {}
    run = keypoint_run(tmp_path, steps=100, patience=2, average=0.0)

    def keep(step: int, values: dict[str, float]) -> None:
        seen[step] = weights(run)

    assert not train(run, [keep], said.append)
    assert run.done == 12
    assert run.kept_step == 6
    assert [record["valid_score"] for record in logged(tmp_path)] == [0.2, 0.6, 0.5, 0.5]
    assert all(torch.equal(a, b) for a, b in zip(weights(run), seen[6], strict=True))
    assert said == ["stopped at step 12: nothing better in 2 log records; the weights of step 6 are kept"]


def test_a_lucky_score_does_not_end_training_while_the_held_out_loss_falls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores(monkeypatch, [0.6, 0.5, 0.4, 0.5, 0.5, 0.5])
    held_out_losses(monkeypatch, [1.0, 0.9, 0.8, 0.7, 0.7, 0.7])
    run = keypoint_run(tmp_path, steps=100, patience=2, average=0.0)
    train(run)
    assert run.done == 18
    assert run.kept_step == 3  # what is kept is still what scored best


def test_of_equal_scores_the_lower_loss_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores(monkeypatch, [1.0] * 4)
    run = keypoint_run(tmp_path, keep="score")
    train(run)
    losses = {record["step"]: record["valid_action_loss"] for record in logged(tmp_path)}
    assert run.kept_step == min(losses, key=lambda step: losses[step])


def test_a_loss_that_is_no_number_ends_the_run_in_a_sentence(tmp_path: Path) -> None:
    run = keypoint_run(tmp_path)
    run.data.frames[:, 0, 0] = torch.nan
    with pytest.raises(UserError, match="training diverged: the loss of step 1 is nan; lower learning_rate"):
        train(run)


def test_a_cnn_trains_in_bfloat16_on_changed_pixels(tmp_path: Path) -> None:
    config = BCConfig(
        policy=CNNConfig(width=0.05, rotation=5.0, colour=0.1), steps=3, batch=4, log_every=3, history=2,
        patience=0, precision="bfloat16",
    )  # fmt: skip
    frames = torch.randint(0, 256, (64, 24, 24, 3), dtype=torch.uint8)
    space = spaces.Box(0, 255, (2, 24, 24, 3), np.uint8)
    run = CloningRun(
        config, tmp_path, CNNPolicy(space, spaces.Discrete(18), config=config.policy), data(frames)
    )
    before = weights(run)
    kinds = set()
    run.policy.network.blocks[0].register_forward_hook(lambda *parts: kinds.add(parts[-1].dtype))  # type: ignore[operator]
    train(run)
    assert kinds == {torch.bfloat16}
    assert all(value.dtype != torch.bfloat16 for value in run.modules.state_dict().values())
    assert not torch.equal(before[0], weights(run)[0])
