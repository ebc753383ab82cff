"""Atomic files: an interruption leaves what was there."""

import os
from pathlib import Path

import pytest

from mint_rl.errors import UserError
from mint_rl.files import atomic_path, new_folder, writable_folder, write_text


def test_a_failure_while_writing_keeps_the_old_file_and_leaves_no_other(tmp_path: Path) -> None:
    target = tmp_path / "config.json"
    target.write_text("old")

    def fail() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["config.json"]


def test_missing_folders_are_made_and_the_permissions_are_the_usual_ones(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "note.txt"
    write_text(target, "σ = 8")
    plain = tmp_path / "plain.txt"
    plain.write_text("")
    assert target.read_text(encoding="utf-8") == "σ = 8"
    assert target.stat().st_mode == plain.stat().st_mode


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(UserError, match=r"cannot write to the folder '.*taken': .*choose another"):
        writable_folder(tmp_path / "taken")


def test_a_new_folder_never_is_one_that_exists(tmp_path: Path) -> None:
    made = [new_folder(tmp_path / "runs" / "bc-seed0").name for _ in range(3)]
    assert made == ["bc-seed0", "bc-seed0-2", "bc-seed0-3"]
