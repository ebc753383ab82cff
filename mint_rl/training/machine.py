"""What numbers were measured on, in words."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path


def describe_machine() -> dict[str, str]:
    """Processor, cores, system and the versions of Python, PyTorch and mint-rl; no host name."""
    import torch

    from mint_rl import __version__

    return {
        "processor": _processor(),
        "cores": str(available_cores()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "mint-rl": __version__,
    }


def available_cores() -> int:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    """The model's name where Linux tells it."""
    information = Path("/proc/cpuinfo")
    found = information.exists() and re.search(
        r"^model name\s*:\s*(.+)$", information.read_text(errors="replace"), re.MULTILINE
    )
    return found[1].strip() if found else platform.processor() or "unknown processor"
