"""What MAGICAL draws with: the names that its `gym_render` module offered, without pyglet and OpenGL.

MAGICAL's robot, blocks and regions build their pictures once, from polygons, outlines and transforms, and
then move the transforms. Here they only describe the picture; `canvas.Canvas` puts it into pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

Point = tuple[float, float]
# Affine map (a, b, c, d, e, f): x' = a·x + b·y + c, y' = d·x + e·y + f.
Affine = tuple[float, float, float, float, float, float]


class Transform:
    """Turn by `rotation` (radians, counter-clockwise), then shift by `translation`."""

    def __init__(self, translation: Point = (0.0, 0.0), rotation: float = 0.0) -> None:
        self.x, self.y = translation
        self.angle = rotation

    def set_translation(self, x: float, y: float) -> Transform:
        self.x = x
        self.y = y
        return self

    def set_rotation(self, angle: float) -> Transform:
        self.angle = angle
        return self


class LineWidth:
    """Without effect: attributes were set in reverse, so an outline's own width came last and counted."""

    def __init__(self, stroke: float) -> None:
        pass


class LineStyle:
    """Dash pattern of an outline: 16 bits, the lowest first, each one pixel long; a set bit is drawn."""

    def __init__(self, style: int) -> None:
        self.style = style


class Geom:
    """Anything that can be drawn. `color` is RGB in [0, 1]; the last transform added is the outermost."""

    def __init__(self) -> None:
        self.color = (0.0, 0.0, 0.0)
        self.transforms: list[Transform] = []

    def set_color(self, red: float, green: float, blue: float) -> Geom:
        self.color = (red, green, blue)
        return self

    def add_attr(self, attribute: Transform | LineWidth | LineStyle) -> Geom:
        if isinstance(attribute, Transform):
            self.transforms.append(attribute)
        return self


class Polygon(Geom):
    """A filled convex polygon."""

    def __init__(self, vertices: Iterable[Sequence[float]]) -> None:
        super().__init__()
        self.vertices = [(float(v[0]), float(v[1])) for v in vertices]


class Outline(Geom):
    """The closed outline of a polygon, antialiased, `width` pixels wide."""

    def __init__(self, vertices: Iterable[Sequence[float]]) -> None:
        super().__init__()
        self.vertices = [(float(v[0]), float(v[1])) for v in vertices]
        self.width = 1.0
        self.stipple = 0xFFFF

    def set_linewidth(self, width: float) -> None:
        self.width = width

    def add_attr(self, attribute: Transform | LineWidth | LineStyle) -> Geom:
        if isinstance(attribute, LineStyle):
            self.stipple = attribute.style
        return super().add_attr(attribute)


class Compound(Geom):
    """Several geoms that move together; each keeps its own colour."""

    def __init__(self, parts: Iterable[Geom]) -> None:
        super().__init__()
        self.parts = list(parts)


def make_polygon(vertices: Iterable[Sequence[float]], filled: bool = True) -> Geom:
    return Polygon(vertices) if filled else Outline(vertices)


def make_circle(radius: float = 10, res: int = 30, filled: bool = True) -> Geom:
    """A regular polygon of `res` corners."""
    angles = [2 * math.pi * i / res for i in range(res)]
    return make_polygon([(math.cos(a) * radius, math.sin(a) * radius) for a in angles], filled)


def make_rect(width: float = 10, height: float = 10, filled: bool = True) -> Geom:
    x, y = width / 2, height / 2
    return make_polygon([(-x, y), (x, y), (x, -y), (-x, -y)], filled)


def make_square(side_length: float = 10, filled: bool = True) -> Geom:
    return make_rect(side_length, side_length, filled)


class Viewer:
    """Collects the geoms of a scene in drawing order, each with its owner, and knows the camera.

    width, height: of the picture in pixels. owner: called when a geom is added, says whose it is.
    camera: from arena units to pixels, y upwards.
    """

    def __init__(self, width: int, height: int, owner: Callable[[], object]) -> None:
        self.width = width
        self.height = height
        self.camera: Affine = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
        self.geoms: list[tuple[Geom, object]] = []
        self._owner = owner

    def reset_geoms(self) -> None:
        self.geoms = []

    def add_geom(self, geom: Geom) -> None:
        self.geoms.append((geom, self._owner()))

    def set_bounds(self, left: float, right: float, bottom: float, top: float) -> None:
        """Show the rectangle, upright."""
        x_scale, y_scale = self.width / (right - left), self.height / (top - bottom)
        self.camera = (x_scale, 0.0, -left * x_scale, 0.0, y_scale, -bottom * y_scale)

    def set_cam_follow(
        self,
        source_xy_world: Sequence[float],
        target_xy_01: Sequence[float],
        viewport_hw_world: Sequence[float],
        rotation: float,
    ) -> None:
        """Show a rectangle of `viewport_hw_world` (height, width), turned by `rotation` (radians) so that its
        upward direction is the robot's, with the point `source_xy_world` at `target_xy_01` of the picture."""
        x_scale, y_scale = self.width / viewport_hw_world[1], self.height / viewport_hw_world[0]
        cos, sin = math.cos(rotation), math.sin(rotation)
        x, y = source_xy_world
        a, b, d, e = x_scale * cos, x_scale * sin, -y_scale * sin, y_scale * cos
        c = self.width * target_xy_01[0] - a * x - b * y
        f = self.height * target_xy_01[1] - d * x - e * y
        self.camera = (a, b, c, d, e, f)

    def close(self) -> None:
        """Nothing to give back."""
