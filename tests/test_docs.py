"""The pages in docs/ show code that parses, names that exist and commands that are valid."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest

DOCS = sorted((Path(__file__).parents[1] / "docs").glob("*.md"))


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.stem)
def test_python_parses_and_what_it_imports_of_ours_exists(page: Path) -> None:
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mint_rl"):
                module = importlib.import_module(node.module or "")
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.stem)
def test_commands_are_valid(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mint_rl.cli import VERBS, main

    for name, verb in VERBS.items():
        monkeypatch.setitem(VERBS, name, type(verb)(**{**vars(verb), "run": lambda config: 0}))
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    for line in lines:
        if line.startswith("mint-rl "):
            assert main(shlex.split(line, comments=True)[1:]) == 0, line


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
