"""Motion through a text encoder: from targets in CLIP's joint space back to a prompt.

Token states of a text encoder do not live in the joint space, so a drift applied to them token by
token has no meaning of its own. Three ways lead back: `inversion` moves the prompt's input
embeddings, `end_token` the last state of a prompt in closed form, `captions` chooses words.
"""

from .bank import BANK, behind, read_bank
from .captions import CaptionPath, caption_path
from .carriers import CARRIERS, Candidate, carrier_scores, choose_carrier
from .end_token import end_token_shifts
from .inversion import Moved, invert
from .layouts import tower_from_state
from .report import Reading, reading
from .tower import TextTower

__all__ = [
    "BANK",
    "CARRIERS",
    "Candidate",
    "CaptionPath",
    "Moved",
    "Reading",
    "TextTower",
    "behind",
    "caption_path",
    "carrier_scores",
    "choose_carrier",
    "end_token_shifts",
    "invert",
    "read_bank",
    "reading",
    "tower_from_state",
]
