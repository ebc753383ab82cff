"""What an encoder is, apart from its weights: geometry, normalisation, and how it reads keypoints."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mint_rl.entropy import PREPROCESSINGS
from mint_rl.entropy.checks import REGIONS
from mint_rl.errors import UserError, unknown_name
from mint_rl.keypoints.skeleton import checked_edges
from mint_rl.keypoints.soft_argmax import HEATMAPS
from mint_rl.keypoints.tracking import REACH

NETWORKS = ("convolutions", "skeleton")
STATUSES = ("peak", "magnitude", "always")
FORMAT_VERSION = 1  # of `config.json`; files from before it was written count as 0
STAGES = 6  # of the network: three convolutions and three transposed ones, each followed by BatchNorm
CROP_STAGES = 3  # transposed convolutions are not made for crops
# What every `config.json` has. Of what came later, older files mean what was done before, or the default.
_FIRST_SETTINGS = (
    "num_keypoints", "in_channels", "image_size", "down_strides", "up_strides", "up_padding", "pixel_mean",
    "pixel_scale", "gamma", "status_slope", "window", "gate", "gate_size", "preprocessing", "region",
)  # fmt: skip
_BEFORE: dict[str, Any] = {"descriptor_stages": (4,), "descriptor_crops": False}


@dataclass(frozen=True)
class EncoderConfig:
    """What an encoder is, apart from its weights. Raises `UserError` for values that cannot be."""

    num_keypoints: int = 25  # K
    in_channels: int = 3  # C
    trunks: int = 1  # networks side by side, of which each finds K / trunks of the keypoints
    channels: int | None = None  # of a trunk's first stage; none: K
    image_size: tuple[int, int] = (96, 96)  # height, width of the images the network sees
    down_strides: tuple[int, int, int] = (3, 2, 1)  # of the convolutions, kernels 5, 3, 3, padding 1
    up_strides: tuple[int, int, int] = (1, 2, 2)  # of the transposed convolutions, kernels 3
    up_padding: int = 1  # of the transposed convolutions; the authors' networks have 0
    pixel_mean: float = 127.5  # pixels 0..255 enter the network as (pixel − mean) / scale
    pixel_scale: float = 255.0
    gamma: float = 10.0  # γ: a keypoint is active where its feature map exceeds this
    status_slope: float = 1000.0  # status = sigmoid(slope · (maximum of the feature map − γ))
    window: float | None = None  # look for a keypoint only so far around its map's maximum, in image sides
    gate: float | None = None  # active only where the mean entropy around the keypoint (nats) exceeds this
    gate_size: int = 9  # side of the box of that mean, pixels
    preprocessing: str = "binarise"  # of frames before their entropy, as in training
    region: int = 3  # side of the region that a pixel's entropy is taken over, as in training
    network: str = "convolutions"  # or KeypointGAN's, by way of a "skeleton" picture
    heatmap: str = "softplus-softmax"  # how feature maps give places: see `soft_argmax`
    status: str = "peak"  # how they give the status: see `KeypointEncoder`
    edges: tuple[tuple[int, int], ...] = ()  # pairs of keypoints that a skeleton's lines join
    tracks: int | None = None  # that a video's keypoints are followed by (`tracking`); none: frame by frame
    reach: float = REACH  # of a track, in image sides
    descriptor_stages: tuple[int, ...] = (4,)  # of the network's six, whose features descriptors are
    descriptor_crops: bool = False  # of a crop around each keypoint (stages 1 to 3), not of the whole image

    def __post_init__(self) -> None:
        for name in ("image_size", "down_strides", "up_strides"):
            value = getattr(self, name)
            wanted = 2 if name == "image_size" else 3
            if isinstance(value, str) or not hasattr(value, "__len__") or len(value) != wanted:
                raise UserError(f"encoder setting {name} is {value!r}; it must be {wanted} whole numbers")
            object.__setattr__(self, name, tuple(value))
        counts = {
            "num_keypoints": (self.num_keypoints,),
            "in_channels": (self.in_channels,),
            "trunks": (self.trunks,),
            "channels": () if self.channels is None else (self.channels,),
            "tracks": () if self.tracks is None else (self.tracks,),
            "image_size": self.image_size,
            "down_strides": self.down_strides,
            "up_strides": self.up_strides,
            "gate_size": (self.gate_size,),
        }
        for name, values in counts.items():
            if not all(type(value) is int and value >= 1 for value in values):
                raise UserError(
                    f"encoder setting {name} is {getattr(self, name)!r}; it must be 1 or more, whole"
                )
        if self.num_keypoints % self.trunks:
            raise UserError(
                f"encoder setting num_keypoints is {self.num_keypoints}, and trunks is {self.trunks}: "
                "each trunk finds as many keypoints"
            )
        if self.network == "skeleton" and (self.trunks > 1 or self.channels is not None):
            raise UserError("encoder settings trunks and channels are not for a network that is a skeleton")
        if self.preprocessing not in PREPROCESSINGS:
            raise unknown_name("encoder setting preprocessing", str(self.preprocessing), PREPROCESSINGS)
        for name, known in (("network", NETWORKS), ("heatmap", HEATMAPS), ("status", STATUSES)):
            if getattr(self, name) not in known:
                raise unknown_name(f"encoder setting {name}", str(getattr(self, name)), known)
        # JSON has lists where these are tuples.
        edges = checked_edges(self.edges, self.num_keypoints) if self.edges else ()
        object.__setattr__(self, "edges", edges)
        if self.region not in REGIONS:
            raise UserError(f"encoder setting region is {self.region!r}; it must be one of {REGIONS}")
        if self.up_padding not in (0, 1):
            raise UserError(f"encoder setting up_padding is {self.up_padding!r}; it must be 0 or 1")
        if self.gate_size % 2 == 0:
            raise UserError(f"encoder setting gate_size is {self.gate_size}; it must be odd")
        optional = [value for value in (self.window, self.gate) if value is not None]
        numbers = [self.pixel_mean, self.pixel_scale, self.gamma, self.status_slope, self.reach, *optional]
        if not all(isinstance(value, int | float) and np.isfinite(value) for value in numbers):
            raise UserError(
                "encoder settings pixel_mean, pixel_scale, gamma, status_slope, reach, window, gate must be "
                "numbers"
            )
        if self.pixel_scale <= 0 or self.status_slope <= 0 or (self.window is not None and self.window <= 0):
            raise UserError("encoder settings pixel_scale, status_slope and window must be above 0")
        if self.status == "magnitude" and not 0 < self.gamma <= 1:
            raise UserError(
                f"encoder setting gamma is {self.gamma}; where the status is a magnitude, it must be a share "
                "of the largest: above 0, up to 1"
            )
        if not 0 < self.reach <= 0.5:
            raise UserError(f"encoder setting reach is {self.reach}; it must be above 0, up to 0.5")
        if self.tracks is not None and (self.status != "peak" or self.network == "skeleton"):
            raise UserError(
                "encoder setting tracks needs a network of convolutions whose status is peak: tracks begin "
                "and end with what is active"
            )
        if self.tracks is not None and self.edges:
            raise UserError(
                "encoder setting edges joins keypoints by their numbers, which tracks do not have"
            )
        self._check_descriptors()
        if min(self.image_size) < 12:
            raise UserError(f"encoder setting image_size is {self.image_size}; images need 12 pixels a side")

    def _check_descriptors(self) -> None:
        if type(self.descriptor_crops) is not bool:
            raise UserError(
                f"encoder setting descriptor_crops is {self.descriptor_crops!r}; it must be true or false"
            )
        if self.descriptor_crops and self.network == "skeleton":
            raise UserError("encoder setting descriptor_crops must be false where network is skeleton")
        stages, last = self.descriptor_stages, CROP_STAGES if self.descriptor_crops else STAGES
        if isinstance(stages, list | tuple) and stages:
            object.__setattr__(self, "descriptor_stages", tuple(stages))
            if list(stages) == [number for number in range(1, last + 1) if number in stages]:
                return
        raise UserError(
            f"encoder setting descriptor_stages is {stages!r}; it must be some of the stages 1 to {last} "
            f"{'that crops have' if self.descriptor_crops else 'of the network'}, in their order"
        )

    @property
    def first_width(self) -> int:
        """Channels of the network's first stage, all trunks together."""
        return self.trunks * (self.channels or self.num_keypoints // self.trunks)

    @classmethod
    def for_images(cls, height: int, width: int, **settings: Any) -> EncoderConfig:
        """This project's geometry: padded maps, two thirds of the image's side (a third from 100 px on)."""
        third = 1 if width < 100 else 2
        return cls(image_size=(height, width), down_strides=(3, 2, third), **settings)

    @classmethod
    def published(cls, height: int, width: int, **settings: Any) -> EncoderConfig:
        """The geometry of the authors' published weights: 96×96 → 135×135, 320×480 → 119×171."""
        small = width < 100
        return cls(
            image_size=(height, width),
            down_strides=(3, 2, 1 if small else 2),
            up_strides=(2 if small else 1, 2, 2),
            up_padding=0,
            pixel_mean=0.5,
            pixel_scale=0.5,
            **settings,
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EncoderConfig:
        """From the contents of a `config.json`, of this version of the format or an older one.

        Settings that came after the first format may be missing. Raises `UserError` for a newer format,
        for unknown or missing keys, and for wrong values.
        """
        settings = dict(values)
        version = settings.pop("format_version", 0)
        if type(version) is not int or not 0 <= version <= FORMAT_VERSION:
            raise UserError(
                f"its format version is {version!r}, and this mint-rl reads up to {FORMAT_VERSION}: "
                "upgrade mint-rl"
            )
        known = [field.name for field in dataclasses.fields(cls)]
        for key in settings:
            if key not in known:
                raise unknown_name("encoder setting", key, known)
        missing = [name for name in _FIRST_SETTINGS if name not in settings]
        if missing:
            raise UserError(f"the encoder setting '{missing[0]}' is missing")
        return cls(**{**_BEFORE, **settings})

    def to_dict(self) -> dict[str, Any]:
        """The contents of a `config.json`, which `from_dict` reads."""
        return {"format_version": FORMAT_VERSION, **dataclasses.asdict(self)}
