"""OpenCLIP encoders through `open_clip_torch`: weight files first, downloads only on request.

A weight file says neither its architecture nor its preprocessing. Both are taken from the
`open_clip_config.json` beside it where there is one (named like the weights), otherwise from the
one architecture among open_clip's own whose tensors have the same names and shapes.
"""

from .encoder import PRECISIONS, OpenClipEncoder
from .load import load_openclip_file, load_openclip_tag
from .pretrained import is_pretrained, pretrained_names

__all__ = [
    "PRECISIONS",
    "OpenClipEncoder",
    "is_pretrained",
    "load_openclip_file",
    "load_openclip_tag",
    "pretrained_names",
]
