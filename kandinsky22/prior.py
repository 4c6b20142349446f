"""The prior: a causal transformer that predicts a text's image embedding.

Its sequence is the text's hidden states and then four tokens of its own: the pooled text, the
time, the noisy embedding, and one learned token under which the prediction is read off.
"""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..clip_drift.errors import DriftError
from ..clip_drift.weight_files import Shapes
from .attention import HeadsAttention, torch_attention
from .files import count_numbered, setting
from .time_embedding import TimeEmbedding

OWN_TOKENS = 4
HEAD_WIDTH = 64
"""The official one, which the weights cannot tell."""

MASKED = -10000.0
"""Added to what must not be attended to: exactly nothing after the softmax, finite in fp16."""


def prior_config(shapes: Shapes, config: dict) -> dict:
    """The arguments that build the `Prior` of a weight file.

    Args:
        shapes: of the file's tensors.
        config: the config.json beside it, or {}.

    Raises:
        DriftError: the weights are not a whole prior, or cannot be split into heads.
    """
    try:
        width, embedding = shapes["proj_in.weight"]
        sizes = {
            "width": width,
            "layers": count_numbered(shapes, "transformer_blocks."),
            "hidden": shapes["transformer_blocks.0.ff.net.0.proj.weight"][0],
            "embedding": embedding,
            "text_width": shapes["encoder_hidden_states_proj.weight"][1],
            "pooled_width": shapes["embedding_proj.weight"][1],
            "text_length": shapes["positional_embedding"][1] - OWN_TOKENS,
        }
    except (KeyError, IndexError, ValueError) as error:
        raise DriftError(
            f"this is not a whole Kandinsky 2.2 prior ({error} is missing or of another "
            "shape): use prior/diffusion_pytorch_model.safetensors of kandinsky-2-2-prior."
        ) from error
    head_width = setting(config, "attention_head_dim", HEAD_WIDTH)
    if width % head_width:
        raise DriftError(
            f"this is a prior of width {width} and has no heads of {head_width}: put the "
            "model's own config.json, which names its attention_head_dim, beside the weights."
        )
    return {**sizes, "heads": width // head_width}


class Prior(nn.Module):
    """Predicts the clean, normalised image embedding from a noisy one, a time and a text.

    Args:
        width, heads, layers, hidden: of the transformer; hidden is that of its feed-forward layers.
        embedding: width of the image embedding.
        text_width, pooled_width: of the text's hidden states and of its pooled vector.
        text_length: the text's tokens.
        dtype, device, operations: as in ComfyUI's own models.
        attention: see `HeadsAttention`; takes `mask`.
    """

    clip_mean: Tensor
    clip_std: Tensor

    def __init__(
        self,
        *,
        width: int = 2048,
        heads: int = 32,
        layers: int = 20,
        hidden: int = 8192,
        embedding: int = 1280,
        text_width: int = 1280,
        pooled_width: int = 1280,
        text_length: int = 77,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        operations=nn,
        attention: HeadsAttention = torch_attention,
    ):
        super().__init__()
        place = {"dtype": dtype, "device": device}
        self.embedding = embedding
        self.text_width = text_width
        self.pooled_width = pooled_width
        self.text_length = text_length
        self.time_embedding = TimeEmbedding(width, width, partial(operations.Linear, **place))
        self.proj_in = operations.Linear(embedding, width, **place)
        self.embedding_proj = operations.Linear(pooled_width, width, **place)
        self.encoder_hidden_states_proj = operations.Linear(text_width, width, **place)
        tokens = text_length + OWN_TOKENS
        # Small, and added or multiplied bare: kept in full precision whatever the layers' type.
        self.positional_embedding = nn.Parameter(torch.zeros(1, tokens, width, device=device))
        self.prd_embedding = nn.Parameter(torch.zeros(1, 1, width, device=device))
        self.transformer_blocks = nn.ModuleList(
            _Block(width, heads, hidden, attention, operations, place) for _ in range(layers)
        )
        self.norm_out = operations.LayerNorm(width, **place)
        self.proj_to_clip_embeddings = operations.Linear(width, embedding, **place)
        self.register_buffer("clip_mean", torch.zeros(1, embedding, device=device))
        self.register_buffer("clip_std", torch.ones(1, embedding, device=device))

    def forward(
        self, x: Tensor, timestep: Tensor, states: Tensor, pooled: Tensor, mask: Tensor
    ) -> Tensor:
        """One prediction.

        Args:
            x: (B, embedding), the noisy normalised embedding.
            timestep: (B,) or a scalar, 0..999.
            states, pooled, mask: the text, see `text.TextStates`.

        Returns:
            (B, embedding), the clean normalised embedding.
        """
        own = (
            self.embedding_proj(pooled),
            self.time_embedding(timestep.expand(len(x)), x),
            self.proj_in(x),
            self.prd_embedding[0].to(x).expand(len(x), -1),
        )
        text = self.encoder_hidden_states_proj(states)
        h = torch.cat((text, torch.stack(own, dim=1)), dim=1) + self.positional_embedding.to(x)
        attention_mask = _causal_mask(mask, h)
        for block in self.transformer_blocks:
            h = block(h, attention_mask)
        return self.proj_to_clip_embeddings(self.norm_out(h[:, -1]))

    def normalise(self, embedding: Tensor) -> Tensor:
        """CLIP's image embedding (B, embedding) as the prior predicts it."""
        return (embedding - self.clip_mean.to(embedding)) / self.clip_std.to(embedding)

    def denormalise(self, x: Tensor) -> Tensor:
        """What the prior predicts (B, embedding) as CLIP's image embedding."""
        return x * self.clip_std.to(x) + self.clip_mean.to(x)


def _causal_mask(text_mask: Tensor, h: Tensor) -> Tensor:
    """(B, 1, T, T) to add to the scores: no token sees later ones, or the text's padding."""
    tokens = h.shape[1]
    padding = functional.pad(~text_mask.bool(), (0, OWN_TOKENS))
    later = torch.ones(tokens, tokens, dtype=torch.bool, device=h.device).triu(1)
    hidden = padding.to(h.device)[:, None, None, :] | later
    return hidden.to(h.dtype) * MASKED


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int, attention, operations, place: dict):
        super().__init__()
        self.norm1 = operations.LayerNorm(width, **place)
        self.attn1 = _SelfAttention(width, heads, attention, operations, place)
        self.norm3 = operations.LayerNorm(width, **place)
        self.ff = _FeedForward(width, hidden, operations, place)

    def forward(self, h: Tensor, mask: Tensor) -> Tensor:
        h = h + self.attn1(self.norm1(h), mask)
        return h + self.ff(self.norm3(h))


class _SelfAttention(nn.Module):
    def __init__(self, width: int, heads: int, attention: HeadsAttention, operations, place: dict):
        super().__init__()
        self.heads = heads
        self.attention = attention
        self.to_q = operations.Linear(width, width, **place)
        self.to_k = operations.Linear(width, width, **place)
        self.to_v = operations.Linear(width, width, **place)
        self.to_out = nn.ModuleList([operations.Linear(width, width, **place)])

    def forward(self, h: Tensor, mask: Tensor) -> Tensor:
        q, k, v = self.to_q(h), self.to_k(h), self.to_v(h)
        return self.to_out[0](self.attention(q, k, v, self.heads, mask=mask))


class _FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int, operations, place: dict):
        super().__init__()
        widen = _Widen(width, hidden, operations, place)
        # The hub numbers a dropout between the two layers.
        narrow = operations.Linear(hidden, width, **place)
        self.net = nn.Sequential(widen, nn.Identity(), narrow)

    def forward(self, h: Tensor) -> Tensor:
        return self.net(h)


class _Widen(nn.Module):
    def __init__(self, width: int, hidden: int, operations, place: dict):
        super().__init__()
        self.proj = operations.Linear(width, hidden, **place)

    def forward(self, h: Tensor) -> Tensor:
        return functional.gelu(self.proj(h))
