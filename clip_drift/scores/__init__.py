"""How well a rendered clip follows its reference, in CLIP space alone: scores and their controls.

No score means anything by itself. A still has a perfect CLIP-F, and any smooth motion a fair Gram
correlation; so each is given for the reference, a frozen clip and shuffled frames as well.
"""

from .compare import SHUFFLES, Comparison, Verdict, compare
from .measures import SCORES, Scores

__all__ = ["SCORES", "SHUFFLES", "Comparison", "Scores", "Verdict", "compare"]
