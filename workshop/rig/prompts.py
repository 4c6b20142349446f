"""Prompts in API format, for the tests and the benchmark on a real server."""

from ...farm.client import node

SMALL_ENCODER = "random_small.safetensors"
CHECKPOINT = "random_sd15.safetensors"
TEXT = "a cat on a red sofa"


def drift(video: str, **settings) -> dict:
    """video → drift, by the small OpenCLIP encoder (768 dimensions)."""
    settings = {"sample_fps": 4.0, "max_frames": 0, "crop": "center"} | settings
    return {
        "video": node("LoadVideo", file=video),
        "encoder": node(
            "ClipDriftLoadOpenCLIP", model=SMALL_ENCODER, precision="auto", allow_download=False
        ),
        "drift": node(
            "ClipDriftFromVideo", frames=["video", 0], encoder=["encoder", 0], **settings
        ),
    }


def rotation(video: str, frames: int, pairing: str = "from_first", centered: bool = False) -> dict:
    """video → drift of so many frames → rotation."""
    return drift(video) | {
        "shape": node(
            "ClipDriftShape",
            drift=["drift", 0],
            frames=frames,
            smooth=0.0,
            direction="forward",
            strength=1.0,
        ),
        "rotation": node(
            "ClipDriftRotation", start=["shape", 0], pairing=pairing, centered=centered
        ),
    }


def walks(video: str, frames: int) -> dict:
    """A prompt and a noise that drift, on the random SD 1.5 checkpoint."""
    return rotation(video, frames) | {
        "model": node("CheckpointLoaderSimple", ckpt_name=CHECKPOINT),
        "text": node("CLIPTextEncode", clip=["model", 1], text=TEXT),
        "walk": node(
            "ClipDriftRotateConditioning",
            conditioning=["text", 0],
            rotation=["rotation", 0],
            method="carry",
            strength=1.0,
            preserve_norm=True,
            rotate_pooled=True,
        ),
        "canvas": node("EmptyLatentImage", width=64, height=64, batch_size=1),
        "noise": node(
            "ClipDriftRotateNoise",
            latent=["canvas", 0],
            rotation=["rotation", 0],
            noise_seed=7,
            method="correlate",
            strength=1.0,
        ),
    }


def sampled(positive: list, latent: list, denoise: float = 1.0, steps: int = 2) -> dict:
    """Native sampling with the drifting noise; "sample" holds the latents."""
    return {
        "guider": node(
            "CFGGuider", model=["model", 0], positive=positive, negative=["text", 0], cfg=1.0
        ),
        "sampler": node("KSamplerSelect", sampler_name="euler"),
        "sigmas": node(
            "BasicScheduler", model=["model", 0], scheduler="normal", steps=steps, denoise=denoise
        ),
        "sample": node(
            "SamplerCustomAdvanced",
            noise=["noise", 0],
            guider=["guider", 0],
            sampler=["sampler", 0],
            sigmas=["sigmas", 0],
            latent_image=latent,
        ),
    }


def saved_latents(latent: list) -> dict:
    return {"saved": node("SaveLatent", samples=latent, filename_prefix="latents/test")}
