"""CLIP Drift/Noise: let the latent noise drift with a motion."""

import torch
from comfy_api.latest import io

from ..clip_drift.errors import DriftError, MissingFrameError
from ..clip_drift.noise import NOISE_WALKS, walk_noise
from ..clip_drift.sequence import RotationSequence
from ..clip_drift.strength import Strength, per_frame
from .core import sockets
from .core.advice import frames_advice
from .core.batches import is_video, join_latents, latent_frame, latent_samples


class ClipDriftRotateNoise(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ClipDriftRotateNoise",
            display_name="Rotate Latent Noise",
            category="CLIP Drift/Noise",
            description="Noise that drifts with a motion, for SamplerCustomAdvanced. Each frame's "
            "noise stays standard normal. A strength of 0 gives all frames the same noise.",
            search_aliases=[
                "animate noise",
                "deforum",
                "video motion",
                "noise walk",
                "correlated noise",
                "batch noise",
                "clip drift",
            ],
            inputs=[
                io.Latent.Input(
                    "latent",
                    tooltip="What is sampled: one latent for all frames, or one per frame. A video "
                    "latent (5-D) needs as many latent frames as the motion has.",
                ),
                sockets.Rotation.Input(
                    "rotation", tooltip="The motion, from Rotation Matrix from Vectors."
                ),
                io.Int.Input(
                    "noise_seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="The first frame gets the noise that a KSampler with this seed uses.",
                ),
                io.Combo.Input(
                    "method",
                    list(NOISE_WALKS),
                    default="correlate",
                    tooltip="correlate: noises as alike as the clip's frames are in CLIP space. "
                    "rotate: the noise as one vector, turned as the clip turns. near_identity: the "
                    "article's first experiment, a matrix close to the identity frame after frame.",
                ),
                sockets.strength_input(
                    "How far the noise drifts: 0 is the same noise for all, 1 follows the clip. "
                    "A number, a list of one number per frame, or a curve over the clip."
                ),
            ],
            outputs=[
                io.Noise.Output("noise", tooltip="For SamplerCustomAdvanced's noise."),
                io.Latent.Output(
                    "latent",
                    tooltip="The input, one per frame, with the batch_index that tells the noise "
                    "which frame is which: sample this, whole or through Frames to List.",
                ),
                sockets.rate_output(),
            ],
        )

    @classmethod
    def execute(cls, latent, rotation, noise_seed, method, strength):
        noise = DriftNoise(noise_seed, rotation, method, sockets.as_strength(strength))
        samples = latent_samples(latent)
        if is_video(samples):
            noise.check_video(samples)
            frames = latent
        else:
            frames = _one_a_frame(latent, len(rotation))
        # A strength that does not fit should fail here, not after the model has been loaded.
        per_frame(noise.strength, len(rotation))
        return io.NodeOutput(noise, frames, sockets.rate_of(rotation))


def _one_a_frame(latent: dict, frames: int) -> dict:
    count = len(latent["samples"])
    if count not in (1, frames):
        raise DriftError(
            f"latent holds {count} latents but the motion {frames} frames: give one latent, or "
            f"{frames} of them."
        )
    return join_latents([latent_frame(latent, i) for i in range(frames)])


class DriftNoise:
    """ComfyUI's NOISE: makes the noise of whichever frames a latent holds.

    Attributes:
        seed: read by the samplers for what else they draw.
    """

    def __init__(self, seed: int, rotation: RotationSequence, method: str, strength: Strength):
        self.seed = seed
        self.rotation = rotation
        self.method = method
        self.strength = strength

    def generate_noise(self, latent: dict) -> torch.Tensor:
        samples = latent["samples"]
        if is_video(samples):
            self.check_video(samples)
            shape = (samples.shape[1], *samples.shape[3:])
            return self._walk(shape, None).movedim(0, 1).unsqueeze(0)
        return self._walk(samples.shape[1:], latent.get("batch_index", range(len(samples))))

    def check_video(self, samples: torch.Tensor) -> None:
        """Raise DriftError unless this is one video of as many latent frames as the motion."""
        if len(samples) != 1 or samples.shape[2] != len(self.rotation):
            raise DriftError(
                f"latent holds {len(samples)} video(s) of {samples.shape[2]} latent frames but the "
                f"motion has {len(self.rotation)} frames: give one video, and use Shape Drift "
                f"with frames = {samples.shape[2]}."
            )

    def _walk(self, shape, frames) -> torch.Tensor:
        try:
            with frames_advice():
                return walk_noise(
                    self.seed, shape, self.rotation, self.method, self.strength, frames
                )
        except MissingFrameError as error:
            raise error.advised("sample the latent output of Rotate Latent Noise") from error


NODES = [ClipDriftRotateNoise]
