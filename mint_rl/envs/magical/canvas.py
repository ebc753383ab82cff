"""A camera's picture of the scene, kept up to date at the cost of what moved.

The picture is always drawn at MAGICAL's 384×384. Primitives are painted in order, so all before the first
that has moved in this episode form a background that is painted once and kept. In each frame the rest is
painted over a copy of it, and only the tiles touched are averaged again. A smaller image is therefore
bit-identical to the area average of the large one (OpenCV's INTER_AREA).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mint_rl.envs.magical import averaging, raster
from mint_rl.envs.magical.drawing import Affine, Compound, Geom, Outline, Polygon, Transform

SIZE = 384
# Side lengths an observation can have: whole pixels are averaged, at most 16×16 (see `averaging.average`).
RESOLUTIONS = tuple(SIZE // factor for factor in (16, 12, 8, 6, 4, 3, 2, 1))


@dataclass
class DisplayList:
    """A scene ready for drawing: its primitives, and the transforms that place them.

    Each matrix is the product of a chain of transforms; the chains stand one behind the other, the outermost
    transform first (see `raster.place`).
    """

    primitives: raster.Primitives
    transforms: list[Transform]
    chain_starts: npt.NDArray[np.int64]
    chain_members: npt.NDArray[np.int64]

    def poses(self) -> npt.NDArray[np.float64]:
        """(T, 3): x, y, angle of every transform now."""
        return np.array([(t.x, t.y, t.angle) for t in self.transforms], dtype=np.float64).reshape(-1, 3)


def flatten(geoms: list[tuple[Geom, int]]) -> DisplayList:
    """Take geoms apart into primitives. Each geom comes with its instance id, 0 to 255."""
    index: dict[Transform, int] = {}
    chains: dict[tuple[int, ...], int] = {}
    shapes: list[Polygon | Outline] = []
    matrix, colour = [], []
    for geom, instance in geoms:
        for shape, outermost_first in _shapes(geom, ()):
            chain = tuple(index.setdefault(t, len(index)) for t in outermost_first)
            shapes.append(shape)
            matrix.append(chains.setdefault(chain, len(chains)))
            colour.append(pack(shape.color, instance))
    counts = [len(shape.vertices) for shape in shapes]
    primitives = raster.Primitives(
        vertices=np.array(
            [vertex for shape in shapes for vertex in shape.vertices], dtype=np.float64
        ).reshape(-1, 2),
        starts=_running_total(counts),
        matrix=np.array(matrix, dtype=np.int64),
        colour=np.array(colour, dtype=np.uint32),
        width=np.array(
            [shape.width if isinstance(shape, Outline) else 0.0 for shape in shapes], dtype=np.float64
        ),
        stipple=np.array(
            [shape.stipple if isinstance(shape, Outline) else 0 for shape in shapes], dtype=np.int64
        ),
    )
    members = [member for chain in chains for member in chain]
    starts = _running_total([len(chain) for chain in chains])
    return DisplayList(primitives, list(index), starts, np.array(members, dtype=np.int64))


def _shapes(
    geom: Geom, outer: tuple[Transform, ...]
) -> Iterator[tuple[Polygon | Outline, tuple[Transform, ...]]]:
    """The polygons and outlines of a geom in drawing order, each with its transforms, the outermost first."""
    transforms = (*outer, *reversed(geom.transforms))
    if isinstance(geom, Compound):
        for part in geom.parts:
            yield from _shapes(part, transforms)
    elif isinstance(geom, Polygon | Outline):
        yield geom, transforms
    else:
        raise TypeError(f"cannot draw a {type(geom).__name__}")


def pack(rgb: tuple[float, float, float], instance: int) -> int:
    """Colour (RGB in [0, 1], rounded to 8 bits as OpenGL does) and instance id as a pixel of a picture."""
    if not 0 <= instance <= 255:
        raise ValueError(f"instance ids have 8 bits, got {instance}")
    red, green, blue = (int(min(max(channel, 0.0), 1.0) * 255 + 0.5) for channel in rgb)
    return instance << 24 | blue << 16 | green << 8 | red


def _running_total(counts: list[int]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


class Canvas:
    """The picture that one camera has of a scene, at a resolution from `RESOLUTIONS`."""

    def __init__(self, resolution: int, background_rgb: tuple[float, float, float]) -> None:
        self._factor = SIZE // resolution
        tile = self._factor if self._factor > 2 else 4
        self._surface = raster.Surface(
            pixels=np.empty((SIZE, SIZE), np.uint32),
            touched=np.zeros((SIZE // tile, SIZE // tile), np.uint8),
            tile=tile,
        )
        self._blank = pack(background_rgb, 0)
        self._background = np.empty((SIZE, SIZE), np.uint32)
        self._background_image = np.empty((resolution, resolution, 3), np.uint8)
        self._scene: DisplayList | None = None

    def show(self, scene: DisplayList) -> None:
        """Forget what was drawn; the next `draw` begins with this scene."""
        self._scene = scene
        self._matrices = np.full((len(scene.chain_starts) - 1, 6), np.nan)
        self._unmoved = -1

    def draw(self, camera: Affine) -> npt.NDArray[np.uint8]:
        """Draw the scene where its transforms are now; a new RGB image, uint8 (resolution, resolution, 3)."""
        scene = self._scene
        if scene is None:
            raise RuntimeError("show() a scene before draw()")
        surface, primitives, count = self._surface, scene.primitives, len(scene.primitives.matrix)
        unmoved = raster.place(
            scene.poses(),
            np.array(camera, dtype=np.float64),
            scene.chain_starts,
            scene.chain_members,
            self._matrices,
            primitives.matrix,
            max(self._unmoved, 0),
        )
        if self._unmoved < 0:
            unmoved = count  # The first frame is all background: the next will tell what moves.
        if unmoved != self._unmoved:
            self._unmoved = unmoved
            self._draw_background(primitives)
        np.copyto(surface.pixels, self._background)
        surface.touched.fill(0)
        raster.draw(surface, primitives, self._matrices, unmoved, count)
        image = self._background_image.copy()
        averaging.average(surface, self._factor, image)
        return image

    def _draw_background(self, primitives: raster.Primitives) -> None:
        surface = self._surface
        surface.pixels.fill(self._blank)
        raster.draw(surface, primitives, self._matrices, 0, self._unmoved)
        np.copyto(self._background, surface.pixels)
        surface.touched.fill(1)
        averaging.average(surface, self._factor, self._background_image)

    def native(self) -> npt.NDArray[np.uint8]:
        """The last frame at 384×384, RGB uint8 (384, 384, 3)."""
        channels = self._surface.pixels.view(np.uint8).reshape(SIZE, SIZE, 4)
        return np.ascontiguousarray(channels[..., :3])

    def instance_ids(self) -> npt.NDArray[np.uint8]:
        """Whose each pixel of the last frame is: instance ids, uint8 (resolution, resolution).

        A pixel that averages several of the 384×384 picture shows the id of the one just right of and below
        their middle: row 2, column 2 of the 4×4 at 96×96.
        """
        ids = np.empty(self._background_image.shape[:2], np.uint8)
        averaging.instance_ids(self._surface.pixels, self._factor, ids)
        return ids
