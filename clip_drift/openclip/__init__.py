"""OpenCLIP encoders through ``open_clip_torch``: weight files first, downloads only on request.

A weight file says neither its architecture nor its preprocessing. Both are taken from the
``open_clip_config.json`` beside it where there is one (named like the weights), else from the one
architecture among open_clip's own whose tensors have the same names and shapes.
"""

from .encoder import PRECISIONS, OpenClipEncoder
from .library import import_open_clip
from .load import load_openclip_file, load_openclip_tag
from .pretrained import pretrained_names
from .weights import EXTENSIONS

__all__ = [
    "EXTENSIONS",
    "PRECISIONS",
    "OpenClipEncoder",
    "import_open_clip",
    "load_openclip_file",
    "load_openclip_tag",
    "pretrained_names",
]
