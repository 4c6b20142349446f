"""ComfyUI nodes over the library: one file per menu section, what several need in `core`."""

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
    rotation,
)

SECTIONS = (
    drift,
    encoder,
    files,
    report,
    compare,
    rotation,
    prompt,
    noise,
    consistency,
    frames,
    loop,
)
NODES = [node for section in SECTIONS for node in section.NODES]
