"""Pictures to look at: a drift's report, and a rotation matrix as a heat map.

The report is the article's figure. It looks at one video in two spaces, pixels and CLIP: all
frames against all frames, each frame against the next, and how far CLIP turns a step.
"""

from .matrix import matrix_heatmap
from .panels import drift_report
from .statistics import neighbour_similarity, pearson

__all__ = ["drift_report", "matrix_heatmap", "neighbour_similarity", "pearson"]
