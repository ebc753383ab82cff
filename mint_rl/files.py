"""Writing files so that an interruption never leaves half of one, and nothing that was there is lost."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mint_rl.errors import UserError


@contextmanager
def atomic_path(target: str | Path, option: str = "--out") -> Iterator[Path]:
    """Yield a temporary path beside `target`; rename it to `target` when the block ends without an error.

    The temporary name keeps the suffix, so that libraries which choose a format by it still work.
    option: what chooses another folder, see `writable_folder`.
    Raises `UserError` if the folder cannot be written.
    """
    target = Path(target)
    writable_folder(target.parent, option)
    handle, name = tempfile.mkstemp(prefix=f".{target.stem}-", suffix=target.suffix, dir=target.parent)
    os.close(handle)
    # mkstemp makes the file private; give the result the permissions that open() would have given it.
    umask = os.umask(0)
    os.umask(umask)
    os.chmod(name, 0o666 & ~umask)
    temporary = Path(name)
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(target: str | Path, text: str) -> None:
    """Write UTF-8 text atomically (see `atomic_path`)."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def writable_folder(folder: str | Path, option: str = "--out") -> Path:
    """Make `folder` if it is missing and return it; `UserError` if it is a file or cannot be written.

    option: what chooses another folder on the command line, for the message.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".write-test-"):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(
            f"cannot write to the folder '{folder}': {reason}; choose another with {option}"
        ) from error
    return folder


def new_folder(folder: Path) -> Path:
    """Make `folder`, or `folder`-2, -3, … if that is taken, and return it."""
    taken = 1
    candidate = folder
    while candidate.exists():
        taken += 1
        candidate = folder.with_name(f"{folder.name}-{taken}")
    return writable_folder(candidate)


def cache_folder(name: str) -> Path:
    """mint-rl/`name` in the user's cache folder (XDG_CACHE_HOME or ~/.cache), whether it exists or not."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(home) / "mint-rl" / name
