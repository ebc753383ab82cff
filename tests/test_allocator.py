"""What `keep_freed_memory` is for: feature maps that come and go cause next to no page faults."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

COUNT = """
import resource
import numpy as np
import torch
from mint_rl.keypoints import encoder as module

torch.set_num_threads(1)
if not {kept}:
    module.keep_freed_memory = lambda: None
encoder = module.KeypointEncoder().eval()
frames = np.zeros((8, 96, 96, 3), np.uint8)
for _ in range(3):
    encoder.encode(frames)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    encoder.encode(frames)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have other rules")
def test_feature_maps_are_not_faulted_in_again() -> None:
    faults = {}
    for kept in (False, True):
        run = subprocess.run(
            [sys.executable, "-c", COUNT.format(kept=kept)], capture_output=True, text=True, check=True
        )
        faults[kept] = int(run.stdout)
    assert faults[True] < faults[False] / 4, faults
