"""The keypoint encoder: an image becomes K keypoints (MINT, section 2.2 and appendix A).

Three convolutions and three transposed ones turn an image into K feature maps, one a keypoint. A spatial
soft-argmax reads the keypoint's place from its map, and the height of the map says whether it is active.

Choices worth knowing:
- The feature map is 64×64 for 96×96 images: the transposed convolutions are padded. The authors' networks
  leave them unpadded (135×135), at several times the cost; `EncoderConfig.published` builds that geometry.
- How pixels are normalised is part of the configuration: a network is only as good as its input range.
- The window and the entropy gate act at inference alone, and γ may differ there from its value in training:
  all are settings of the saved encoder. `encoder.config = replace(encoder.config, gate=None)` sets them.
- A map that answers to two objects has its expected place between them, on neither. The window keeps the
  expectation near the higher peak. In training it would hide the rest of the map from the gradient.
- The network reads every frame for itself, and so do `forward` and `encode`. With `tracks` set, `read_video`
  follows what it finds through a video, with a memory (`tracking`).
- Descriptors are features of the network's first stages, on a crop around each keypoint (`descriptors`). They
  tell what a place looks like, for instance how an object is turned, which its coordinates do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from mint_rl.allocator import keep_freed_memory
from mint_rl.errors import UserError
from mint_rl.hub import push
from mint_rl.keypoints.descriptors import centre_features, crops_at, receptive_side, sample_at
from mint_rl.keypoints.encoder_config import EncoderConfig
from mint_rl.keypoints.encoder_files import encoder_folder, read_config, read_weights, write_encoder
from mint_rl.keypoints.gate import entropy_at
from mint_rl.keypoints.heatmaps import to_pixels
from mint_rl.keypoints.layers import UnfoldConv2d, as_in_a_batch, block, transposed
from mint_rl.keypoints.resize import resize_frames, resize_tensor
from mint_rl.keypoints.second_peaks import second_peaks
from mint_rl.keypoints.skeleton_network import WIDTHS as SKELETON_WIDTHS
from mint_rl.keypoints.skeleton_network import SkeletonNetwork
from mint_rl.keypoints.soft_argmax import soft_argmax
from mint_rl.keypoints.tracking import APART, Tracker, follow


class Keypoints(NamedTuple):
    """K keypoints of each of a batch of frames."""

    coordinates: Tensor  # (…, K, 2) x, y in [0, 1]; x = 1 is the centre of the last column
    status: Tensor  # (…, K) in [0, 1]; active above 0.5
    peaks: Tensor  # (…, K) height of the feature map (its maximum, or its mean) that the status is made of
    descriptors: Tensor | None = None  # (…, K, D) features of the network at the keypoints

    def to_tensor(self) -> Tensor:
        """x, y, status and, where there are any, the descriptors: (…, K, 3) or (…, K, 3 + D)."""
        parts = [self.coordinates, self.status[..., None]]
        return torch.cat(parts if self.descriptors is None else [*parts, self.descriptors], -1)


class KeypointEncoder(nn.Module):
    """Frames → `Keypoints`. 58,725 parameters at C = 3, K = 25.

    Shapes:
        forward: uint8 (N, H, W, C) → `Keypoints` of (N, K, …); H, W as in the configuration.
        encode: uint8 arrays (N, H, W, C) or (H, W, C) of any size → float32 (N, K, 3[+D]) or (K, 3[+D]).

    The status is one of these, as the configuration says:
        peak: sigmoid(slope·(p − γ)) of the maximum p of the softplus'd feature map (MINT, appendix A.2).
        magnitude: μ/(2γ·max μ), cut at 1, of the map's mean μ and its largest among the frame's keypoints
            (Video Structure): the relative magnitude itself at γ = 0.5, the share at which one is active.
        always: 1 (Transporter and KeypointGAN, which know no inactive keypoints).

    KeypointGAN's encoder has another network: by way of a skeleton picture, of half the image's sides, with
    `config.edges` between its keypoints (`SkeletonNetwork`).

    The entropy gate acts in evaluation mode only: it would hide places from training.
    """

    def __init__(self, config: EncoderConfig | None = None) -> None:
        super().__init__()
        keep_freed_memory()
        self.config = config or EncoderConfig()
        keypoints, groups = self.config.num_keypoints, self.config.trunks
        width = self.config.first_width
        first, second, third = self.config.down_strides
        up = self.config.up_strides
        padding = self.config.up_padding
        if self.config.network == "skeleton":
            self.network: nn.Sequential = SkeletonNetwork(self.config.in_channels, keypoints)
            return
        self.network = nn.Sequential(
            *block(UnfoldConv2d(self.config.in_channels, width, 5, first, padding=1)),
            *block(nn.Conv2d(width, width, 3, second, padding=1, groups=groups)),
            *block(nn.Conv2d(width, 2 * width, 3, third, padding=1, groups=groups)),
            *block(transposed(2 * width, 2 * width, up[0], padding, groups)),
            *block(transposed(2 * width, width, up[1], padding, groups)),
            *block(transposed(width, keypoints, up[2], padding, groups)),
        )
        self.reset_parameters()

    @property
    def num_keypoints(self) -> int:
        """K."""
        return self.config.num_keypoints

    @property
    def num_video_keypoints(self) -> int:
        """How many `read_video` gives: the tracks, or K where there are none."""
        return self.config.tracks or self.config.num_keypoints

    @property
    def descriptor_dim(self) -> int:
        """D, the features of a descriptor: the channels of its stages together."""
        stages = self.config.descriptor_stages
        if self.config.network == "skeleton":
            return sum(SKELETON_WIDTHS[stage - 1] for stage in stages)
        widths = [self.config.first_width * times for times in _WIDTHS]
        return sum([*widths, self.num_keypoints][stage - 1] for stage in stages)

    def reset_parameters(self) -> None:
        """Xavier-normal weights, zero biases (appendix A.1)."""
        for module in self.network:
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.xavier_normal_(module.weight)
                assert module.bias is not None
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()

    def normalise(self, frames: Tensor) -> Tensor:
        """uint8 (N, H, W, C) → the network's float input (N, C, H, W), its channels last in memory."""
        # In this order the convolutions of a batch take half the time.
        planes = frames.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.channels_last)
        return planes.sub_(self.config.pixel_mean).div_(self.config.pixel_scale)

    def forward(self, frames: Tensor, descriptors: bool = False) -> Keypoints:
        """Keypoints of uint8 frames (N, H, W, C) of the configured size."""
        return self.with_stages(frames, descriptors)[0]

    def with_stages(self, frames: Tensor, descriptors: bool = False) -> tuple[Keypoints, list[Tensor]]:
        """As `forward`, and the feature maps of the network's stages that they were read from."""
        planes = self.normalise(frames)
        stages = self._maps(planes)
        maps = stages[-1]
        # float() for networks that run in bfloat16, in which the peaks would be a multiple of 1/16.
        window = None if self.training else self.config.window
        coordinates, peaks = soft_argmax(maps.float(), window, self.config.heatmap)
        if self.config.status == "peak":
            status = self._above_gamma(peaks)
        elif self.config.status == "magnitude":
            peaks = functional.softplus(maps.float()).mean((2, 3))
            relative = peaks / (peaks.amax(1, keepdim=True) + 1e-6)
            status = (relative * (0.5 / self.config.gamma)).clamp(max=1.0)
        else:
            status = torch.ones_like(peaks)
        if not self.training:
            status = self._gated(status, frames, coordinates)
        sampled = self._descriptors(planes, stages, coordinates) if descriptors else None
        return Keypoints(coordinates, status, peaks, sampled), stages

    @torch.no_grad()
    def candidates(self, frames: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What there is to follow: keypoints, then their maps' second peaks; and the stages' feature maps.

        frames: uint8 (N, H, W, C) of the configured size. Returns (N, 2K, 3) x, y and status, gate included.
        """
        with self.evaluating():
            stages = self._maps(self.normalise(frames))
        maps = stages[-1].float()
        first, peaks = soft_argmax(maps, self.config.window, self.config.heatmap)
        second, heights = second_peaks(maps, APART * self.config.reach)
        places, status = torch.cat([first, second], 1), self._above_gamma(torch.cat([peaks, heights], 1))
        return torch.cat([places, self._gated(status, frames, places)[..., None]], 2), stages

    def describe(self, frames: Tensor, coordinates: Tensor, stages: list[Tensor] | None = None) -> Tensor:
        """Descriptors of any places: uint8 frames (N, H, W, C), coordinates (N, P, 2) → (N, P, D).

        stages: the feature maps of these frames, where they are at hand.
        """
        planes = self.normalise(frames)
        if stages is None:
            stages = [] if self.config.descriptor_crops else self._maps(planes)
        return self._descriptors(planes, stages, coordinates)

    @torch.no_grad()
    def encode(
        self, frames: NDArray[np.uint8], descriptors: bool = False, batch_size: int = 8
    ) -> NDArray[np.float32]:
        """Keypoints of RGB frames as an array: x, y, status and, if asked for, the descriptors.

        frames: uint8 (N, H, W, C) or (H, W, C); resized by area averaging where the size is another than the
        network's. Returns float32 (N, K, 3[+D]) or (K, 3[+D]). Raises `UserError` for anything else.
        """
        width = 3 + (self.descriptor_dim if descriptors else 0)
        number = len(frames) if np.ndim(frames) == 4 else 1
        result = np.empty((number, self.num_keypoints, width), np.float32)
        with self.evaluating():
            for start, part in self.batches(np.asarray(frames), batch_size):
                result[start : start + batch_size] = self(part, descriptors).to_tensor().cpu().numpy()
        return result[0] if np.ndim(frames) == 3 else result

    def read_video(
        self, frames: NDArray[np.uint8], descriptors: bool = False, tracker: Tracker | None = None
    ) -> NDArray[np.float32]:
        """Keypoints of the frames of one video in their order: tracks where `config.tracks` is set.

        frames: uint8 (T, H, W, C), as of `encode`. tracker: the one that has read the frames before these, so
        that a video can be read in parts; none: these are the first. Returns float32 (T, num_video_keypoints,
        3[+D]). Raises `UserError` for other frames.
        """
        if np.ndim(frames) != 4:
            raise UserError(f"a video has frames of shape (T, H, W, C), not {np.shape(frames)}")
        if self.config.tracks is None:
            return self.encode(frames, descriptors)
        return follow(self, frames, [tracker or self.tracker()] * len(frames), descriptors)

    def tracker(self) -> Tracker:
        """A tracker for a video, with the tracks and the reach of the configuration."""
        return Tracker(self.num_video_keypoints, self.config.reach)

    def batches(self, frames: NDArray[np.uint8] | Tensor, batch_size: int) -> Iterator[tuple[int, Tensor]]:
        """Frames (N, H, W, C) of any size as the network takes them, with the number of each batch's first.

        Raises `UserError` for anything else.
        """
        if isinstance(frames, Tensor):
            channels = self.config.in_channels
            if frames.ndim != 4 or frames.shape[-1] != channels or frames.dtype != torch.uint8:
                raise _no_frames(frames.dtype, tuple(frames.shape), channels)
            for start, part in enumerate(torch.split(frames.to(self.device), batch_size)):
                yield start * batch_size, resize_tensor(part, self.config.image_size)
            return
        batch = resize_frames(_as_batch(frames, self.config.in_channels), self.config.image_size)
        for start in range(0, len(batch), batch_size):
            yield start, torch.from_numpy(batch[start : start + batch_size]).to(self.device)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write `config.json` and `model.safetensors` into `folder`, each atomically; return the folder."""
        return write_encoder(folder, self.config, self.state_dict())

    def push_to_hub(
        self, hub_id: str, private: bool = False, message: str = "Keypoint encoder of mint-rl"
    ) -> str:
        """Upload what `save_pretrained` writes to the Hugging Face hub as "user/name"; return its address.

        Needs the extra "hub" and a login there (`hf auth login`). Raises `UserError` where it fails.
        """
        height, width = self.config.image_size
        description = (
            f"{self.num_video_keypoints} keypoints of {height}×{width} frames, learned without labels."
        )
        code = f'from mint_rl import KeypointObs\n\nenv = KeypointObs(env, encoder="{hub_id}")'
        return push(self.save_pretrained, hub_id, description, code, private, message)

    @classmethod
    def from_pretrained(cls, source: str | Path, revision: str | None = None) -> KeypointEncoder:
        """A trained encoder, frozen: a shipped name, a folder that `save_pretrained` wrote, or a hub id.

        A hub id is "user/name" on the Hugging Face hub, at its newest `revision` unless told (needs the extra
        "hub"); a folder of that name comes first. Raises `UserError`, in a sentence, for anything else.
        `load_encoder` reads published weights too.
        """
        folder = encoder_folder(source, revision)
        encoder = cls(read_config(folder))
        read_weights(encoder, folder)
        return encoder.eval().requires_grad_(False)

    def _maps(self, planes: Tensor) -> list[Tensor]:
        """The feature maps of the network's six stages on normalised frames (N, C, H, W)."""
        # Not len(), which would bind a traced program to one size of batch.
        if isinstance(self.network, SkeletonNetwork):
            return self.network.stages(planes)
        alone = planes.shape[0] == 1 and not self.training
        found, maps = [], planes
        for index, layer in enumerate(self.network):
            maps = as_in_a_batch(layer, maps) if alone else layer(maps)
            if index % 3 == 2:
                found.append(maps)
        return found

    def _descriptors(self, planes: Tensor, stages: list[Tensor], coordinates: Tensor) -> Tensor:
        """(N, P, D) from normalised frames (N, C, H, W) or the stages' maps at coordinates (N, P, 2)."""
        wanted = self.config.descriptor_stages
        if not self.config.descriptor_crops:
            return torch.cat([sample_at(stages[number - 1], coordinates) for number in wanted], 2)
        last = wanted[-1]
        side = receptive_side(_KERNELS[:last], self.config.down_strides[:last])
        features = centre_features(list(self.network)[: 3 * last], crops_at(planes, coordinates, side))
        return torch.cat([features[number - 1] for number in wanted], 1).view(*coordinates.shape[:2], -1)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """In evaluation mode for as long as this lasts."""
        training = self.training
        if training:  # walking over the layers would cost a twentieth of the time of a frame
            self.eval()
        try:
            yield
        finally:
            if training:
                self.train()

    def _above_gamma(self, peaks: Tensor) -> Tensor:
        return torch.sigmoid(self.config.status_slope * (peaks - self.config.gamma))

    def _gated(self, status: Tensor, frames: Tensor, coordinates: Tensor) -> Tensor:
        """The status (N, P) at coordinates (N, P, 2), 0 where the entropy gate says so."""
        if self.config.gate is None:
            return status
        settings = self.config.preprocessing, self.config.region, self.config.gate_size
        return status * (entropy_at(frames, self._pixels(coordinates), *settings) > self.config.gate)

    def _pixels(self, coordinates: Tensor) -> Tensor:
        return to_pixels(coordinates, *self.config.image_size)


_KERNELS = (5, 3, 3)  # of the convolutions
_WIDTHS = (1, 1, 2, 2, 1)  # channels of the stages, in those of the first; the sixth has K


def _as_batch(frames: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    array = np.asarray(frames)
    if array.ndim not in (3, 4) or array.shape[-1] != channels or array.dtype != np.uint8:
        raise _no_frames(array.dtype, array.shape, channels)
    batch = array[None] if array.ndim == 3 else array
    if 0 in batch.shape[1:]:
        raise UserError(f"an encoder cannot read frames of shape {array.shape}: a side is 0")
    return np.ascontiguousarray(batch)


def _no_frames(dtype: object, shape: tuple[int, ...], channels: int) -> UserError:
    return UserError(
        f"an encoder reads uint8 frames of shape (N, height, width, {channels}) or (height, width, "
        f"{channels}), not {dtype} of shape {shape}"
    )
