"""Attention by torch, for models that are not given another."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

HeadsAttention = Callable[..., Tensor]
"""(q, k, v, heads, **options) -> out, all (B, T, C), C the width of all heads together."""


def torch_attention(
    q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None, **unused: Any
) -> Tensor:
    """A `HeadsAttention`; the mask, (B, 1, T, T), is added to the scores."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    out = scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return out.transpose(1, 2).flatten(2)
