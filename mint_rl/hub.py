"""Checkpoints on the Hugging Face hub, by ids such as "user/name", with the optional huggingface_hub.

Only JSON and safetensors are fetched, so what somebody else has put there is never run. Whoever uploads has
logged in with huggingface_hub's own command.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mint_rl.errors import UserError

_CARD = """---
library_name: mint-rl
tags:
- keypoints
- robotics
---

# {name}

{description}

```python
{code}
```
"""


def is_hub_id(source: str | Path) -> bool:
    """Whether `source` can be an id: two words with one slash between, and no folder's path."""
    return re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", str(source)) is not None


def download(hub_id: str, files: Sequence[str], revision: str | None = None) -> Path:
    """A folder with those of `files` (names or patterns) that the hub has; kept in the hub's own cache.

    revision: a branch, a tag or a commit; by default the newest. Raises `UserError` without
    huggingface_hub, and where the hub has no such checkpoint or cannot be reached.
    """
    hub = _library(hub_id)
    try:
        return Path(hub.snapshot_download(hub_id, revision=revision, allow_patterns=list(files)))
    except Exception as error:  # the library's own, those of its network library, and those of the disk
        raise UserError(f"cannot read '{hub_id}' from the Hugging Face hub: {_reason(error)}") from error


def push(
    save: Callable[[Path], object], hub_id: str, description: str, code: str, private: bool, message: str
) -> str:
    """Upload what `save(folder)` writes, with a short card, and return the address of the commit.

    The repository is made where it is missing. Raises `UserError` as `download` does.
    """
    if not is_hub_id(hub_id):
        raise UserError(f"'{hub_id}' is no name on the Hugging Face hub: write it as user/name")
    api = _library(hub_id).HfApi()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        save(folder)
        card = _CARD.format(name=hub_id.split("/")[1], description=description, code=code)
        (folder / "README.md").write_text(card, encoding="utf-8")
        try:
            api.create_repo(hub_id, private=private, exist_ok=True)
            return str(api.upload_folder(repo_id=hub_id, folder_path=folder, commit_message=message))
        except Exception as error:
            raise UserError(f"cannot write '{hub_id}' to the Hugging Face hub: {_reason(error)}") from error


def _library(hub_id: str) -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise UserError(
            f"'{hub_id}' on the Hugging Face hub needs the extra 'hub': pip install 'mint-rl[hub]'"
        ) from error
    return huggingface_hub


def _reason(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
