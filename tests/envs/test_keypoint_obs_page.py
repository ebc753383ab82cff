"""The page on KeypointObs: its examples print what they say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import mint_rl.envs.magical  # noqa: F401  # registers the environments

PAGE = (Path(__file__).parents[2] / "docs" / "keypoint_obs.md").read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore:KeypointObs squeezes")
def test_its_examples_print_what_they_say(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pygame", reason="pygame is not installed")
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
    names: dict[str, Any] = {}
    exec(compile(code, "keypoint_obs.md", "exec"), names)  # our own page, not a user's file
    promised = re.findall(r"print\(.*\)  # (.*)", code)
    assert len(promised) == 3
    assert capsys.readouterr().out.splitlines() == promised
