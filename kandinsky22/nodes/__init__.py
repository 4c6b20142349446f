"""CLIP Drift/Kandinsky 2.2: the decoder and the prior as native ComfyUI models."""

from . import decoder, prior

NODES = [*decoder.NODES, *prior.NODES]
