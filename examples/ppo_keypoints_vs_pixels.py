"""PPO on keypoints and PPO on pixels, side by side, with the same settings and the same steps.

    python examples/ppo_keypoints_vs_pixels.py
    python examples/ppo_keypoints_vs_pixels.py --steps 50000 --seeds 0 1 2

Both see the last four pictures of CartPole: one as keypoints of an encoder that was trained on frames of
random actions (half a minute, unless --encoder names one), read by the interaction network; the other as
grey 84×84 images, read by Stable-Baselines3's CNN.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.wrappers import (
    AddRenderObservation,
    FrameStackObservation,
    GrayscaleObservation,
    ResizeObservation,
)
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

from mint_rl import KeypointObs, load_encoder
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.policies.extractor import KeypointExtractor
from mint_rl.training.pretrain import pretrain
from mint_rl.training.pretrain_config import PretrainConfig
from mint_rl.training.threads import cpu_threads

ENV = "CartPole-v1"
FRAMES = 4
# The pole is thin and never lies: its colours count, pictures are not turned, no gate takes it for ground.
RECIPE: dict[str, Any] = {
    "size": "96x96", "steps": 500, "num_keypoints": 10,
    "preprocessing": "none", "turns": False, "gate": "none",
}  # fmt: skip
EPISODES = 20  # of the evaluation, and of the end of training
# Settings that suit CartPole. 4 environments.
PPO_OPTIONS = {
    "n_steps": 64, "batch_size": 64, "n_epochs": 10, "learning_rate": 1e-3, "gamma": 0.98, "gae_lambda": 0.8,
    "device": "cpu",
}  # fmt: skip


def keypoints_of(encoder: KeypointEncoder) -> gym.Env[Any, Any]:
    """The last pictures as keypoints."""
    env = KeypointObs(gym.make(ENV, render_mode="rgb_array"), encoder, source="render")
    return FrameStackObservation(env, FRAMES)


def pixels() -> gym.Env[Any, Any]:
    """The last pictures as grey images."""
    env: gym.Env[Any, Any] = AddRenderObservation(gym.make(ENV, render_mode="rgb_array"))
    return FrameStackObservation(GrayscaleObservation(ResizeObservation(env, (84, 84))), FRAMES)


def learn(
    policy: str, make: Callable[[], gym.Env[Any, Any]], steps: int, seed: int, **policy_kwargs: Any
) -> str:
    """Train, evaluate, and return a row of the table."""
    envs = make_vec_env(make, n_envs=4, seed=seed)
    started = time.process_time()
    model = PPO(policy, envs, seed=seed, policy_kwargs=policy_kwargs, **PPO_OPTIONS)  # type: ignore[arg-type]
    model.learn(steps, progress_bar=False)
    seconds = time.process_time() - started
    episodes = [episode["r"] for episode in model.ep_info_buffer or []]
    returns, _ = evaluate_policy(model, envs, n_eval_episodes=EPISODES, return_episode_rewards=True)
    trained = float(np.mean(episodes[-EPISODES:])) if episodes else float("nan")
    return f"{trained:>14.0f} {np.mean(returns):>12.0f} {seconds:>10.0f}"


def main(argv: Sequence[str] | None = None) -> None:
    """Train both for each seed and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, default=30_000, help="of each training (default 30000)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="one training each (default 0)")
    parser.add_argument("--encoder", help="a folder of mint-rl pretrain; none: train one in runs/cartpole")
    options = parser.parse_args(argv)
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pygame needs no display to draw

    folder = Path(options.encoder or "runs/cartpole")
    if options.encoder is None and not (folder / "model.safetensors").exists():
        pretrain(PretrainConfig(env=ENV, out=str(folder), overwrite=True, **RECIPE))
    encoder = load_encoder(folder)
    print(f"{'PPO on':<10} {'seed':>4} {'last 20 train':>14} {'20 episodes':>12} {'CPU s':>10}")
    with cpu_threads(1):
        for seed in options.seeds:
            row = learn(
                "MlpPolicy", lambda: keypoints_of(encoder), options.steps, seed,
                features_extractor_class=KeypointExtractor,
            )  # fmt: skip
            print(f"{'keypoints':<10} {seed:>4} {row}", flush=True)
            print(f"{'pixels':<10} {seed:>4} {learn('CnnPolicy', pixels, options.steps, seed)}", flush=True)


if __name__ == "__main__":
    main()
