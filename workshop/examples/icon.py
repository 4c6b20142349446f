"""Draw the registry's icon: a star that goes round, its past fading behind it.

python -m pack.workshop.examples.icon
"""

import math

from ..rig.paths import REPO

FILE = REPO / "docs" / "pictures" / "icon.svg"
SIDE = 400  # the registry takes squares of up to 400 pixels
GROUND, STAR = "#14213d", "#fca311"
GHOSTS, TURN, ORBIT, RADIUS = 7, 300, 122, 62  # a trail of so many degrees


def star(x: float, y: float, radius: float) -> str:
    """Ten corners of a five-pointed star, upright."""
    corners = []
    for i in range(10):
        angle, length = math.pi * i / 5, radius if i % 2 == 0 else 0.42 * radius
        corners.append(f"{x + length * math.sin(angle):.1f},{y - length * math.cos(angle):.1f}")
    return " ".join(corners)


def icon() -> str:
    """The picture as SVG."""
    stars = []
    for i in range(GHOSTS):
        age = 1 - i / (GHOSTS - 1)
        angle = math.radians(-45 - TURN * age)
        x, y = (SIDE / 2 + ORBIT * turn for turn in (math.cos(angle), math.sin(angle)))
        points = star(x, y, RADIUS * (1 - 0.55 * age))
        stars.append(f'<polygon points="{points}" opacity="{1 - 0.85 * age:.2f}"/>')
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{SIDE}" height="{SIDE}">',
            f'<rect width="{SIDE}" height="{SIDE}" rx="64" fill="{GROUND}"/>',
            f'<g fill="{STAR}">',
            *stars,
            "</g>",
            "</svg>",
            "",
        ]
    )


if __name__ == "__main__":
    FILE.write_text(icon(), encoding="utf-8")
    print(FILE)
