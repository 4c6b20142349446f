"""Mini SD's UNet: noise out of latents, told the text tokens of a caption."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..rig.paths import MODELS
from ..world.captions import write_captions
from ..world.scenes import HELD_OUT, Scenes, draw_scenes, render
from .clip_model import embed_all
from .ddim import TIMES, signal_power
from .pairs import FIRST_SEED
from .runs import RUNS, Plan, fit, folder_of, save_picture
from .small_sd import (
    MiniSD,
    build_unet,
    embed_tokens,
    load_clip_and_movq,
    predict_noise,
    states_of,
    tokens_of,
)
from .unet_model import OfWhite
from .whitening import whitening_of

PLAN = Plan("small_sd", steps=5000, batch=64, rate=1e-3, warmup=150, average=0.998, look=500)
DROPPED = 0.1  # how often the caption is empty, for guidance
COMPLETE = 0.4  # how often a caption says everything; otherwise the rest is the scene's own affair
HEAVIEST = 5.0
SHAPING = (150, 550)  # times at which it is decided what shape it is: half of all times
OUTLINE = 4.0  # what an error at the shape weighs more than one of the ground,
SEEN = 3.0  # where the noise has less than so many times the signal's power
FINE = 0.1  # what of a state is too small to matter, beside a typical number of it
COUNT = 20_000
CHUNK = 2000


def make_latents(movq: nn.Module, runs: Path = RUNS) -> tuple[Scenes, Tensor]:
    """COUNT scenes, their colours all with a name, and their latents (N, 4, 8, 8)."""
    chunks = [draw_scenes(CHUNK, FIRST_SEED + number) for number in range(COUNT // CHUNK)]
    kept = folder_of("small_sd", runs) / "latents.pt"
    if not kept.is_file():
        with torch.no_grad():
            made = [
                movq.encode(render(part) * 2 - 1).half()
                for whole in chunks
                for part in _split(whole, 125)
            ]
        torch.save(torch.cat(made), kept)
    joined = Scenes(**{n: torch.cat([getattr(s, n) for s in chunks]) for n in vars(chunks[0])})
    return joined, torch.load(kept, weights_only=True).float()


def _split(scenes: Scenes, count: int) -> list[Scenes]:
    return [scenes[at : at + count] for at in range(0, len(scenes), count)]


def near_shape(scenes: Scenes) -> Tensor:
    """(B, 8, 8), 1 where a latent's cell lies in the shape or touches it, otherwise 0."""
    cells = (torch.arange(8) + 0.5) / 8
    x = cells - scenes.x[:, None, None]
    y = cells[:, None] - scenes.y[:, None, None]
    return (torch.hypot(x, y) < 1.25 * scenes.radius[:, None, None] + 0.06).float()


def begin_anew(unet: nn.Module, embeddings: Tensor | None, folder: Path = MODELS) -> nn.Module:
    """Weights to begin with, in place.

    Residual blocks, the first and last convolution and the time embedding are those of Mini
    Kandinsky's decoder, which draws the same latents, as far as this UNet has them: it has one
    block where the decoder has two, and transformers instead of the decoder's attention. Those
    begin at random, and silent.

    Args:
        embeddings: (N, E) of pictures by CLIP, for the decoder; None = all at random.
        folder: of Mini Kandinsky's files.
    """
    for module in unet.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            fan_in = module.weight[0].numel()
            nn.init.uniform_(module.weight, -(fan_in**-0.5), fan_in**-0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.GroupNorm | nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
    for name, module in unet.named_modules():
        if name.endswith("proj_out") or name == "out.2":
            nn.init.zeros_(module.weight)
    if embeddings is not None:
        weights = load_file(folder / "diffusion_models/mini-kandinsky-decoder.safetensors")
        found = unet.load_state_dict(_of_decoder(weights, embeddings), strict=False)
        assert not found.unexpected_keys, found.unexpected_keys
    return unet


# A block of this UNet, and the decoder's that it begins as.
_BLOCKS = {
    "input_blocks.1.0": "down_blocks.0.resnets.0",
    "input_blocks.2.0": "down_blocks.0.downsamplers.0",
    "input_blocks.3.0": "down_blocks.1.resnets.0",
    "middle_block.0": "mid_block.resnets.0",
    "middle_block.2": "mid_block.resnets.1",
    "output_blocks.0.0": "up_blocks.0.resnets.0",
    "output_blocks.1.0": "up_blocks.0.resnets.2",
    "output_blocks.1.1": "up_blocks.0.upsamplers.0",
    "output_blocks.2.0": "up_blocks.1.resnets.0",
    "output_blocks.3.0": "up_blocks.1.resnets.2",
}
_LAYERS = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}


_ADDED = ("image_proj.weight", "image_proj.bias", "image_norm.weight", "image_norm.bias")


def _of_decoder(weights: dict[str, Tensor], embeddings: Tensor) -> dict[str, Tensor]:
    names = {
        "time_embed.0": "time_embedding.linear_1",
        "time_embed.2": "time_embedding.linear_2",
        "input_blocks.0.0": "conv_in",
        "out.0": "conv_norm_out",
        "out.2": "conv_out",
    }
    for block, theirs in _BLOCKS.items():
        for layer, their_layer in _LAYERS.items():
            names[f"{block}.{layer}"] = f"{theirs}.{their_layer}"
    found = {}
    for ours, theirs in names.items():
        for end in ("weight", "bias"):
            if f"{theirs}.{end}" in weights:
                found[f"{ours}.{end}"] = weights[f"{theirs}.{end}"].float()
    # The decoder adds the image embedding to the time embedding; here remains what it adds in the
    # mean.
    part = {name: weights[f"add_embedding.{name}"].float() for name in _ADDED}
    added = nn.functional.linear(embeddings, part["image_proj.weight"], part["image_proj.bias"])
    norm = part["image_norm.weight"], part["image_norm.bias"]
    added = nn.functional.layer_norm(added, added.shape[1:], *norm)
    found["time_embed.2.bias"] += added.mean(0)
    return found


def learn_as_of_white(unet: nn.Module, whitening: Tensor) -> nn.Module:
    """Give the layers that take the tokens weights of their whitened form, in place.

    Otherwise a word that moves its state little, as a degree of place does, would be learnt last.
    """
    for layer in token_layers(unet):
        parametrize.register_parametrization(layer, "weight", OfWhite(whitening))
    return unet


def token_layers(unet: nn.Module) -> list[nn.Module]:
    return [
        module
        for name, module in unet.named_modules()
        if name.endswith(("attn2.to_k", "attn2.to_v"))
    ]


def as_they_are(unet: nn.Module) -> nn.Module:
    """The opposite of `learn_as_of_white`: plain weights that do the same, in place."""
    for layer in token_layers(unet):
        parametrize.remove_parametrizations(layer, "weight")
    return unet


def whitening_for(clip: nn.Module, scenes: Scenes) -> Tensor:
    """(W, W), of the states of captions; the padding counts once, as a word does."""
    tokens = tokens_of(write_captions(scenes, FIRST_SEED))
    states = states_of(clip, embed_tokens(clip, tokens))
    places = torch.arange(tokens.shape[1])
    heard = states[places <= tokens.argmax(1, keepdim=True) + 1]
    return whitening_of(heard, FINE * heard.square().mean().sqrt().item())


def train(plan: Plan = PLAN, device: str = "cpu", runs: Path = RUNS) -> nn.Module:
    clip, movq = load_clip_and_movq()
    scenes, latents = make_latents(movq, runs)
    powers = signal_power()
    torch.manual_seed(plan.seed)
    unet = begin_anew(build_unet(), embed_all(clip, render(scenes[:1000])))
    unet = learn_as_of_white(unet, whitening_for(clip, scenes[:2000])).to(device)
    empty = tokens_of([""])

    def loss_of(step: int) -> tuple[Tensor, dict[str, float]]:
        seed = plan.seed_of(step)
        generator = torch.Generator().manual_seed(seed)
        rows = torch.randint(len(scenes), (plan.batch,), generator=generator)
        tokens = tokens_of(write_captions(scenes[rows], seed, COMPLETE))
        dropped = torch.rand(plan.batch, 1, generator=generator) < DROPPED
        tokens = torch.where(dropped, empty, tokens)
        with torch.no_grad():
            context = states_of(clip, embed_tokens(clip, tokens))
        times = torch.randint(TIMES, (plan.batch,), generator=generator)
        shaping = torch.randint(*SHAPING, (plan.batch,), generator=generator)
        times = torch.where(torch.arange(plan.batch) % 2 == 0, times, shaping)
        power = powers[times][:, None, None, None]
        eps = torch.randn(latents[rows].shape, generator=generator)
        noisy = power.sqrt() * latents[rows] + (1 - power).sqrt() * eps
        ratio = ((1 - power) / power).flatten().to(device)
        # Only where the place is to be seen in the noisy latent: otherwise the error's weight would
        # depend on what is unknown, and draw the mean picture towards the shape.
        inside = near_shape(scenes[rows]).to(device) * (ratio < SEEN)[:, None, None]
        given = [part.to(device) for part in (noisy, times, context)]
        square = (predict_noise(unet, *given) - eps.to(device)).square().mean(1)
        error = square.mean((1, 2)) + (OUTLINE * inside * square).mean((1, 2))
        # Where there is much noise, a small error of the noise is a large one of the picture.
        figures = {"error": error.detach().mean()}
        for name, part in (("high", ratio > 10), ("mid", (ratio <= 10) & (ratio > 0.5))):
            # In units of the picture's latent.
            figures[name] = (ratio * error).detach()[part].mean()
        return (ratio.clamp(0.5, HEAVIEST) * error).mean(), figures

    def look(step: int, average: nn.Module, folder: Path) -> None:
        wanted = draw_scenes(32, HELD_OUT)
        captions = [*write_captions(wanted, HELD_OUT, complete=1.0), ""]
        with torch.no_grad():
            context = states_of(clip, embed_tokens(clip, tokens_of(captions))).to(device)
        noise = torch.randn(32, 4, 8, 8, generator=torch.Generator().manual_seed(1)).to(device)
        sd = MiniSD(average, clip, movq)
        drawn = sd.decode(sd.draw(context[:-1], noise, context[-1]).cpu())
        pictures = render(wanted)
        shown = [pictures[:16], drawn[:16], pictures[16:], drawn[16:]]
        save_picture(folder / f"step-{step:06}.png", torch.cat(shown), scale=2)

    return fit(plan, unet, loss_of, look, runs)
