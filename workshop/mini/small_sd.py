"""Mini SD: a small Stable Diffusion of the toy world, told by text tokens alone as SD 1.x is.

ComfyUI's own UNet class, small, draws the toy world's MoVQ latents. It sees nothing of a prompt but
the CLIP text tower's last states after the final layer norm, through cross-attention. As in SD 1.x
a prompt always is a full window, filled up behind its end token with the end token itself, and
nothing masks the padding: its states are near relatives of the end token's own.

    sd = load_mini_sd()
    context, negative = sd.read(["a red star on the left on navy"]), sd.read([""])[0]
    pictures = sd.decode(sd.draw(context, noise, negative))

For moving a prompt through the tower: `tokens_of`, `embed_tokens` and `states_of`, of which the
last can be differentiated.
"""

import json
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ..rig.paths import MODELS
from .clip_model import CONFIG, build_clip, build_tokenizer
from .ddim import draw
from .export import FILES as KANDINSKY_FILES
from .movq_model import build_movq, decode_all, encode_all
from .runs import RUNS

FILE = Path(__file__).resolve().parent / "mini-sd.safetensors"
"""The UNet. Beside this file and not published: ComfyUI's loaders know no model of its size."""
WINDOW = CONFIG["model_cfg"]["text_cfg"]["context_length"]
"""T, tokens of a prompt with its padding: all 40 of the tower, as SD uses all 77 of its own."""
WIDTH = CONFIG["model_cfg"]["text_cfg"]["width"]
"""W, of a token's state."""
STEPS = 12
CFG = 3.0

# Arguments of ComfyUI's UNetModel. The depths are those of the transformers: one number per
# residual block on the way down and in the middle, and on the way up from the finest on.
SIZES = {
    "image_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 64,
    "num_res_blocks": [1, 1],
    "channel_mult": [1, 2],
    "num_head_channels": 32,
    "use_spatial_transformer": True,
    "transformer_depth": [1, 0],
    "transformer_depth_middle": 1,
    "transformer_depth_output": [0, 1, 0, 1],
    "context_dim": WIDTH,
    "use_linear_in_transformer": False,
    "legacy": False,
    "use_scale_shift_norm": True,
    "resblock_updown": True,
}


def build_unet(**sizes) -> nn.Module:
    """ComfyUI's UNetModel, float32, its weights not set: load or `begin_anew` them.

    Args:
        sizes: instead of those in SIZES.
    """
    _import_comfyui()
    import comfy.ops
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

    return UNetModel(
        **(SIZES | sizes), dtype=torch.float32, operations=comfy.ops.disable_weight_init
    )


def predict_noise(
    unet: nn.Module, noisy: Tensor, times: Tensor, context: Tensor, options: dict | None = None
) -> Tensor:
    """The UNet's call; differentiable.

    Args:
        noisy: (B, 4, 8, 8); times: (B,) of 0..999; context: (B, T, W).
        options: ComfyUI's transformer_options, such as patches of the attention.

    Returns:
        (B, 4, 8, 8).
    """
    # ComfyUI's own choice on a CPU cuts the attention into slices, which is slow at this size.
    options = {"optimized_attention_override": _attend} | (options or {})
    return unet(noisy, timesteps=times, context=context, transformer_options=options)


def tokens_of(texts: list[str]) -> Tensor:
    """Prompts → (B, T) tokens, padded with the end token.

    Raises:
        ValueError: a text has more tokens than the window.
    """
    tokenizer = _tokenizer()
    rows = []
    for text in texts:
        row = [tokenizer.sot_token_id, *tokenizer.encode(text), tokenizer.eot_token_id]
        if len(row) > WINDOW:
            raise ValueError(f"{text!r} has {len(row)} tokens with both ends, more than {WINDOW}")
        rows.append(row + [tokenizer.eot_token_id] * (WINDOW - len(row)))
    return torch.tensor(rows)


@cache
def _tokenizer():
    return build_tokenizer(RUNS)


def embed_tokens(clip: nn.Module, tokens: Tensor) -> Tensor:
    """(B, T) tokens → (B, T, W) what the tower begins with, without places."""
    return clip.token_embedding(tokens)


def states_of(clip: nn.Module, embeddings: Tensor) -> Tensor:
    """The tower, differentiable: (B, T, W) of `embed_tokens` → (B, T, W) states.

    Any shorter T goes, for the tower is causal: a prompt up to its end token has the same states.
    """
    length = embeddings.shape[1]
    states = embeddings + clip.positional_embedding[:length]
    states = clip.transformer(states, attn_mask=clip.attn_mask[:length, :length])
    return clip.ln_final(states)


@dataclass
class MiniSD:
    """All of Mini SD. Nothing of it asks for gradients of its weights.

    Attributes:
        unet: ComfyUI's UNetModel.
        clip: open_clip's model, the toy world's own; movq: of the toy world too.
    """

    unet: nn.Module
    clip: nn.Module
    movq: nn.Module

    @torch.no_grad()
    def read(self, texts: list[str], chunk: int = 256) -> Tensor:
        """Prompts → (B, T, W) context. The negative is `read([""])[0]`."""
        parts = tokens_of(texts).split(chunk)
        return torch.cat([states_of(self.clip, embed_tokens(self.clip, part)) for part in parts])

    def draw(
        self,
        context: Tensor,
        noise: Tensor,
        negative: Tensor,
        *,
        steps: int = STEPS,
        cfg: float = CFG,
        chunk: int = 64,
        options: dict | None = None,
    ) -> Tensor:
        """Latents (F, 4, 8, 8) of prompts (F, T, W), see `ddim.draw`; negative: (T, W).

        `options` are those of `predict_noise`, whose calls hold a chunk's rows twice, the
        negative's first.
        """
        noise_in = partial(predict_noise, self.unet, options=options)
        return draw(noise_in, context, noise, negative, steps=steps, cfg=cfg, chunk=chunk)

    def encode(self, pictures: Tensor) -> Tensor:
        """(B, 3, 64, 64) in 0..1 → (B, 4, 8, 8)."""
        return encode_all(self.movq, pictures)

    def decode(self, latents: Tensor) -> Tensor:
        """(B, 4, 8, 8) → pictures (B, 3, 64, 64) in 0..1."""
        return decode_all(self.movq, latents)


def load_mini_sd(folder: Path = MODELS, file: Path = FILE) -> MiniSD:
    """From the exported files; fp16 weights are computed with in float32."""
    sizes = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    return MiniSD(_filled(build_unet(**sizes), file), *load_clip_and_movq(folder))


def load_clip_and_movq(folder: Path = MODELS) -> tuple[nn.Module, nn.Module]:
    """What Mini SD shares with Mini Kandinsky."""
    _import_comfyui()
    clip = _filled(build_clip(), folder / KANDINSKY_FILES["clip"])
    return clip, _filled(build_movq(), folder / KANDINSKY_FILES["movq"])


def _filled(module: nn.Module, path: Path) -> nn.Module:
    module.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    return module.train(False).requires_grad_(False)


def _attend(unused, q: Tensor, k: Tensor, v: Tensor, heads: int, **options) -> Tensor:
    from ...kandinsky22.attention import torch_attention

    return torch_attention(q, k, v, heads)


def _import_comfyui() -> None:
    from ..rig.in_process import import_comfyui

    import_comfyui()
