"""Why have some objects no keypoint: does no feature map see them, or do the maps peak elsewhere?

    python benchmarks/missed_objects.py magical magical-tracking
    python benchmarks/missed_objects.py runs/encoder --variant TestAll --episodes 10

Plays episodes of all of MAGICAL's tasks and looks at every fifth frame. Prints the share of objects without
an active keypoint; of those, the share on which some feature map is above γ ("seen"), and the share on which
the map of a spare keypoint is: one that is on no object, or not alone on its object. To compare with: in how
much of the ground between objects some map is above γ, and how many maps are, on average.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from mint_rl.envs.magical.masked_videos import masked_episodes
from mint_rl.envs.magical.names import TASKS, VARIANTS
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.inference_settings import load_with_settings
from mint_rl.keypoints.metrics import keypoint_hits
from mint_rl.keypoints.resize import resize_frames

EVERY = 5  # neighbouring frames say the same
SEED = 500_000  # of the first episode, as in `mint-rl keypoints evaluate`


@torch.no_grad()
def look(
    encoder: KeypointEncoder, frames: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Keypoints of frames (N, H, W, 3): (N, K, 3); and the softplus'd maps, as large: (N, K, H, W)."""
    images = torch.from_numpy(resize_frames(frames, encoder.config.image_size))
    found = [encoder.with_stages(part) for part in images.split(8)]
    high = functional.softplus(torch.cat([stages[-1] for _, stages in found]))
    high = functional.interpolate(high, frames.shape[1:3], mode="bilinear", align_corners=True)
    return torch.cat([keypoints.to_tensor() for keypoints, _ in found]).numpy(), high.numpy()


def count(encoder: KeypointEncoder, task: str, variant: str, episodes: int) -> NDArray[np.int64]:
    """Objects looked at, without keypoint, of those seen by a map, and by the map of a spare keypoint; pixels
    of ground, those seen, and how often."""
    counts = np.zeros(7, np.int64)
    for video in masked_episodes(f"{task}-{variant}", episodes, SEED):
        frames, masks = video.frames[::EVERY], video.masks[::EVERY]
        keypoints, high = look(encoder, frames)
        hits = keypoint_hits(keypoints, masks, video.objects)
        for on, mask, maps in zip(hits, masks, high, strict=True):
            answers = (maps > encoder.config.gamma).sum(0)[mask == 0]
            counts[4:] += [answers.size, (answers > 0).sum(), answers.sum()]
            spare = np.array([hit <= 0 or (on == hit).sum() > 1 for hit in on])
            for body in video.objects:
                here = mask == body
                if not here.any():
                    continue
                missed = not (on == body).any()
                seen = missed & (maps[:, here].max(1) > encoder.config.gamma)
                counts[:4] += [1, missed, seen.any(), (seen & spare).any()]
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("encoders", nargs="*", default=["magical", "magical-tracking"])
    parser.add_argument("--variant", choices=sorted(set().union(*VARIANTS.values())), default="TestJitter")
    parser.add_argument("--episodes", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for word in options.encoders:
        encoder = load_with_settings(word)
        print(f"\n{word}\n{'task':<16}{'objects':>9}{'missed':>9}{'seen':>7}{'by a spare one':>16}", end="")
        print(f"{'ground':>9}{'maps':>7}")
        tasks = [task for task in TASKS if options.variant in VARIANTS[task]]
        rows = [count(encoder, task, options.variant, options.episodes) for task in tasks]
        for task, row in zip([*tasks, "all"], [*rows, sum(rows)], strict=True):
            objects, missed, seen, spare, ground, answered, answers = row
            shares = [f"{n / missed:.2f}" if missed else "–" for n in (seen, spare)]
            print(
                f"{task:<16}{objects:>9,}{missed / objects:>9.3f}{shares[0]:>7}{shares[1]:>16}"
                f"{answered / ground:>9.2f}{answers / ground:>7.2f}"
            )


if __name__ == "__main__":
    main()
