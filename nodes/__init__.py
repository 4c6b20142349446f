"""ComfyUI nodes over the library: a file, or two, per menu section; what several need in `core`."""

from . import (
    compare,
    consistency,
    drift,
    encoder,
    files,
    frames,
    loop,
    noise,
    prompt,
    report,
    rotate_prompt,
    rotation,
    side_by_side,
    words,
)

SECTIONS = (
    drift,
    encoder,
    files,
    side_by_side,
    report,
    compare,
    rotation,
    rotate_prompt,
    prompt,
    words,
    noise,
    consistency,
    frames,
    loop,
)
NODES = [node for section in SECTIONS for node in section.NODES]
