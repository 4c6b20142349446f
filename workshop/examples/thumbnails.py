"""Record `example_workflows/*.jpg`, the moving thumbnails of the example workflows.

    python -m pack.workshop.examples.thumbnails [--folder EXAMPLES] [NAME ...]

Without names it records all of them: the pack's clip on the left, on the right what its motion did,
drawn by Mini Kandinsky without a server. The workflows of large models show their idea with it, and
say so. They are GIFs under the ending that the template browser asks for; it plays them.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ...clip_drift.drift import Drift
from ...clip_drift.encode import drift_from_video
from ...clip_drift.noise import walk_noise
from ...clip_drift.sequence import RotationSequence
from ...clip_drift.walks import PromptWalk
from ..mini.exported import Mini, load_mini
from ..rig.paths import EXAMPLES, MODELS
from .demo import frames_of
from .workflows.mini import PROMPT
from .workflows.parts import FPS, SEED, VIDEO

SIDE, GAP, CAPTION, LETTERS, COLOURS = 160, 6, 28, 15, 64
GROUND, TEXT = "#1d1e21", "#f2f2f2"
LATENT = (4, 8, 8)
"""Mini Kandinsky's, of a picture of 64 × 64 pixels."""


class Shown(NamedTuple):
    """What a thumbnail shows: how far a prompt and the noise follow the clip."""

    prompt: str
    says: str
    strength: float = 1.0
    noise: float = 0.0
    stands_in: bool = True
    """Whether the workflow itself draws with a large model."""


BOTH = "prompt and noise"
SHOWN = {
    "01-mini_kandinsky": Shown(PROMPT, "the prompt follows the clip", stands_in=False),
    "03-rotate_the_prompt": Shown("a red triangle on black", "the prompt moves"),
    "04-move_one_word": Shown("a cyan square on maroon", "a word moves"),
    "05-drifting_noise_only": Shown("a green star on navy", "only the noise moves", 0.0, 1.0),
    "06-text_and_noise_frame_by_frame": Shown("a pink circle on dark green", BOTH, noise=0.5),
    "07-feedback_loop": Shown("an orange star on dark grey", "frame from frame"),
    "08-kandinsky_text_loop": Shown("a green triangle on navy", "the prompt moves"),
    "09-kandinsky_noise_loop": Shown("a blue square on black", "only the noise moves", 0.0, 1.0),
    "10-kandinsky_text_and_noise": Shown("a white star on maroon", BOTH, noise=0.3),
    "11-kandinsky_image_prompt": Shown("a pink square on dark green", "a picture moves"),
    "12-unclip_image_prompt": Shown("a yellow circle on dark grey", "a picture moves"),
    "13-score_the_motion": Shown(
        "a cyan star on black", "how well does it follow?", stands_in=False
    ),
    "14-text2video_zero": Shown("a red square on dark grey", "prompt and path"),
    "15-long_clip_by_windows": Shown("a white circle on navy", "many frames", noise=0.2),
    "16-attend_to_first_frame": Shown(PROMPT, "do frames look alike?", noise=1.0, stands_in=False),
    "17-rotate_the_prompt_sdxl": Shown("a pink triangle on navy", "the prompt moves"),
    "18-rotate_the_prompt_sd3": Shown("a yellow star on dark green", "the prompt moves"),
}
MATRIX = "02-look_at_a_clip_first"
"""The one that draws nothing: how alike every two frames are to CLIP."""


class Recorder:
    """The clip, its drift, and the model that draws."""

    def __init__(self):
        self.mini: Mini = load_mini(MODELS)
        clip = EXAMPLES / VIDEO
        self.clip = [Image.fromarray(frame) for frame in frames_of(clip.read_bytes())]
        self.drift: Drift = drift_from_video(str(clip), self.mini.clip)
        self.rotation = RotationSequence.from_trajectory(self.drift, "from_first", centered=False)

    def record(self, name: str) -> list[Image.Image]:
        """The frames of one thumbnail."""
        if name == MATRIX:
            right, says = self._matrix(), "what CLIP sees: frames alike"
        else:
            shown = SHOWN[name]
            right = self.drawn(shown)
            says = shown.says + (" · by Mini Kandinsky" if shown.stands_in else "")
        return [card(*pair, says) for pair in zip(self.clip, right, strict=True)]

    def drawn(self, shown: Shown) -> list[Image.Image]:
        """What Mini Kandinsky draws for the clip's frames."""
        walk = PromptWalk(self.rotation, "follow", strength=shown.strength).for_batch()
        moved = walk(self.mini.imagine([shown.prompt], seed=SEED)[:, None])[:, 0]
        noise = walk_noise(SEED, LATENT, self.rotation, "correlate", shown.noise)
        return as_pictures(self.mini.draw(moved, noise=noise))

    def _matrix(self) -> list[Image.Image]:
        gram = self.drift.gram().numpy()
        scaled = (gram - gram.min()) / (gram.max() - gram.min())
        colours = (colormaps["viridis"](scaled)[..., :3] * 255).round().astype(np.uint8)
        frames = np.repeat(colours[None], len(colours), 0)
        for now, frame in enumerate(frames):
            frame[now, now] = 255  # this frame, among all
        return [
            Image.fromarray(each).resize((SIDE, SIDE), Image.Resampling.NEAREST) for each in frames
        ]


def as_pictures(drawn: Tensor) -> list[Image.Image]:
    """(F, 3, H, W) in 0..1 → pictures."""
    pixels = (drawn.permute(0, 2, 3, 1).clamp(0, 1) * 255).round().byte().numpy()
    return [Image.fromarray(frame) for frame in pixels]


def card(left: Image.Image, right: Image.Image, says: str = "") -> Image.Image:
    """Two pictures side by side, and a line below where there is one to say."""
    whole = Image.new("RGB", (2 * SIDE + GAP, SIDE + (CAPTION if says else 0)), GROUND)
    for place, picture in enumerate((left, right)):
        tile = picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        whole.paste(tile, (place * (SIDE + GAP), 0))
    if says:
        font = ImageFont.truetype(findfont("DejaVu Sans"), LETTERS)
        if font.getlength(says) > whole.width - 2 * GAP:
            raise ValueError(f"{says!r} is wider than a card: say it shorter.")
        middle = (whole.width // 2, SIDE + CAPTION // 2)
        ImageDraw.Draw(whole).text(middle, says, TEXT, font, anchor="mm")
    return whole


def save(frames: list[Image.Image], file: Path):
    """As a GIF that plays for ever, all frames in the same colours, so that nothing flickers."""
    width, height = frames[0].size
    tall = Image.new("RGB", (width, height * len(frames)))
    for row, frame in enumerate(frames):
        tall.paste(frame, (0, row * height))
    palette = tall.quantize(COLOURS)
    first, *rest = (frame.quantize(palette=palette, dither=0) for frame in frames)
    first.save(file, "GIF", save_all=True, append_images=rest, duration=1000 // FPS, loop=0)


@torch.inference_mode()
def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="a workflow, without .json")
    parser.add_argument("--folder", type=Path, default=EXAMPLES)
    options = parser.parse_args()
    known = sorted([*SHOWN, MATRIX])
    if unknown := set(options.names) - set(known):
        parser.error(f"there is no workflow {', '.join(sorted(unknown))}")
    recorder = Recorder()
    for name in options.names or known:
        save(recorder.record(name), options.folder / f"{name}.jpg")
        print(options.folder / f"{name}.jpg", flush=True)


if __name__ == "__main__":
    main()
