"""Prompts in API format, for the tests and the benchmark on a real server."""

from ...farm.client import node

SMALL_ENCODER = "random_small.safetensors"
MINI_ENCODER = "mini-kandinsky-clip.safetensors"
CHECKPOINT = "random_sd15.safetensors"
TEXT = "a cat on a red sofa"


def drift(video: str, model: str = SMALL_ENCODER, **settings) -> dict:
    """video → drift, by an OpenCLIP encoder: the small one has 768 dimensions."""
    settings = {"sample_fps": 4.0, "max_frames": 0, "crop": "center"} | settings
    return {
        "video": node("LoadVideo", file=video),
        "encoder": node(
            "ClipDriftLoadOpenCLIP", model=model, precision="auto", allow_download=False
        ),
        "drift": node(
            "ClipDriftFromVideo", frames=["video", 0], encoder=["encoder", 0], **settings
        ),
    }


def rotation(
    video: str, frames: int, pairing: str = "from_first", centered: bool = False, **reading
) -> dict:
    """video → drift of so many frames, read as `drift` does → rotation."""
    return drift(video, **reading) | {
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


def mini_frames(frames: int, clip: str = "clip-drift-round.mp4", **changes: int) -> dict:
    """Mini Kandinsky, frame by frame: Frames to List, a sampler, a video. The models and the clip
    are in the pack."""
    size, steps = changes.get("size", 64), changes.get("steps", 4)
    read = rotation(clip, frames, model=MINI_ENCODER, sample_fps=8.0, max_frames=16)
    return read | {
        "decoder": node(
            "Kandinsky22LoadDecoder",
            unet_name="mini-kandinsky-decoder.safetensors",
            movq_name="mini-kandinsky-movq.safetensors",
            weight_dtype="default",
            clip_x0=True,
        ),
        "prior": node("Kandinsky22LoadPrior", prior_name="mini-kandinsky-prior.safetensors"),
        "prompt": node(
            "Kandinsky22Encode",
            prior=["prior", 0],
            clip=["encoder", 0],
            text="a large yellow star, upright, far left and at middle height on navy",
            negative="",
            seed=7901,
            steps=10,
            cfg=4.0,
            image_weight=0.5,
        ),
        "canvas": node("EmptyLatentImage", width=size, height=size, batch_size=1),
        "walk": node(
            "ClipDriftRotateConditioning",
            conditioning=["prompt", 0],
            rotation=["rotation", 0],
            method="tangent",
            strength=1.0,
            preserve_norm=True,
            rotate_pooled=True,
        ),
        "noise": node(
            "ClipDriftRotateNoise",
            latent=["canvas", 0],
            rotation=["rotation", 0],
            noise_seed=7901,
            method="correlate",
            strength=0.5,
        ),
        "frames": node(
            "ClipDriftFrames", conditioning=["walk", 0], latent=["noise", 1], start=0, count=0
        ),
        "guider": node(
            "CFGGuider",
            model=["decoder", 0],
            positive=["frames", 0],
            negative=["prompt", 1],
            cfg=2.0,
        ),
        "sampler": node("KSamplerSelect", sampler_name="ddim"),
        "sigmas": node(
            "BasicScheduler", model=["decoder", 0], scheduler="normal", steps=steps, denoise=1.0
        ),
        "sample": node(
            "SamplerCustomAdvanced",
            noise=["noise", 0],
            guider=["guider", 0],
            sampler=["sampler", 0],
            sigmas=["sigmas", 0],
            latent_image=["frames", 1],
        ),
        "pictures": node("VAEDecode", samples=["sample", 0], vae=["decoder", 1]),
        "batch": node("RebatchImages", images=["pictures", 0], batch_size=4096),
        "film": node("CreateVideo", images=["batch", 0], fps=8.0),
        "saved": node(
            "SaveVideo", video=["film", 0], filename_prefix="mini", format="auto", codec="auto"
        ),
    }
