"""Draw `example_workflows/*.jpg`, the thumbnails of the example workflows.

    python -m pack.workshop.examples.thumbnails [--folder EXAMPLES] [NAME ...]

Without names it draws all of them. Everything in them is computed: a real server runs workflows,
and reads the sample clip's drift, which the pack's library walks prompts and noise along. The first
shows Mini Kandinsky's run of its own clip; in all others models have random weights (see
weights.py): the drift is that of the clip's picture, not of its meaning, and what is drawn is
texture.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.patheffects import withStroke
from PIL import Image

from ...clip_drift.noise import walk_noise
from ...clip_drift.sequence import RotationSequence
from ...clip_drift.walks import walk
from ..rig.clips import rolling_ball
from ..rig.paths import EXAMPLES
from .thumbnail_runs import CLIP_FPS, FPS, FRAMES, Runs, run

SIDE, QUALITY = 600, 90
SEED, LARGEST = 7901, 60_000
TILE = 139
GROUND, TEXT, MUTED, CLIP, PIXELS = "#1d1e21", "#f2f2f2", "#8a8f98", "#E69F00", "#56B4E9"
SHOWN, QUARTERS = (0, 5, 10, 15), (0, 4, 8, 12)
"""The frames in a film strip; those of a clip that goes round."""


class Card:
    """One thumbnail: a film strip of the clip, and room for a drawing below it."""

    def __init__(self, name: str, runs: Runs):
        self.drift = runs.drift
        self.frames = runs.frames.get(name, [])
        self.comparison = runs.comparison
        self.shown = QUARTERS if name in runs.clips else SHOWN
        self.figure = Figure((SIDE / 100, SIDE / 100), dpi=100, facecolor=GROUND)
        FigureCanvasAgg(self.figure)
        self._film_strip(runs.clips.get(name) or sample_frames())

    @cached_property
    def rotation(self):
        """The sample clip's drift as rotations."""
        return RotationSequence.from_trajectory(self.drift, "from_first", centered=False)

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Bare axes; all in pixels, y downwards from the top."""
        place = [x / SIDE, 1 - (y + height) / SIDE, width / SIDE, height / SIDE]
        axes = self.figure.add_axes(place)
        axes.set_axis_off()
        return axes

    def picture(self, pixels: np.ndarray, x: float, y: float, width: float, height: float):
        """Show pixels in a rectangle, unsmoothed."""
        self.axes(x, y, width, height).imshow(pixels, interpolation="nearest", aspect="auto")

    def words(self, x: float, y: float, text: str, size: int = 22, color: str = TEXT, **options):
        """Write text at a point."""
        return self.figure.text(x / SIDE, 1 - y / SIDE, text, size=size, color=color, **options)

    def arrow(self, start: tuple, end: tuple, bend: float = 0.0, color: str = CLIP):
        """Draw an arrow from point to point."""
        ends = [(x / SIDE, 1 - y / SIDE) for x, y in (start, end)]
        style = {"arrowstyle": "-|>", "mutation_scale": 22, "linewidth": 3, "color": color}
        curve = f"arc3,rad={bend}"
        transform = self.figure.transFigure
        self.figure.add_artist(
            FancyArrowPatch(*ends, connectionstyle=curve, transform=transform, **style)
        )

    def save(self, file: Path):
        """Write the JPEG."""
        self.figure.canvas.draw()
        pixels = np.asarray(self.figure.canvas.buffer_rgba())[..., :3]
        for quality in range(QUALITY, 0, -5):
            Image.fromarray(pixels).save(file, quality=quality, optimize=True)
            if file.stat().st_size < LARGEST:
                return

    def _film_strip(self, pictures: list[np.ndarray]):
        film = self.axes(0, 0, SIDE, 176)
        film.set(xlim=(0, SIDE), ylim=(176, 0))
        film.add_patch(Rectangle((0, 0), SIDE, 176, color="#000"))
        for x in range(14, SIDE, 36):
            for y in (9, 155):
                film.add_patch(Rectangle((x, y), 18, 12, color="#d8d8d8"))
        for left, frame in zip(tile_places(), self.shown, strict=True):
            height, width = pictures[frame].shape[:2]
            wide = min(TILE, 116 * width / height)
            self.picture(pictures[frame], left + (TILE - wide) / 2, 30, wide, 116)


def sample_frames() -> list[np.ndarray]:
    """Those that the sample clip's drift was read from, less their sides."""
    step = CLIP_FPS // FPS
    return [frame[:, 38:-38] for frame in rolling_ball(FRAMES * step)][::step]


# --- What the workflows do to it ------------------------------------------------------------------


def mini_kandinsky(card: Card):
    """The frames that the workflow drew."""
    says = "the motion, carried to a yellow star"
    draw_frames(card, says, "nothing to download", CLIP, "drawn by Mini Kandinsky, in the box")


def look_first(card: Card):
    """Both Gram matrices, as in Drift Report."""
    flat = card.drift.thumbnails.flatten(1).double()
    flat = flat / flat.norm(dim=1, keepdim=True)
    clip = card.drift.embeddings.double()
    for x, vectors, name, color in ((30, flat, "pixels", PIXELS), (315, clip, "CLIP", CLIP)):
        panel = card.axes(x, 240, 255, 255)
        panel.imshow(vectors @ vectors.T, cmap="inferno", interpolation="nearest", aspect="auto")
        card.words(x, 224, name, color=color, weight="bold")
    card.words(30, 556, "every frame against every frame", size=19, color=MUTED)


def rotate_prompt(card: Card):
    """The prompt's path over the sphere."""
    draw_sphere(card, 300, 388, 196)


def move_one_word(card: Card):
    """How far each word of the prompt has turned, frame after frame."""
    prompt = ["a", "woman", "washes", "a", "window"]
    mask = torch.tensor([float(word == "washes") for word in prompt])
    tokens = torch.randn(1, len(prompt), 768, generator=torch.Generator().manual_seed(SEED))
    walked = walk(tokens, card.rotation, "carry", 1.0, mask=mask)
    cosines = torch.cosine_similarity(walked, tokens, dim=-1).clamp(-1, 1)
    angles = cosines.acos().rad2deg().numpy()
    x = 26
    for index, word in enumerate(prompt):
        moves = bool(mask[index])
        color, weight = (CLIP, "bold") if moves else (TEXT, "normal")
        written = card.words(x, 262, word, color=color, weight=weight)
        width = written.get_window_extent().width
        plot = card.axes(x, 290, width, 230)
        plot.set(xlim=(0, FRAMES - 1), ylim=(-0.04 * angles.max(), 1.05 * angles.max()))
        if moves:
            plot.fill_between(range(FRAMES), angles[:, index], color=CLIP, alpha=0.25)
        plot.plot(angles[:, index], color=CLIP if moves else MUTED, linewidth=4)
        x += width + 20
    card.words(26, 562, "how far each word turns", size=19, color=MUTED)


def noise_only(card: Card):
    """The noise of the four frames above."""
    for x, picture in zip(tile_places(), noise_pictures(card, 10), strict=True):
        card.picture(picture, x, 240, TILE, TILE)
    for x in tile_places()[:-1]:
        card.arrow((x + 74, 392), (x + 213, 392), bend=0.45)
    card.words(26, 520, "the noise drifts as the clip does", size=20)
    card.words(26, 558, "the prompt stays", size=20, color=MUTED)


def text_and_noise(card: Card):
    """The prompt's path, and the noise of the four frames above."""
    draw_sphere(card, 156, 370, 138)
    for number, picture in enumerate(noise_pictures(card, 10)):
        x, y = 322 + 130 * (number % 2), 238 + 130 * (number // 2)
        card.picture(picture, x, y, 122, 122)
    card.words(136, 560, "text", color=CLIP, weight="bold")
    card.words(416, 560, "noise", color=PIXELS, weight="bold")


def feedback_loop(card: Card):
    """A chain of arrows over the noise that KSampler adds in each frame of the loop."""
    generator = torch.Generator().manual_seed(SEED)
    noises = as_pictures(torch.randn(len(SHOWN), 4, 10, 10, generator=generator))
    size, corners = 118, ((40, 230), (246, 230), (246, 398), (452, 398))
    for number, ((x, y), noise) in enumerate(zip(corners, noises, strict=True), 1):
        card.picture(noise, x, y, size, size)
        label = card.words(x + size / 2, y + 76, str(number), size=32, weight="bold", ha="center")
        label.set_path_effects([withStroke(linewidth=6, foreground=GROUND)])
    half, gap = size / 2, 8
    for (ax, ay), (bx, by) in itertools.pairwise(corners):
        if ay == by:
            ends = (ax + size + gap, ay + half), (bx - gap, by + half)
        else:
            ends = (ax + half, ay + size + gap), (bx + half, by - gap)
        card.arrow(*ends)
    card.words(26, 562, "each frame starts from the one before", size=19, color=MUTED)


def kandinsky_text(card: Card):
    """The frames that the workflow drew."""
    draw_frames(card, "its image embedding moves", "the noise stays", CLIP)


def kandinsky_noise(card: Card):
    """The frames that the workflow drew."""
    draw_frames(card, "the noise moves", "the image embedding stays", PIXELS)


def kandinsky_both(card: Card):
    """The frames that the workflow drew."""
    draw_frames(card, "embedding and noise move", "frame by frame", CLIP)


def kandinsky_image(card: Card):
    """The frames that the workflow drew."""
    draw_frames(card, "a picture's embedding moves", "image prompt", CLIP)


def unclip_image(card: Card):
    """The frames that the workflow drew."""
    draw_frames(card, "a picture's embedding moves", "frame by frame", CLIP)


def score_motion(card: Card):
    """The upper part of Compare Drifts: the sample clip, and the same encoded again."""
    shown = card.comparison.crop((0, 0, card.comparison.width, card.comparison.width))
    card.picture(np.asarray(shown.resize((SIDE, SIDE), Image.Resampling.LANCZOS)), 0, 0, SIDE, SIDE)


def draw_frames(
    card: Card,
    says: str,
    below: str,
    color: str,
    by: str = "drawn by a decoder of random weights",
):
    """Four frames below those of the clip, and three lines of text."""
    for x, frame in zip(tile_places(), card.shown, strict=True):
        card.picture(card.frames[frame], x, 240, TILE, TILE)
    for x in tile_places()[:-1]:
        card.arrow((x + 74, 392), (x + 213, 392), bend=0.45, color=color)
    card.words(26, 500, says, size=20)
    card.words(26, 538, below, size=20, color=MUTED)
    card.words(26, 576, by, size=13, color=MUTED)


def draw_sphere(card: Card, x: float, y: float, radius: float):
    """A prompt's vector carried along the clip: its path over the sphere, to scale.

    Looked at from straight above the prompt, in the two directions in which the path is longest.
    """
    start = torch.randn(1, 1, 768, generator=torch.Generator().manual_seed(SEED))
    path = walk(start, card.rotation, "carry", 1.0)[:, 0].double()
    path = path / path.norm(dim=1, keepdim=True)
    across = path - (path @ path[0])[:, None] * path[0]
    _, _, directions = torch.linalg.svd(across, full_matrices=False)
    seen = across @ directions[:2].T
    points = (seen * torch.sign(seen[-1])).numpy().T
    globe = card.axes(x - radius, y - radius, 2 * radius, 2 * radius)
    globe.set(xlim=(-1.02, 1.02), ylim=(-1.02, 1.02))
    draw_globe(globe)
    globe.plot(*points, color=CLIP, linewidth=3)
    globe.scatter(*points, c=np.arange(FRAMES), cmap="autumn", s=70, zorder=3, edgecolors="#000")
    globe.annotate("prompt", (0, 0), (-78, -4), textcoords="offset points", color=TEXT, size=17)


def draw_globe(axes: Axes):
    """Meridians and parallels of a globe, a little tilted."""
    turn = np.linspace(-np.pi / 2, np.pi / 2, 60)
    tilt = np.array([[1, 0, 0], [0, np.cos(0.4), -np.sin(0.4)], [0, np.sin(0.4), np.cos(0.4)]])
    lines = [(np.full(60, a), turn) for a in np.linspace(-np.pi, np.pi, 25)]
    lines += [(turn * 2, np.full(60, b)) for b in np.linspace(-1.3, 1.3, 11)]
    for along, up in lines:
        x, y, z = tilt @ [np.cos(up) * np.sin(along), np.sin(up), np.cos(up) * np.cos(along)]
        axes.plot(np.where(z > 0, x, np.nan), y, color="#4a5360", linewidth=1)
    circle = np.linspace(0, 2 * np.pi, 200)
    axes.plot(np.cos(circle), np.sin(circle), color="#6a7480", linewidth=1.5)


def tile_places() -> list[float]:
    """Left edges of four tiles, below the strip's frames."""
    return [9 + 147.5 * place for place in range(len(SHOWN))]


def noise_pictures(card: Card, cells: int) -> list[np.ndarray]:
    """The drifting noise of the frames shown."""
    shape = (4, cells, cells)
    return as_pictures(walk_noise(SEED, shape, card.rotation, "correlate", 1.0, list(SHOWN)))


def as_pictures(noise: torch.Tensor) -> list[np.ndarray]:
    """Three of the channels as red, green and blue, each value as its share of the normal law."""
    colors = torch.special.ndtr(noise[:, :3].double()).movedim(1, -1)
    return [(picture * 255).round().byte().numpy() for picture in colors]


DRAWINGS: dict[str, Callable[[Card], None]] = {
    "1-mini_kandinsky": mini_kandinsky,
    "2-look_at_a_clip_first": look_first,
    "3-rotate_the_prompt": rotate_prompt,
    "4-move_one_word": move_one_word,
    "5-drifting_noise_only": noise_only,
    "6-text_and_noise_frame_by_frame": text_and_noise,
    "7-feedback_loop": feedback_loop,
    "8-kandinsky_text_loop": kandinsky_text,
    "9-kandinsky_noise_loop": kandinsky_noise,
    "10-kandinsky_text_and_noise": kandinsky_both,
    "11-kandinsky_image_prompt": kandinsky_image,
    "12-unclip_image_prompt": unclip_image,
    "13-score_the_motion": score_motion,
}
"""File name without its ending -> what is drawn below the film strip."""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="a workflow, without .json")
    parser.add_argument("--folder", type=Path, default=EXAMPLES)
    options = parser.parse_args()
    names = options.names or list(DRAWINGS)
    if unknown := set(names) - set(DRAWINGS):
        parser.error(f"there is no workflow {', '.join(sorted(unknown))}")
    runs = run(names)
    with mpl.rc_context({"font.family": "DejaVu Sans"}):
        for name in names:
            card = Card(name, runs)
            DRAWINGS[name](card)
            card.save(options.folder / f"{name}.jpg")
            print(options.folder / f"{name}.jpg")


if __name__ == "__main__":
    main()
