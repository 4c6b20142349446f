"""The prior: the image embedding of a picture out of noise, told the picture's caption."""

from pathlib import Path

import torch
from torch import Tensor, nn

from ...kandinsky22.prior_sampling import TIMES, signal_power
from ..world.captions import write_captions
from ..world.scenes import PALETTE
from .clip_model import build_tokenizer, trained_clip
from .pairs import make_pairs
from .prior_model import build_prior, read_texts
from .runs import RUNS, Plan, fit
from .whitening import whitening_of

PLAN = Plan("prior", steps=8500, batch=64, rate=1e-3, warmup=200, average=0.999, look=10**9)
DROPPED = 0.1  # how often the text is empty, for guidance
FINE = 0.1  # what of a normalised embedding is too small to matter


def train(plan: Plan = PLAN, device: str = "cpu", runs: Path = RUNS) -> nn.Module:
    pairs = make_pairs(runs, device)
    clip, tokenize = trained_clip(runs).to(device), build_tokenizer(runs)
    powers = torch.tensor(signal_power())
    torch.manual_seed(plan.seed)
    prior = build_prior().to(device)
    prior.clip_mean.copy_(pairs.embeddings.mean(0, keepdim=True))
    prior.clip_std.copy_(pairs.embeddings.std(0, keepdim=True))
    embeddings = pairs.embeddings.to(device)
    # Captions have no words for a colour between two.
    named = (pairs.scenes.rgb == PALETTE[pairs.scenes.colour]).all(1).nonzero().flatten()
    whitening = whitening_of(prior.normalise(embeddings), FINE)

    def loss_of(step: int) -> tuple[Tensor, dict[str, float]]:
        seed = plan.seed_of(step)
        generator = torch.Generator().manual_seed(seed)
        rows = named[torch.randint(len(named), (plan.batch,), generator=generator)]
        texts = write_captions(pairs.scenes[rows], seed)
        dropped = (torch.rand(plan.batch, generator=generator) < DROPPED).tolist()
        texts = ["" if drop else text for drop, text in zip(dropped, texts, strict=True)]
        text = read_texts(clip, tokenize(texts).to(device))
        times = torch.randint(TIMES, (plan.batch,), generator=generator)
        power = powers[times].to(device)[:, None]
        answer = prior.normalise(embeddings[rows.to(device)])
        noise = torch.randn(answer.shape, generator=generator).to(device)
        noisy = power.sqrt() * answer + (1 - power).sqrt() * noise
        error = prior(noisy, times.to(device), *text) - answer
        # Of white embeddings, as the UNet learns them: shape and tilt must count beside colour.
        return (error @ whitening).square().mean(), {"error": error.detach().square().mean()}

    return fit(plan, prior, loss_of, runs=runs)
