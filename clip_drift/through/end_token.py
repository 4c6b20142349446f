"""The end token, moved to exactly where the joint space wants it.

Where a model draws from the last layer's states after the final layer norm (SD 1.x), CLIP's text
vector is `t = unit(P z)`, z the end token's state. A target then has a pre-image in closed form.
"""

import torch
from torch import Tensor

DAMPING = 1e-3
"""λ, as a share of the median singular value of P.

Along a direction of singular value s the damped inverse undoes a share `s² / (s² + λ²)`: all but a
millionth where P is as strong as it mostly is, half where it is a thousandth of that. A direction
that P hardly looks at, whose undamped inverse would throw the state far off for nothing, moves it
by at most `1 / 2λ`.
"""


def end_token_shifts(projection: Tensor, state: Tensor, targets: Tensor) -> Tensor:
    """What to add to the end token's state: `P⁺(‖t‖·τ_i − t)` with `t = P z`.

    Args:
        projection: (N, W), P.
        state: (W,), z.
        targets: (F, N) unit rows, τ_i.

    Returns:
        (F, W) of the state's type and device. Zero for a frame that stands at its target.

    Reference: ours; damped least squares after Levenberg, "A method for the solution of certain
    non-linear problems in least squares", 1944.
    """
    p, z = projection.detach().double().cpu(), state.detach().double().cpu()
    at = p @ z
    missing = at.norm() * targets.detach().double().cpu() - at
    # Round-off of float32 targets is no motion.
    missing[missing.norm(dim=-1) <= 1e-6 * at.norm()] = 0
    return (missing @ damped_inverse(p).mT).to(state)


def damped_inverse(p: Tensor) -> Tensor:
    """`V diag(s / (s² + λ²)) Uᵀ`, (W, N) for a matrix (N, W) `U diag(s) Vᵀ`."""
    u, s, v = torch.linalg.svd(p, full_matrices=False)
    damping = DAMPING * s.median()
    return v.mT @ torch.diag(s / (s.square() + damping.square())) @ u.mT
