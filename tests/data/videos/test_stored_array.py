"""Arrays on disk: what is written comes back, whole or not at all."""

from __future__ import annotations

import hashlib
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mint_rl.data.videos.stored_array import StoredArray, store_array
from mint_rl.errors import UserError

ARRAY = np.random.default_rng(0).integers(0, 256, (1003, 4, 5, 3), np.uint8)


def _write(path: Path) -> StoredArray:
    store_array(path, (ARRAY[start : start + 10] for start in range(0, len(ARRAY), 10)))
    return StoredArray(path)


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    stored = _write(tmp_path / "a.npy")
    assert (stored.shape, stored.dtype, stored.ndim, len(stored)) == (ARRAY.shape, np.uint8, 4, 1003)
    np.testing.assert_array_equal(stored[998:1000], ARRAY[998:1000])
    np.testing.assert_array_equal(stored[7], ARRAY[7])
    np.testing.assert_array_equal(np.asarray(stored), ARRAY)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), ARRAY)  # an ordinary .npy file
    part = stored[:3]
    part[:] = 0
    np.testing.assert_array_equal(stored[:3], ARRAY[:3])  # which writing to a part does not change


def test_the_digest_is_that_of_the_bytes(tmp_path: Path) -> None:
    digest = store_array(tmp_path / "a.npy", [ARRAY[:3], ARRAY[3:]])
    assert digest == hashlib.sha256(ARRAY.tobytes()).hexdigest()


@pytest.mark.parametrize("damage", ["cut", "longer", "no header", "objects"])
def test_what_is_not_a_whole_array_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.npy"
    _write(path)
    content = path.read_bytes()
    if damage == "objects":
        np.save(path, np.array([{}]), allow_pickle=True)
    else:
        path.write_bytes({"cut": content[:-1], "longer": content + b"0", "no header": b"hello"}[damage])
    with pytest.raises(ValueError, match=r"a\.npy|magic"):
        StoredArray(path)


def test_an_error_while_writing_leaves_nothing(tmp_path: Path) -> None:
    def parts() -> Iterator[np.ndarray]:
        yield ARRAY[:5]
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        store_array(tmp_path / "a.npy", parts())
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    """The system's limit on a file's size stands for the disk: writing beyond it fails in the same way."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(UserError, match=r"its disk is full; make room.*--cache"):
            _write(tmp_path / "a.npy")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_vanishes_is_said(tmp_path: Path) -> None:
    stored = _write(tmp_path / "a.npy")
    stored.path.unlink()
    with pytest.raises(UserError, match=r"a\.npy' can no longer be read"):
        stored[0]


def test_many_arrays_take_no_file_handles(tmp_path: Path) -> None:
    stored = _write(tmp_path / "a.npy")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 8, limits[1]))
    try:
        parts = [np.array(StoredArray(stored.path)[number]) for number in range(100)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    np.testing.assert_array_equal(parts, ARRAY[:100])
