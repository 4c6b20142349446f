"""The CLIP of the toy world: open_clip's own classes, small, and pictures as it takes them."""

import json
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from ..world.scenes import SIZE
from ..world.vocabulary import vocabulary_size, write_merges
from .runs import RUNS, folder_of, load_trained

EMBEDDING = 128
MERGES_NAME = "mini-kandinsky-clip.txt.gz"
CONFIG = {
    "model_cfg": {
        "embed_dim": EMBEDDING,
        "vision_cfg": {"image_size": SIZE, "layers": [1, 1, 1, 1], "width": 16},
        "text_cfg": {
            "context_length": 40,
            "vocab_size": vocabulary_size(),
            "tokenizer_kwargs": {"bpe_path": MERGES_NAME},
            "width": 96,
            "heads": 3,
            "layers": 2,
        },
    },
    "preprocess_cfg": {
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    },
}


def build_clip() -> nn.Module:
    import open_clip

    # Only by way of a folder does open_clip build from a config that is not its own.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "open_clip_config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
        clip = open_clip.create_model(f"local-dir:{folder}", pretrained_text=False)
    clip.visual.to(memory_format=torch.channels_last)  # a third faster on a CPU
    return clip


def trained_clip(runs: Path = RUNS) -> nn.Module:
    return load_trained("clip", build_clip(), runs)


def build_tokenizer(runs: Path = RUNS):
    from open_clip.tokenizer import SimpleTokenizer

    merges = folder_of("clip", runs) / MERGES_NAME
    if not merges.is_file():
        write_merges(merges)
    length = CONFIG["model_cfg"]["text_cfg"]["context_length"]
    return SimpleTokenizer(str(merges), context_length=length)


def embed_pictures(clip: nn.Module, pictures: Tensor) -> Tensor:
    """(B, 3, 64, 64) in 0..1 → (B, E) image embeddings, not normalised, as the nodes give them."""
    pixels = (pictures * 2 - 1).contiguous(memory_format=torch.channels_last)
    return clip.encode_image(pixels)


@torch.no_grad()
def embed_all(clip: nn.Module, pictures: Tensor, chunk: int = 256) -> Tensor:
    return torch.cat([embed_pictures(clip, part).float() for part in pictures.split(chunk)])


def trim(tokens: Tensor) -> Tensor:
    """Tokens up to the longest caption's end: what comes after is never looked at."""
    return tokens[:, : int((tokens != 0).sum(1).max())]


def text_states(clip: nn.Module, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """(B, L) tokens → states after the last layer norm (B, L, W), and text embeddings (B, E)."""
    length = tokens.shape[1]
    states = clip.token_embedding(tokens) + clip.positional_embedding[:length]
    mask = clip.attn_mask[:length, :length]
    states = clip.ln_final(clip.transformer(states, attn_mask=mask))
    pooled = states[torch.arange(len(tokens)), tokens.argmax(-1)] @ clip.text_projection
    return states, pooled
