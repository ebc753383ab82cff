"""What the README shows works as it is written."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("code", _blocks("python"))
def test_python_examples_print_what_they_say(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code, "README.md", "exec"), {})  # our own README, not a user's file
    promised = re.findall(r"print\(.*\)  # (.*)", code)
    assert promised
    assert capsys.readouterr().out.split("\n")[:-1] == promised


def test_every_command_is_a_valid_configuration() -> None:
    from mint_rl.cli import VERBS, main

    commands = [line for block in _blocks("sh") for line in block.splitlines() if line.startswith("mint-rl ")]
    assert len(commands) >= 5
    before = dict(VERBS)
    try:
        for name, verb in before.items():
            VERBS[name] = type(verb)(**{**vars(verb), "run": lambda config: 0})
        for command in commands:
            assert main(shlex.split(command, comments=True)[1:]) == 0, command
    finally:
        VERBS.update(before)


def test_every_make_target_and_every_path_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", "\n".join(_blocks("sh")), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for path in re.findall(r"\((docs/[^)#]+)[^)]*\)", README) + re.findall(
        r"`((?:mint_rl|benchmarks)/[^`]*)`", README
    ):
        assert (ROOT / path).exists(), path
