"""Pictures to look at: a drift's report, two drifts compared, a rotation matrix as a heat map.

The report is the article's figure and more. It looks at one video in two spaces, pixels and CLIP:
all frames against all frames, each frame against the next, how far CLIP turns a step, and where to.
"""

from .comparison import comparison_report
from .matrix import matrix_heatmap
from .moved_prompt import moved_prompt_report
from .panels import drift_report

__all__ = ["comparison_report", "drift_report", "matrix_heatmap", "moved_prompt_report"]
