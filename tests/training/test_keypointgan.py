"""`mint-rl pretrain method=keypointgan` for a few steps, stopped and gone on with."""

from __future__ import annotations

import dataclasses
import os
import signal
from pathlib import Path

import numpy as np

from mint_rl.keypoints.pretrained import load_encoder
from mint_rl.training.configuration import load_config
from mint_rl.training.pretrain import pretrain


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    words = ["method=keypointgan", "frames=80", "steps=6", "pairs=2", "log_every=1", "save_every=1"]
    words += ["loss.regressor_steps=2", "loss.adversarial_steps=1", "validate_every=3"]
    whole = load_config("pretrain", [*words, f"out='{tmp_path / 'run'}'"])
    pretrain(whole, say=lambda line: None)
    first = (tmp_path / "run" / "model.safetensors").read_bytes()

    def press_ctrl_c(step: int, values: dict[str, float]) -> None:
        if step == 4:
            os.kill(os.getpid(), signal.SIGINT)

    again = dataclasses.replace(whole, overwrite=True)
    assert pretrain(again, [press_ctrl_c], say=lambda line: None).interrupted
    resumed = pretrain(dataclasses.replace(whole, resume=True), say=lambda line: None)
    assert (resumed.steps, resumed.interrupted) == (6, False)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == first
    assert load_encoder(tmp_path / "run").encode(np.zeros((96, 96, 3), np.uint8)).shape == (7, 3)
