"""The known ways in which training a detector goes wrong, recognised without labels and said in words."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mint_rl.keypoints.encoder_config import EncoderConfig

EARLY = 250  # steps by which a run that will succeed has active keypoints


def measure(coordinates: Tensor, status: Tensor, peaks: Tensor) -> dict[str, float]:
    """Numbers that show failures, from keypoints of pairs or longer clips (B, T, K, …).

    peak: mean over frames of the highest feature map's height. active: active keypoints a frame. moved: mean
    distance moved by active keypoints between the frames, in image widths. spread: mean distance of active
    keypoints from their common centre, in image widths.
    """
    weight = (status > 0.5).float()
    count = weight.sum(-1)
    both = weight[:, :-1] * weight[:, 1:]
    distance = (coordinates[:, 1:] - coordinates[:, :-1]).norm(dim=-1)
    shares = (weight / count.clamp(min=1.0)[..., None])[..., None]
    centre = (coordinates * shares).sum(-2, keepdim=True)
    from_centre = ((coordinates - centre).norm(dim=-1, keepdim=True) * shares).sum((-2, -1))
    crowded = count >= 2
    spread = (from_centre * crowded).sum() / crowded.sum().clamp(min=1)
    return {
        "peak": float(peaks.amax(-1).mean()),
        "active": float(count.mean()),
        "moved": float((distance * both).sum() / both.sum().clamp(min=1.0)),
        "spread": float(spread),
    }


def failure_signs(
    step: int, values: Mapping[str, float], config: EncoderConfig, advice: Mapping[str, str]
) -> dict[str, str]:
    """What is wrong at `step`: a sentence for each kind of failure; empty while all is well.

    values: the numbers of `measure`; of MINT the loss terms "masked_conditional_entropy" and "status"; of
        KeypointGAN "unexplained", the error of a rebuilt frame relative to copying another one.
    advice: what to do, by kind, where that depends on the method.
    """
    num_keypoints, gamma = config.num_keypoints, config.gamma
    signs: dict[str, str] = {}
    if step < EARLY:
        return signs
    if values.get("status", 1.0) < 0.1 and values.get("masked_conditional_entropy", 0.0) > 0.95:
        signs["inactive"] = (
            f"almost nothing is active ({values['active']:.1f} of {num_keypoints} keypoints) and what moves "
            "is not covered: lower gamma, or begin again with another seed"
        )
    if config.status == "peak" and values["peak"] < gamma:
        signs["low"] = (
            f"the feature maps reach {values['peak']:.1f} on average, below gamma = {gamma:g}, so no "
            "keypoint can become active: lower gamma"
        )
    if values["active"] >= 1 and values["moved"] < 1e-4:
        signs["still"] = "no active keypoint moves"
    if values["active"] >= 4 and values["spread"] < 0.03:
        signs["heap"] = "all active keypoints lie in one heap"
    if values.get("unexplained", 0.0) > 0.9:  # 0.1 to 0.2 in a run that succeeds
        signs["unexplained"] = (
            "frames are rebuilt no better than by copying others, so the keypoints are not where the object "
            "is: begin again with another seed"
        )
    return {kind: f"{sign}: {advice[kind]}" if kind in advice else sign for kind, sign in signs.items()}
