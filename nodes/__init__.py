"""ComfyUI nodes over the library: a file a menu section."""

from . import (
    compare,
    drift,
    encoder,
    files,
    frames,
    kandinsky22,
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
    frames,
    loop,
    kandinsky22,
)
NODES = [node for section in SECTIONS for node in section.NODES]
