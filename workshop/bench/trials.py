"""Trials of the semantic benches: a clip of the world, and a prompt for another shape of it.

The prompt shares neither the clip's shape nor its colour. One wording begins where the clip begins,
the other says nothing of what moves, as people type. All seeds are held out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..mini.exported import Mini
from ..world.captions import write_captions
from ..world.motions import MOTIONS, draw_clip
from ..world.scenes import (
    COLOURS,
    GROUNDS,
    HELD_OUT,
    SHAPES,
    Scenes,
    draw_scenes,
    nearest_colour,
    render,
)

SEED = HELD_OUT + 50_000_000
STARTS = ("said", "unsaid")
"""Whether the prompt says where the clip begins."""


@dataclass
class Trial:
    """One pair of clip and prompt, F frames.

    Attributes:
        motion: a key of MOTIONS.
        clip: F scenes, the clip's frames.
        ideal: F scenes, the prompt's shape making the clip's motion.
        drift: (F, E) CLIP's embeddings of the clip's frames.
        seed: of the prior, and of the noise that the frames are drawn from.
        mini: whose prior imagines the prompts.
    """

    motion: str
    clip: Scenes
    ideal: Scenes
    drift: Tensor
    seed: int
    mini: Mini

    @cached_property
    def captions(self) -> list[str]:
        """One per ideal frame: the first is the prompt that says where it begins."""
        return write_captions(self.ideal, self.seed, complete=1.0)

    @cached_property
    def text(self) -> dict[str, str]:
        """The prompt by `STARTS`."""
        shape, colour = SHAPES[self.ideal.shape[0]], tuple(COLOURS)[self.ideal.colour[0]]
        plain = f"a {colour} {shape} on {tuple(GROUNDS)[self.ideal.ground[0]]}"
        return {"said": self.captions[0], "unsaid": plain}

    @cached_property
    def told(self) -> Tensor:
        """(F, E) what the prior makes of each ideal frame's caption."""
        # One by one, as Kandinsky 2.2 Prior does it: a batch would get other noise each.
        return torch.cat([self._imagined(text) for text in self.captions])

    @cached_property
    def start(self) -> dict[str, Tensor]:
        """(1, E) the prompt's embedding, by `STARTS`."""
        return {start: self._imagined(text) for start, text in self.text.items()}

    def _imagined(self, text: str) -> Tensor:
        return self.mini.imagine([text], seed=self.seed)


def make_trials(mini: Mini, motions: Sequence[str], count: int, seed: int = SEED) -> list[Trial]:
    """`count` trials of each motion; the same ones each time."""
    trials = []
    for motion in motions:
        for number in range(count):
            own = seed + 1_000_000 * list(MOTIONS).index(motion) + 100 * number
            clip = draw_clip(motion, own)
            ideal = follow(motion, clip, unlike(motion, clip, own + 50))
            trials.append(Trial(motion, clip, ideal, mini.embed(render(clip)), own, mini))
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
