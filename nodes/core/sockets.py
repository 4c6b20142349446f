"""The pack's own socket types, and which vectors a socket stands for."""

import numpy as np
from comfy_api.input import CurveInput
from comfy_api.latest import io
from torch import Tensor, cat

from ...clip_drift.drift import Drift
from ...clip_drift.errors import DriftError
from ...clip_drift.sequence import RotationSequence
from ...clip_drift.strength import Strength

ClipDrift = io.Custom("CLIP_DRIFT")
Rotation = io.Custom("ROTATION")
OpenClip = io.Custom("OPENCLIP")
TokenMask = io.Custom("TOKEN_MASK")
Loop = io.Custom("CLIP_DRIFT_LOOP")
Floats = io.Custom("FLOATS")

VECTOR_TYPES = [ClipDrift, io.Conditioning, io.ClipVisionOutput]


def vectors_of(value, name: str) -> Tensor:
    """The vectors a socket stands for.

    Args:
        value: CLIP_DRIFT (its frames), CLIP_VISION_OUTPUT (its image_embeds) or CONDITIONING
            (its only token where there is one, otherwise its pooled vector).
        name: of the input, for an error.

    Returns:
        (count, N) tensor.
    """
    if isinstance(value, Drift):
        return value.embeddings
    if isinstance(value, list):
        return cat([_conditioning_vectors(tokens, extra, name) for tokens, extra in value])
    embeds = value["image_embeds"]
    if embeds is None:
        raise DriftError(f"{name} has no image embedding: encode it with a CLIP vision model.")
    return embeds


def _conditioning_vectors(tokens: Tensor, extra: dict, name: str) -> Tensor:
    if tokens.shape[1] == 1:
        return tokens[:, 0]
    pooled = extra.get("pooled_output")
    if pooled is None:
        raise DriftError(
            f"{name} is a conditioning of {tokens.shape[1]} tokens without a pooled vector, so no "
            "single vector stands for it: use a text encoder that gives one, or a drift."
        )
    return pooled


def strength_input(tooltip: str):
    """The strength socket: a number widget that also takes a list of numbers or a curve."""
    return io.MultiType.Input(
        io.Float.Input("strength", default=1.0, min=-10.0, max=10.0, step=0.01, tooltip=tooltip),
        types=[io.Float, io.Int, Floats, io.Curve],
    )


def rate_output():
    """The last socket of what moves something frame by frame."""
    return io.Float.Output(
        "fps",
        tooltip="Frames per second at which the motion lasts as long as the clip did, for Create "
        "Video; 1 for rotations between vectors, which know no time.",
    )


def rate_of(rotation: RotationSequence) -> float:
    """What that socket holds."""
    return rotation.fps or 1.0


def as_strength(value) -> Strength:
    """What the strength socket holds, as the library takes it."""
    if isinstance(value, CurveInput):
        return lambda places: value.interp_array(np.asarray(places))
    return value
