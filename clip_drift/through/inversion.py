"""Inversion: move a prompt's input embeddings until its text vector stands at a target.

Per frame i, D_i is zero outside the words that may move, and

    Σ_i (1 − t(E_0 + D_i)·τ_i) + ρ Σ_i ‖D_i‖² + σ Σ_i ‖D_{i+1} − D_i‖²

is made small by Adam, over all frames at once. ρ keeps the words near what they say, σ keeps
neighbouring frames alike.

References: ours in its use; learned input embeddings after Gal et al., "An image is worth one
word: personalizing text-to-image generation using textual inversion", 2022; Kingma and Ba, "Adam:
a method for stochastic optimization", 2015.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import DriftError
from .tower import Prefix, TextTower

STEPS = 60
RATE = 1.0
KEEP = 0.02
SMOOTH = 0.0
TOLERANCE = 1e-4

AT_TARGET = 1e-6
"""1 − cos below which a frame stands at its target from the beginning: round-off of float32."""

OnStep = Callable[[int, int, float], None]


@dataclass(frozen=True, eq=False)
class Moved:
    """Input embeddings of F frames on their way to their targets.

    Attributes:
        deltas: (F, T, W) float32, what to add to the prompt's T input embeddings.
        before: (F,) cosine of the prompt to each frame's target.
        after: (F,) cosine of the moved prompt to it.
        steps: how many were taken.
        lost: frames whose numbers ran out of range on the way; they stand where they were last.
    """

    deltas: Tensor
    before: Tensor
    after: Tensor
    steps: int = 0
    lost: tuple[int, ...] = ()

    @property
    def per_token(self) -> Tensor:
        """(F, T) how far each token moved: the length of its delta."""
        return self.deltas.norm(dim=-1)

    @property
    def reached(self) -> Tensor:
        """(F,) share of the way to the target, as 1 − cos; 1 for frames that stood there."""
        gap = 1 - self.before
        return torch.where(gap > AT_TARGET, 1 - (1 - self.after) / gap.clamp_min(AT_TARGET), 1.0)


def invert(
    tower: TextTower,
    embeddings: Tensor,
    targets: Tensor,
    free: Tensor,
    *,
    end: int | None = None,
    keep: float = KEEP,
    smooth: float = SMOOTH,
    steps: int = STEPS,
    rate: float = RATE,
    start: Tensor | None = None,
    tolerance: float = TOLERANCE,
    on_step: OnStep | None = None,
) -> Moved:
    """Move a prompt's words until its text vector stands at each frame's target.

    A frame that stands at its target from the beginning stays. If the device's memory does not
    hold all frames, their gradients are taken some frames at a time: the sum is the same.

    Args:
        tower: with a projection into the targets' space.
        embeddings: (1, T, W) input embeddings of the prompt, on the device to work on.
        targets: (F, N) unit rows.
        free: (T,) 0..1, how freely each token moves. 0 for start, end and padding.
        end: place of the end token; the last one by default.
        keep: ρ.
        smooth: σ.
        steps: of Adam.
        rate: of Adam, how much of a typical entry of the prompt's embeddings an entry moves per
            step; models differ in how large theirs are.
        start: (F, T, W) deltas to begin from; none by default.
        tolerance: stop once every frame's 1 − cos is below it.
        on_step: called as (steps done, steps, mean cosine) before each step; whatever it raises
            ends the work.

    Raises:
        DriftError: widths that do not fit, no token that may move, a prompt that has no text
            vector.
    """
    with torch.inference_mode(False), torch.enable_grad():
        embeddings = embeddings.detach().float().clone()
        end = embeddings.shape[1] - 1 if end is None else end
        free = free.detach().to(embeddings).clone()
        _check(tower, embeddings, targets, free, end)
        problem = _Problem(tower, embeddings, targets.detach().to(embeddings).clone(), free, end)
        first = problem.first
        deltas = embeddings.new_zeros(len(targets), end - first, embeddings.shape[2])
        before = problem.cosines(torch.zeros_like(deltas[:1]), problem.targets)
        if not bool(before.isfinite().all()):
            raise DriftError(
                f"{tower.name} gives NaN or infinity for the text: check the model's file and "
                "precision."
            )
        still = 1 - before <= AT_TARGET
        if start is not None:
            deltas = torch.where(still[:, None, None], 0, start[:, first:end].to(deltas))
        rate = rate * float(embeddings[:, 1 : end or None].square().mean().sqrt())
        result = _descend(problem, deltas, ~still, keep, smooth, steps, rate, tolerance, on_step)
        whole = embeddings.new_zeros(len(targets), *embeddings.shape[1:])
        whole[:, first:end] = result.deltas
        return Moved(whole, before, result.after, result.steps, result.lost)


class _Problem:
    """The tokens from the first that may move to the end; those before it are run once."""

    def __init__(
        self, tower: TextTower, embeddings: Tensor, targets: Tensor, free: Tensor, end: int
    ):
        self.tower = tower
        self.targets = targets
        self.first = int(free[:end].nonzero()[0])
        self.rest = embeddings[:, self.first : end + 1]
        self.free = free[self.first : end, None]
        self.before: Prefix | None = None
        if self.first:
            self.before = tower.prefix(embeddings[:, : self.first])
        self.at_once = len(targets)

    def cosines(self, deltas: Tensor, targets: Tensor) -> Tensor:
        """(B,) cosines to (B, N) targets for (B, S, W) deltas."""
        moved = torch.cat(
            (self.rest[:, :-1] + deltas, self.rest[:, -1:].expand(len(deltas), -1, -1)), dim=1
        )
        vector = self.tower.text_vector(moved, moved.shape[1] - 1, self.before)
        return (vector * targets).sum(-1)

    def gradient(self, deltas: Tensor, needed: bool = True) -> tuple[Tensor, Tensor]:
        """(F,) cosines of all frames, and the gradient of Σ (1 − cos) by the deltas."""
        while True:
            try:
                parts = [
                    self._part(*part, needed)
                    for part in zip(
                        deltas.split(self.at_once), self.targets.split(self.at_once), strict=True
                    )
                ]
                return torch.cat([c for c, _ in parts]), torch.cat([g for _, g in parts])
            except torch.OutOfMemoryError:
                if self.at_once == 1:
                    raise
            # Out of the except block, whose traceback would keep the tensors alive.
            self.at_once = (self.at_once + 1) // 2

    def _part(self, deltas: Tensor, targets: Tensor, needed: bool) -> tuple[Tensor, Tensor]:
        if not needed:
            with torch.no_grad():
                return self.cosines(deltas, targets), torch.zeros_like(deltas)
        deltas = deltas.detach().requires_grad_()
        cosines = self.cosines(deltas, targets)
        (gradient,) = torch.autograd.grad((1 - cosines).sum(), deltas)
        return cosines.detach(), gradient


def _descend(
    problem: _Problem,
    deltas: Tensor,
    active: Tensor,
    keep: float,
    smooth: float,
    steps: int,
    rate: float,
    tolerance: float,
    on_step: OnStep | None,
) -> Moved:
    # Adam moves u, and D = free·u, so that a token that may move half as freely does.
    free = problem.free
    moving = torch.where(free > 0, deltas / free.clamp_min(1e-6), 0).requires_grad_()
    optimiser = torch.optim.Adam([moving], lr=rate)
    good = moving.detach().clone()
    lost: set[int] = set()
    step = 0
    while True:
        deltas = (free * moving).detach()
        cosines, slope = problem.gradient(deltas, needed=step < steps)
        bad = ~(cosines.isfinite() & slope.isfinite().all((1, 2)) & deltas.isfinite().all((1, 2)))
        if bool((bad & active).any()):
            lost.update((bad & active).nonzero().flatten().tolist())
            active = active & ~bad
            with torch.no_grad():
                moving[bad] = good[bad]
            # Once more from where these frames stood last, which is now where they stay.
            continue
        good = moving.detach().clone()
        done = bool((1 - cosines[active] <= tolerance).all())
        if step == steps or done:
            return Moved(deltas, cosines, cosines, step, tuple(sorted(lost)))
        if on_step is not None:
            on_step(step, steps, float(cosines.mean()))
        slope = free * (slope + _pull(deltas, keep, smooth))
        moving.grad = torch.where(active[:, None, None], slope, 0)
        optimiser.step()
        with torch.no_grad():
            moving[~active] = good[~active]
        step += 1


def _pull(deltas: Tensor, keep: float, smooth: float) -> Tensor:
    """The gradient of ρ Σ ‖D_i‖² + σ Σ ‖D_{i+1} − D_i‖²."""
    pull = 2 * keep * deltas
    if smooth:
        steps = 2 * smooth * deltas.diff(dim=0)
        pull[1:] += steps
        pull[:-1] -= steps
    return pull


def _check(tower: TextTower, embeddings: Tensor, targets: Tensor, free: Tensor, end: int) -> None:
    if tower.projection is None:
        raise DriftError(
            f"{tower.name} comes without the projection into CLIP's joint space: connect the "
            "OpenCLIP encoder that read the clip."
        )
    if targets.ndim != 2 or targets.shape[1] != tower.dim:
        raise DriftError(
            f"the motion leads through {targets.shape[-1]} dimensions, but {tower.name} points "
            f"into {tower.dim}: read the clip with the image tower that belongs to it."
        )
    if embeddings.ndim != 3 or len(embeddings) != 1 or embeddings.shape[2] != tower.width:
        raise DriftError(
            f"a prompt for {tower.name} has input embeddings of shape (1, tokens, {tower.width}), "
            f"not {tuple(embeddings.shape)}."
        )
    if free.shape != embeddings.shape[1:2] or not bool((free[:end] > 0).any()):
        raise DriftError(
            "no word may move: name words of the text, or give it a carrier phrase behind it."
        )
