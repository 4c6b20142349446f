"""What a CLIP text tower says about a text, in the form that the prior takes."""

from typing import NamedTuple

import torch
from torch import Tensor


class TextStates(NamedTuple):
    """Texts as a text tower of width D sees them, in a window of T tokens."""

    states: Tensor
    """(B, T, D), the last layer's hidden states after the final layer norm."""
    pooled: Tensor
    """(B, E), the projected vector, not normalised."""
    mask: Tensor
    """(B, T) bool, false where the window is padded."""

    def to(self, device: torch.device | str, dtype: torch.dtype) -> "TextStates":
        """The same on another device, the floating point tensors in another type."""
        states, pooled = self.states.to(device, dtype), self.pooled.to(device, dtype)
        return TextStates(states, pooled, self.mask.to(device))


def until_end(tokens: Tensor, end: Tensor | int) -> Tensor:
    """The mask of windows that are padded after their first end token.

    Args:
        tokens: (B, T) token numbers.
        end: the number of the end token, one for all or (B, 1).

    Returns:
        (B, T) bool, true up to the first end token and at it.
    """
    ends = (tokens == end).int()
    return ends.cumsum(1) - ends == 0
