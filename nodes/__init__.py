"""ComfyUI nodes over the library: a file a menu section."""

from . import drift, encoder, files, frames, loop, noise, prompt, report, rotation

SECTIONS = (drift, encoder, files, report, rotation, prompt, noise, frames, loop)
NODES = [node for section in SECTIONS for node in section.NODES]
