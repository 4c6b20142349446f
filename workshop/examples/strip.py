"""A strip of frames to show around: rows of pictures, each below its label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont

TILE, GAP, MARGIN, LABEL = 128, 4, 32, 52
GROUND, TEXT = "#1d1e21", "#f2f2f2"


def draw_strip(rows: Sequence[tuple[str, Sequence[np.ndarray]]]) -> Image.Image:
    """Labels, and frames (uint8, height × width × RGB) from left to right under each."""
    columns = max(len(frames) for _, frames in rows)
    width = columns * (TILE + GAP) - GAP + 2 * MARGIN
    strip = Image.new("RGB", (width, len(rows) * (LABEL + TILE) + MARGIN), GROUND)
    draw = ImageDraw.Draw(strip)
    font = ImageFont.truetype(findfont("DejaVu Sans"), 26)
    for row, (label, frames) in enumerate(rows):
        top = row * (LABEL + TILE)
        draw.text((MARGIN, top + LABEL - 10), label, TEXT, font, anchor="ls")
        for column, frame in enumerate(frames):
            tile = Image.fromarray(frame).resize((TILE, TILE), Image.Resampling.LANCZOS)
            strip.paste(tile, (MARGIN + column * (TILE + GAP), top + LABEL))
    return strip
