"""The toy world's prior: the pack's own class, small."""

from pathlib import Path

import torch
from torch import Tensor, nn

from ...clip_drift.text import TextStates, until_end
from ...kandinsky22.prior import Prior
from ...kandinsky22.prior_sampling import sample_prior
from .clip_model import CONFIG, EMBEDDING, text_states
from .runs import RUNS, load_trained

HEAD_DIM = 32
WIDTH = 128
SIZES = {
    "width": WIDTH,
    "heads": WIDTH // HEAD_DIM,
    "layers": 4,
    "hidden": 4 * WIDTH,
    "embedding": EMBEDDING,
    "text_width": CONFIG["model_cfg"]["text_cfg"]["width"],
    "pooled_width": EMBEDDING,
    "text_length": CONFIG["model_cfg"]["text_cfg"]["context_length"],
}


def build_prior() -> nn.Module:
    prior = Prior(**SIZES)
    for bare in (prior.positional_embedding, prior.prd_embedding):
        nn.init.normal_(bare, std=0.02)
    return prior


def trained_prior(runs: Path = RUNS) -> nn.Module:
    return load_trained("prior", build_prior(), runs)


@torch.no_grad()
def read_texts(clip: nn.Module, tokens: Tensor):
    """(B, 40) tokens → what the prior takes."""
    states, pooled = text_states(clip, tokens)
    return TextStates(states, pooled, until_end(tokens, tokens.amax(1, keepdim=True)))


def draw_texts(prior: nn.Module, clip, texts: list[str], **options) -> Tensor:
    """Texts → (B, E) image embeddings, not normalised.

    Args:
        clip: an `OpenClipEncoder`.
        options: of `sample_prior`.
    """
    return sample_prior(prior, clip.encode_text(texts), clip.encode_text([""]), **options)
