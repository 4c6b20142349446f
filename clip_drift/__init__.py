"""CLIP Drift, the method: a video's motion as rotations in CLIP space.

Read it as the article tells it: `drift` (look at the frames' embeddings), `rotation` and
`sequence` (the motion as plane rotations), `walks` (move an embedding along them; `spaces` says
into which space, `through` by way of a text tower) and `noise` (move the noise). `attend` and
`warp` keep frames together. Pure torch; ComfyUI is not imported here.

The front door needs torch, numpy and einops only. What reads videos (`encode`, `video`), encoders
(`openclip`), drift files (`files`) and reports (`report`) are modules to import by themselves.
docs/layout.md has all modules on one page.
"""

from .drift import Drift
from .errors import DriftError
from .noise import walk_noise
from .rotation import PlaneRotation
from .scores import compare
from .sequence import RotationSequence
from .shaping import resample
from .walks import PromptWalk, walk

__all__ = [
    "Drift",
    "DriftError",
    "PlaneRotation",
    "PromptWalk",
    "RotationSequence",
    "compare",
    "resample",
    "walk",
    "walk_noise",
]
