"""The command that a benchmark was asked for with: written into its folder, and into its report."""

from __future__ import annotations

import dataclasses
import shlex
from typing import Any

BENCHMARK_FILE = "benchmark.json"  # of a benchmark of policies
KEYPOINT_BENCHMARK_FILE = "keypoint_benchmark.json"  # of one of keypoints


def command_of(config: Any, name: str = "benchmark", verb: str = "benchmark") -> str:
    """The command line that gives this configuration: its preset, and what differs from that.

    name, verb: of a configuration that has presets, and of what runs it
    """
    from mint_rl.training.configuration import load_config

    preset = load_config(name, [f"preset={config.preset}"])
    words = [f"mint-rl {verb}", f"--preset {config.preset}"]
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if value == getattr(preset, field.name):
            continue
        flag = field.name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{'' if value else 'no-'}{flag}")
        else:
            values = value if isinstance(value, list) else [value]
            words.append(f"--{flag} {' '.join(map(shlex.quote, map(str, values)))}")
    return " ".join(words)
