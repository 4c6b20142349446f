"""ComfyUI nodes over the library: a file a menu section."""

from . import drift, files, frames, noise, prompt, report, rotation

NODES = [
    node
    for section in (drift, files, report, rotation, prompt, noise, frames)
    for node in section.NODES
]
