"""A CLIP text tower that can be differentiated, run over weights that belong to somebody else.

The weights stay where they are, in the type they are in, and are frozen. One layer's are cast
at a time, on the way there and again on the way back, so that what a run needs beside its
activations is one layer in float32.

Reference: Radford et al., "Learning transferable visual models from natural language
supervision", 2021.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..sphere import at_least_float32

Weights = Callable[[Tensor], AbstractContextManager[tuple[Tensor, Tensor | None]]]
"""Lends the weight and bias of one layer, in the type and on the device of a tensor."""


class Layer(NamedTuple):
    """One block of the transformer."""

    norm1: Weights
    query: Weights
    key: Weights
    value: Weights
    out: Weights
    norm2: Weights
    up: Weights
    down: Weights


class Prefix(NamedTuple):
    """What later tokens see of the first P ones: per layer, keys and values (1, H, P, W / H)."""

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]

    def __len__(self) -> int:
        return self.keys[0].shape[2]


@dataclass(frozen=True, eq=False)
class TextTower:
    """A causal text transformer of width W, and where it points in the joint space R^N.

    Attributes:
        tokens: looks token numbers (B, T) up: their input embeddings (B, T, W), without positions.
        positions: lends the (C, W) position embeddings; C is the window.
        layers: from the first to the last.
        final_norm: after the last layer.
        projection: (N, W) float, into the joint space; None where it is not known.
        heads: H.
        activation: of the layers' perceptrons.
        width: W.
        window: C.
        name: of the tower, for a message.
        eps: of the layer norms.
    """

    tokens: Callable[[Tensor], Tensor]
    positions: Weights
    layers: tuple[Layer, ...]
    final_norm: Weights
    projection: Tensor | None
    heads: int
    activation: Callable[[Tensor], Tensor]
    width: int
    window: int
    name: str = "the text tower"
    eps: float = 1e-5

    @property
    def dim(self) -> int | None:
        """N, where the projection is known."""
        return None if self.projection is None else self.projection.shape[0]

    def with_projection(self, projection: Tensor) -> "TextTower":
        """The same tower, pointing into another joint space; projection is (N, W)."""
        return replace(self, projection=projection)

    def embed(self, tokens: Tensor) -> Tensor:
        """(B, T) token numbers as (B, T, W) float32 input embeddings, without positions."""
        with torch.no_grad():
            return self.tokens(tokens).float().clone()

    def states(self, embeddings: Tensor, after: Prefix | None = None) -> Tensor:
        """The last layer's states after the final layer norm.

        Args:
            embeddings: (B, T, W) input embeddings. Differentiable.
            after: the tokens that stand before them, from `prefix`.

        Returns:
            (B, T, W) float32, or float64 if embeddings are.
        """
        return self._norm(self.final_norm, self._run(embeddings, after))

    def prefix(self, embeddings: Tensor) -> Prefix:
        """What later tokens see of (1, P, W) input embeddings, which then need not run again."""
        seen: list[tuple[Tensor, Tensor]] = []
        with torch.no_grad():
            self._run(embeddings, None, seen)
        keys, values = zip(*seen, strict=True)
        return Prefix(keys, values)

    def text_vector(
        self, embeddings: Tensor, end: int | Tensor, after: Prefix | None = None
    ) -> Tensor:
        """Where a text stands in the joint space: its end token's state, projected.

        The tower is causal: tokens behind the end are not run.

        Args:
            embeddings: (B, T, W) input embeddings. Differentiable.
            end: place of the end token, among the embeddings; one for all, or (B,).
            after: as in `states`.

        Returns:
            (B, N) unit rows.
        """
        if self.projection is None:
            raise ValueError(f"{self.name} has no projection")
        last = int(end.max()) if isinstance(end, Tensor) else end
        states = self.states(embeddings[:, : last + 1], after)
        rows = torch.arange(len(states), device=states.device)
        projection = self.projection.detach().to(states, copy=True)  # see _norm
        return functional.normalize(states[rows, end] @ projection.mT, dim=-1)

    def _run(
        self,
        embeddings: Tensor,
        after: Prefix | None,
        seen: list[tuple[Tensor, Tensor]] | None = None,
    ) -> Tensor:
        """Through all layers; each layer's keys and values are added to seen."""
        x = at_least_float32(embeddings)
        begin, count = 0 if after is None else len(after), x.shape[1]
        with torch.no_grad(), self.positions(x) as (positions, _):
            positions = positions[begin : begin + count].clone()
        x = x + positions
        causal = torch.ones(count, begin + count, dtype=torch.bool, device=x.device).tril(begin)
        for number, layer in enumerate(self.layers):
            past = None if after is None else (after.keys[number], after.values[number])
            normed = self._norm(layer.norm1, x)
            key, value = (
                self._by_head(_linear(normed, weights)) for weights in (layer.key, layer.value)
            )
            if seen is not None:
                seen.append((key, value))
            if past is not None:
                key, value = (
                    torch.cat((before.to(x).expand(len(x), -1, -1, -1), new), dim=2)
                    for before, new in zip(past, (key, value), strict=True)
                )
            query = self._by_head(_linear(normed, layer.query))
            # The fused kernels' way back adds up in any order: not twice the same on a GPU.
            with sdpa_kernel(SDPBackend.MATH):
                mixed = functional.scaled_dot_product_attention(query, key, value, causal)
            x = x + _linear(mixed.transpose(1, 2).flatten(2), layer.out)
            x = x + _linear(
                self.activation(_linear(self._norm(layer.norm2, x), layer.up)), layer.down
            )
        return x

    def _by_head(self, x: Tensor) -> Tensor:
        """(B, T, W) as (B, H, T, W / H)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _norm(self, weights: Weights, x: Tensor) -> Tensor:
        with torch.no_grad(), weights(x) as (weight, bias):
            # Copies: tensors made in inference mode cannot be remembered for the way back.
            weight, bias = weight.clone(), None if bias is None else bias.clone()
        return functional.layer_norm(x, x.shape[-1:], weight, bias, self.eps)


class _Linear(torch.autograd.Function):
    """A frozen linear layer, which borrows its weights again on the way back."""

    @staticmethod
    def forward(ctx, x: Tensor, weights: Weights) -> Tensor:
        ctx.weights = weights
        with weights(x) as (weight, bias):
            return functional.linear(x, weight, bias)

    @staticmethod
    def backward(ctx, *grads: Tensor):
        with ctx.weights(grads[0]) as (weight, _):
            return grads[0] @ weight, None


def _linear(x: Tensor, weights: Weights) -> Tensor:
    return _Linear.apply(x, weights)
