"""Learning curves from a log that may have been cut off."""

import json
from pathlib import Path

import cv2
import pytest

from mint_rl.errors import UserError
from mint_rl.viz.plots import plot_curves, read_log


def test_a_cut_last_line_is_left_out(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "lo')
    assert read_log(log) == [{"step": 1, "loss": 2.0}]


def test_what_is_known_of_validation_alone_has_a_panel_of_its_own(tmp_path: Path) -> None:
    """A short run has one record, with a score on validation seeds and none in training."""
    log = tmp_path / "log.jsonl"
    log.write_text('{"step": 60, "loss": 2.5, "valid_loss": 2.6, "valid_score": 0.5}\n')
    picture = cv2.imread(str(plot_curves(log, tmp_path / "curves.png")))
    assert picture.shape[1] > 1.5 * picture.shape[0]  # two panels side by side


def test_curves_are_drawn(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    records = [{"step": i, "loss": 1 / (i + 1), "valid_loss": 2 / (i + 1), "note": "text"} for i in range(5)]
    log.write_text("\n".join(map(json.dumps, records)))
    picture = cv2.imread(str(plot_curves(log, tmp_path / "curves.png", "a run")))
    # One panel; training and validation are drawn in different colours (blue and orange in BGR).
    assert picture.shape[0] > 100
    assert ((picture[:, :, 0] > 150) & (picture[:, :, 2] < 60)).sum() > 20
    assert ((picture[:, :, 2] > 200) & (picture[:, :, 0] < 60)).sum() > 20


def test_a_missing_log_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no log at '.*log\.jsonl'"):
        plot_curves(tmp_path / "log.jsonl", tmp_path / "curves.png")
