"""Captions: of many texts that keep the prompt and change what moves, which one says each frame."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import DriftError
from ..sphere import unit

JUMP = 0.1
TEMPERATURE = 0.01
"""Of the softmax over the nearest captions: what CLIP's own was trained down to."""


@dataclass(frozen=True, eq=False)
class CaptionPath:
    """Which captions say F frames.

    Attributes:
        indices: (F, k) rows of the bank; the first is the frame's place on the path.
        weights: (F, k), how much of each; rows sum to one.
        cosines: (F,) of the mixed caption to the frame's target.
    """

    indices: Tensor
    weights: Tensor
    cosines: Tensor


def caption_path(
    bank: Tensor,
    targets: Tensor,
    *,
    jump: float = JUMP,
    nearest: int = 1,
    temperature: float = TEMPERATURE,
) -> CaptionPath:
    """The cheapest way through a bank of captions that stays near the targets.

    Frame i at caption c costs `1 − c·τ_i`; going on to c' costs `jump·(1 − c·c')`.

    Args:
        bank: (C, N) the captions' text vectors.
        targets: (F, N).
        jump: what it costs to say something else than in the frame before; 0 = nothing.
        nearest: k, how many captions a frame mixes: the one on the path and those nearest to the
            target, by a softmax of their cosines.
        temperature: of the softmax.

    Raises:
        DriftError: an empty bank, another space's targets, k < 1.
    """
    if not len(bank):
        raise DriftError("the bank of captions is empty: give it one text per line.")
    if bank.shape[1] != targets.shape[1]:
        raise DriftError(
            f"the captions have {bank.shape[1]} dimensions and the motion {targets.shape[1]}: read "
            "the clip with the image tower that belongs to the text tower."
        )
    if nearest < 1:
        raise DriftError(f"{nearest} captions per frame is none: give 1 or more.")
    captions, targets = (unit(rows.detach().double().cpu()) for rows in (bank, targets))
    closeness = targets @ captions.mT
    path = shortest_path(1 - closeness, jump * (1 - captions @ captions.mT).clamp_min(0))
    ranked = closeness.scatter(1, path[:, None], torch.inf)
    # Stable: of captions that are equally near, the first in the bank.
    order = ranked.sort(dim=1, descending=True, stable=True).indices
    indices = order[:, : min(nearest, len(captions))]
    weights = torch.softmax(closeness.gather(1, indices) / temperature, dim=1)
    mixed = unit((weights.unsqueeze(-1) * captions[indices]).sum(1))
    return CaptionPath(indices, weights.float(), (mixed * targets).sum(1).float())


def shortest_path(costs: Tensor, steps: Tensor) -> Tensor:
    """The cheapest sequence of states, one per frame; the first of equal ones.

    Args:
        costs: (F, C) of being in a state at a frame.
        steps: (C, C) of going from a state to another.

    Returns:
        (F,) states.

    Reference: Viterbi, "Error bounds for convolutional codes and an asymptotically optimum
    decoding algorithm", 1967.
    """
    total, came_from = costs[0], []
    for cost in costs[1:]:
        arriving = total[:, None] + steps
        best = arriving.argmin(0)
        came_from.append(best)
        total = arriving.gather(0, best[None])[0] + cost
    path = [total.argmin()]
    for best in reversed(came_from):
        path.append(best[path[-1]])
    return torch.stack(path[::-1])
