"""mint-rl: a video becomes keypoints, keypoints become a graph, a graph becomes an action.

The public names below are imported when they are first used: `import mint_rl` is quick, loads no torch,
and touches neither display nor network.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from mint_rl.data.demonstrations import read_demonstrations, write_demonstrations
    from mint_rl.entropy import LocalEntropy, local_entropy
    from mint_rl.envs.keypoint_obs import KeypointObs
    from mint_rl.keypoints.encoder import KeypointEncoder, Keypoints
    from mint_rl.keypoints.pretrained import load_encoder
    from mint_rl.policies.checkpoint import load_policy

_HOME = {
    "KeypointEncoder": "mint_rl.keypoints.encoder",
    "KeypointObs": "mint_rl.envs.keypoint_obs",
    "Keypoints": "mint_rl.keypoints.encoder",
    "LocalEntropy": "mint_rl.entropy",
    "load_encoder": "mint_rl.keypoints.pretrained",
    "load_policy": "mint_rl.policies.checkpoint",
    "local_entropy": "mint_rl.entropy",
    "read_demonstrations": "mint_rl.data.demonstrations",
    "write_demonstrations": "mint_rl.data.demonstrations",
}

__all__ = [
    "KeypointEncoder",
    "KeypointObs",
    "Keypoints",
    "LocalEntropy",
    "__version__",
    "load_encoder",
    "load_policy",
    "local_entropy",
    "read_demonstrations",
    "write_demonstrations",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'mint_rl' has no attribute '{name}'; it has: {', '.join(_HOME)}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
