"""Image embeddings that ride in a CONDITIONING: Stable unCLIP, and SDXL's image prompts.

Core keeps them in a list of `{clip_vision_output, strength, noise_augmentation}` and adds up
every row of every one at sampling, whatever the latent's batch. As a batch in core's place, the
frames of a walk would all be drawn at once in each picture. So core's place holds the first
frame, and the walk rides beside it until Frames to List or Frame Loop puts a frame there.
"""

import copy
from collections.abc import Callable

from torch import Tensor

from . import sockets

KEY = "unclip_conditioning"
WALKED = "clip_drift_frames"  # in an entry of that list: (F, images, D)


def has_images(extra: dict) -> bool:
    """Whether a conditioning's dict carries image embeddings."""
    return bool(extra.get(KEY))


def walks_images(extra: dict) -> bool:
    """Whether they differ from frame to frame."""
    return any(WALKED in entry for entry in extra.get(KEY, []))


def walked_images(extra: dict, move: Callable[[Tensor], Tensor]) -> dict:
    """The image embeddings moved: what to set in a conditioning's dict.

    Args:
        extra: a conditioning's dict.
        move: (1 or F, images, D) → (F, images, D). Several images of one entry, which core
            blends, are moved each.

    Raises:
        DriftError: an image without an embedding.
    """
    entries = []
    for entry in extra.get(KEY, []):
        output = entry["clip_vision_output"]
        rows = entry.get(WALKED)
        if rows is None:
            rows = sockets.vectors_of(output, "the conditioning's image").unsqueeze(0)
        walked = move(rows)
        entries.append(
            {**entry, "clip_vision_output": _with_embeds(output, walked[0]), WALKED: walked}
        )
    return {KEY: entries} if entries else {}


def image_frame(extra: dict, i: int) -> dict:
    """Frame i of the image embeddings that were walked, in core's place."""
    return {KEY: [_entry_frame(entry, i) for entry in extra[KEY]]} if has_images(extra) else {}


def _entry_frame(entry: dict, i: int) -> dict:
    if WALKED not in entry:
        return entry
    rest = {key: value for key, value in entry.items() if key != WALKED}
    rows = entry[WALKED]
    output = _with_embeds(entry["clip_vision_output"], rows[i if len(rows) > 1 else 0])
    return {**rest, "clip_vision_output": output}


def _with_embeds(output, embeds: Tensor):
    """A CLIP_VISION_OUTPUT like this one, which others hold too, with other embeddings."""
    changed = copy.copy(output)
    changed["image_embeds"] = embeds
    return changed
