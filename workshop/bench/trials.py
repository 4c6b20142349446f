"""Trials of the semantic bench: a clip of the world, and a prompt that begins where it begins.

The prompt shares neither the clip's shape nor its colour. All seeds are held out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..mini.exported import Mini
from ..world.captions import write_captions
from ..world.motions import MOTIONS, draw_clip
from ..world.scenes import HELD_OUT, SHAPES, Scenes, draw_scenes, nearest_colour, render

SEED = HELD_OUT + 50_000_000


@dataclass
class Trial:
    """One pair of clip and prompt, F frames.

    Attributes:
        motion: a key of MOTIONS.
        clip: F scenes, the clip's frames.
        ideal: F scenes, the prompt's shape making the clip's motion.
        drift: (F, E) CLIP's embeddings of the clip's frames.
        told: (F, E) what the prior makes of each ideal frame's caption; the first is the prompt.
        seed: of the prior, and of the noise that the frames are drawn from.
    """

    motion: str
    clip: Scenes
    ideal: Scenes
    drift: Tensor
    told: Tensor
    seed: int

    @property
    def start(self) -> Tensor:
        """(1, E) the prompt's embedding."""
        return self.told[:1]


def make_trials(mini: Mini, motions: Sequence[str], count: int) -> list[Trial]:
    """``count`` trials of each motion; the same ones each time."""
    trials = []
    for motion in motions:
        for number in range(count):
            seed = SEED + 1_000_000 * list(MOTIONS).index(motion) + 100 * number
            clip = draw_clip(motion, seed)
            ideal = follow(motion, clip, unlike(motion, clip, seed + 50))
            captions = write_captions(ideal, seed, complete=1.0)
            # One by one, as Kandinsky 2.2 Prior does it: a batch would get other noise each.
            told = [mini.imagine([text], seed=seed) for text in captions]
            drift = mini.embed(render(clip))
            trials.append(Trial(motion, clip, ideal, drift, torch.cat(told), seed))
    return trials


def unlike(motion: str, clip: Scenes, seed: int) -> Scenes:
    """One scene of another shape and another colour than the clip's, in the middle.

    Where the clip tilts, not a circle.
    """
    while True:
        scene = draw_scenes(1, seed)
        other = scene.shape != clip.shape[:1] and scene.colour != clip.colour[:1]
        if other and (motion != "tilt" or scene.shape != SHAPES.index("circle")):
            middle = torch.full((1,), 0.5)
            return scene.but(x=middle, y=middle)
        seed += 1


def follow(motion: str, clip: Scenes, still: Scenes) -> Scenes:
    """The still scene, with what the clip changes as it is in the clip's frames."""
    ideal = still[torch.zeros(len(clip), dtype=torch.long)]
    ideal = ideal.but(**{name: getattr(clip, name) for name in MOTIONS[motion]})
    return ideal.but(colour=nearest_colour(ideal.rgb)) if "rgb" in MOTIONS[motion] else ideal
