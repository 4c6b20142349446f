"""The toy world: one coloured shape on a dark ground, drawn from numbers, and measured again.

Lengths are fractions of the picture's width, x to the right, y down, angles radians clockwise.
Every scene is drawn from a seed. Training uses seeds below `HELD_OUT`, tests and figures use
seeds from there on.
"""

import math
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

SIZE = 64  # the models' pictures, in pixels
HELD_OUT = 1_000_000_000

SHAPES = ("circle", "square", "triangle", "star")
COLOURS = {
    "red": (0.92, 0.15, 0.15),
    "orange": (1.00, 0.55, 0.05),
    "yellow": (0.98, 0.92, 0.15),
    "green": (0.15, 0.80, 0.25),
    "cyan": (0.15, 0.85, 0.90),
    "blue": (0.20, 0.40, 1.00),
    "pink": (1.00, 0.40, 0.80),
    "white": (0.97, 0.97, 0.97),
}
GROUNDS = {
    "black": (0.03, 0.03, 0.03),
    "navy": (0.05, 0.08, 0.30),
    "maroon": (0.28, 0.04, 0.08),
    "dark green": (0.04, 0.22, 0.10),
    "dark grey": (0.25, 0.25, 0.26),
}
PALETTE = torch.tensor(list(COLOURS.values()))
GROUND_PALETTE = torch.tensor(list(GROUNDS.values()))

CENTRE = (0.22, 0.78)  # range of x and of y
RADIUS = (0.10, 0.22)  # with the centre's range: the shape stays inside the picture
TURN = (-math.pi / 10, math.pi / 10)  # the star's ends are still half a symmetry apart

# Brings the shapes to about one area.
_SCALE = {"circle": 0.92, "square": 0.82, "triangle": 1.20, "star": 1.25}
FOLD = {"square": 4, "triangle": 3, "star": 5}
"""How many turns bring each shape back to itself; a circle's cannot be told."""
_STAR_WAIST = 0.5


@dataclass
class Scenes:
    """B scenes. What is to be seen, and the numbers to draw it from.

    Attributes:
        shape: (B,) indices of SHAPES.
        colour: (B,) indices of COLOURS; ground: (B,) indices of GROUNDS.
        rgb: (B, 3) the shape's colour as drawn, which in a clip lies between two of COLOURS.
        x, y, radius, turn: (B,) float32.
    """

    shape: Tensor
    colour: Tensor
    ground: Tensor
    rgb: Tensor
    x: Tensor
    y: Tensor
    radius: Tensor
    turn: Tensor

    def __len__(self) -> int:
        return len(self.shape)

    def __getitem__(self, rows) -> "Scenes":
        return Scenes(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def but(self, **changes) -> "Scenes":
        return replace(self, **changes)

    def to(self, device: torch.device | str) -> "Scenes":
        return Scenes(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


def draw_scenes(count: int, seed: int, blends: float = 0.0) -> Scenes:
    """Scenes at random; a share of `blends` has a colour on the way to another one.

    Such a scene's `colour` is the nearer of the two.
    """
    generator = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=generator)

    def index(names) -> Tensor:
        return torch.randint(len(names), (count,), generator=generator)

    shape, colour, ground, other = index(SHAPES), index(COLOURS), index(GROUNDS), index(COLOURS)
    share = uniform(0, 0.5) * (uniform(0, 1) < blends)
    rgb = torch.lerp(PALETTE[colour], PALETTE[other], share[:, None])
    return Scenes(
        shape=shape,
        colour=colour,
        ground=ground,
        rgb=rgb,
        x=uniform(*CENTRE),
        y=uniform(*CENTRE),
        radius=uniform(*RADIUS),
        turn=uniform(*TURN),
    )


def render(scenes: Scenes, size: int = SIZE, softness: float = 1.0) -> Tensor:
    """Draw scenes, anti-aliased over `softness` pixels.

    Returns:
        (B, 3, size, size) float32 in 0..1, on the device of the scenes.
    """
    device = scenes.x.device
    pixels = (torch.arange(size, device=device) + 0.5) / size
    x = pixels[None, None, :] - scenes.x[:, None, None]
    y = pixels[None, :, None] - scenes.y[:, None, None]
    cos, sin = scenes.turn.cos()[:, None, None], scenes.turn.sin()[:, None, None]
    x, y = cos * x + sin * y, cos * y - sin * x
    distance = torch.empty(len(scenes), size, size, device=device)
    for number, name in enumerate(SHAPES):
        rows = scenes.shape == number
        radius = scenes.radius[rows, None, None] * _SCALE[name]
        distance[rows] = _DISTANCE[name](x[rows], y[rows], radius)
    cover = (0.5 - distance * size / softness).clamp(0, 1)[:, None]
    ground = GROUND_PALETTE.to(device)[scenes.ground]
    return torch.lerp(ground[:, :, None, None], scenes.rgb[:, :, None, None], cover)


def _circle(x: Tensor, y: Tensor, radius: Tensor) -> Tensor:
    return torch.hypot(x, y) - radius


def _square(x: Tensor, y: Tensor, radius: Tensor) -> Tensor:
    return torch.maximum(x.abs(), y.abs()) - radius


def _triangle(x: Tensor, y: Tensor, radius: Tensor) -> Tensor:
    """Equilateral, a corner at the top, `radius` from the centre to a corner."""
    slope = math.sqrt(3) / 2 * x.abs() - 0.5 * y
    return torch.maximum(slope, y) - radius / 2


def _star(x: Tensor, y: Tensor, radius: Tensor) -> Tensor:
    """Five points, one at the top: folded into half a point, whose edge is one line."""
    sector = 2 * math.pi / 5
    angle = torch.atan2(x, -y)
    angle = (angle - sector * torch.round(angle / sector)).abs()
    length = torch.hypot(x, y)
    along, across = length * angle.cos(), length * angle.sin()
    waist_along = _STAR_WAIST * math.cos(sector / 2)
    waist_across = _STAR_WAIST * math.sin(sector / 2)
    edge = math.hypot(1 - waist_along, waist_across)
    return ((along - radius) * waist_across + across * (1 - waist_along)) / edge


_DISTANCE = {"circle": _circle, "square": _square, "triangle": _triangle, "star": _star}


@dataclass
class Measures:
    """What is seen in B pictures, all (B,): NaN where nothing stands out from the ground.

    Attributes:
        x, y: the shape's centre of mass; area: its share of the picture.
        turn: radians, NaN for circles; right up to half the shape's symmetry.
        rgb: (B, 3) the shape's colour.
    """

    x: Tensor
    y: Tensor
    area: Tensor
    turn: Tensor
    rgb: Tensor

    @property
    def radius(self) -> Tensor:
        """About the shape's radius; exact up to a factor that belongs to the shape."""
        return (self.area / math.pi).sqrt()


def measure(pictures: Tensor, shape: Tensor | None = None) -> Measures:
    """Find the shape in (B, 3, S, S) pictures by its distance from the ground's colour.

    The ground is the median of the pictures' rim. `shape` (B,) says whose symmetry the turn is
    read with; without it no turn is read.
    """
    pictures = pictures.float()
    size = pictures.shape[-1]
    rim = torch.ones(size, size, dtype=torch.bool, device=pictures.device)
    margin = max(1, size // 32)
    rim[margin:-margin, margin:-margin] = False
    ground = pictures[:, :, rim].median(-1).values
    away = (pictures - ground[:, :, None, None]).norm(dim=1)
    # The bright end is a quantile: one wrong pixel must not set the scale.
    full = away.flatten(1).quantile(0.985, dim=1)
    weight = ((away / full[:, None, None].clamp_min(1e-6) - 0.25) / 0.5).clamp(0, 1)
    weight = weight * (full > 0.15)[:, None, None]
    mass = weight.sum((1, 2))
    mass = torch.where(mass > 0, mass, torch.nan)
    place = (torch.arange(size, device=pictures.device) + 0.5) / size
    x = (weight * place).sum((1, 2)) / mass
    y = (weight * place[:, None]).sum((1, 2)) / mass
    inside = weight * (away > 0.8 * full[:, None, None])
    rgb = (pictures * inside[:, None]).sum((2, 3)) / inside.sum((1, 2))[:, None]
    turn = torch.full_like(x, torch.nan)
    if shape is not None:
        for number, name in enumerate(SHAPES):
            rows = shape.to(x.device) == number
            if name in FOLD and rows.any():
                turn[rows] = _turn(weight[rows], place, x[rows], y[rows], name)
    return Measures(x=x, y=y, area=mass / size**2, turn=turn, rgb=rgb)


def _turn(weight: Tensor, place: Tensor, x: Tensor, y: Tensor, name: str) -> Tensor:
    """The phase of the moment that turns with the shape's own symmetry."""
    fold = FOLD[name]
    dx, dy = place - x[:, None, None], place[:, None] - y[:, None, None]
    angle, length = torch.atan2(dx, -dy), torch.hypot(dx, dy)
    moment = weight * length**fold
    phase = torch.atan2(
        (moment * (fold * angle).sin()).sum((1, 2)), (moment * (fold * angle).cos()).sum((1, 2))
    )
    if name == "square":  # its corners, where the moment points, lie between the axes
        phase = torch.remainder(phase, 2 * math.pi) - math.pi
    return phase / fold


def nearest_colour(rgb: Tensor) -> Tensor:
    """(B,) indices of the COLOURS nearest to (B, 3)."""
    return torch.cdist(rgb, PALETTE.to(rgb.device)).argmin(1)
