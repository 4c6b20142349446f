"""CLIP Drift: a video's motion, as rotations in CLIP space, moves any text-to-image model."""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    """The extension, for ComfyUI; imported here, so that the library can be used without it."""
    from .extension import ClipDriftExtension

    return ClipDriftExtension()
