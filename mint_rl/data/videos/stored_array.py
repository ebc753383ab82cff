"""Arrays on disk that come into memory in parts: .npy files, written whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import mmap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mint_rl.errors import UserError
from mint_rl.files import atomic_path

CACHE_OPTION = "--cache"  # chooses another folder on the command line
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class StoredArray:
    """The array of a .npy file; indexing reads what the index asks for, and nothing else.

    The file is mapped for the time of one access, so that thousands of arrays take neither memory nor file
    handles. What comes out may be written to; the file stays as it is. Raises `ValueError` for a file that is
    not a whole .npy file of plain numbers, and `OSError` for one that cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            if version != (1, 0):
                raise ValueError(f"'{path}' is a .npy file of version {version}")
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
            self._offset = file.tell()
        self.shape, self.dtype = tuple(shape), np.dtype(dtype)
        if fortran or self.dtype.hasobject or self.dtype.kind not in "uif":
            raise ValueError(f"'{path}' does not hold numbers in rows")
        whole = self._offset + self.dtype.itemsize * int(np.prod(self.shape))
        if path.stat().st_size != whole:
            raise ValueError(f"'{path}' is {path.stat().st_size} bytes long, not {whole}")

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, key: Any) -> NDArray[Any]:
        try:
            with self.path.open("rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        except (OSError, ValueError) as error:
            raise UserError(
                f"the cached file '{self.path}' can no longer be read ({error}): start again, and leave the "
                "cache alone meanwhile"
            ) from error
        part: NDArray[Any] = np.ndarray(self.shape, self.dtype, mapped, self._offset)[key]
        return part

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self[:], dtype)


def store_array(path: Path, parts: Iterable[NDArray[Any]]) -> str:
    """Write `parts`, one after the other along their first axis, as one .npy file; at least one part.

    The file appears whole or not at all, and at most one part is in memory. Returns the SHA-256 of the
    array's bytes. Raises `UserError` for a full disk or a folder that cannot be written. What the iteration
    raises passes through, unless it is an `OSError`.
    """
    digest = hashlib.sha256()
    shape: tuple[int, ...] = ()
    dtype = np.dtype(np.uint8)
    with (
        writing_to(path.parent),
        atomic_path(path, CACHE_OPTION) as temporary,
        temporary.open("wb") as file,
    ):
        for part in parts:
            if not shape:
                shape, dtype = (0, *part.shape[1:]), part.dtype
                _write_header(file, shape, dtype)
            shape = (shape[0] + len(part), *shape[1:])
            data = np.ascontiguousarray(part).data
            file.write(data)
            digest.update(data)
        file.seek(0)
        # The header leaves room for a longer first axis, so it can be written again when that is known.
        _write_header(file, shape, dtype)
    return digest.hexdigest()


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """`UserError` for an `OSError` inside the block, such as a full disk."""
    try:
        yield
    except OSError as error:
        problem = "its disk is full" if error.errno in _FULL else error.strerror or str(error)
        raise UserError(
            f"cannot write to the cache folder '{folder}': {problem}; make room, take fewer or smaller "
            f"frames, or choose another folder with {CACHE_OPTION}"
        ) from error


def _write_header(file: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    np.lib.format.write_array_header_1_0(
        file, {"shape": shape, "fortran_order": False, "descr": np.lib.format.dtype_to_descr(dtype)}
    )
