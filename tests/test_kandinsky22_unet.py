"""The decoder's UNet against diffusers', on random weights."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from pack.clip_drift.errors import DriftError
from pack.kandinsky22.unet import Unet, unet_config
from pack.workshop.rig.kandinsky_oracle import (
    OFFICIAL,
    reference_noise,
    reference_of,
    reference_unet,
)
from pack.workshop.rig.kandinsky_weights import randomise, small_unet
from safetensors.torch import load_file
from torch import Tensor

SIZES = {
    "as the official, narrower": {
        "channels": (32, 64, 64, 128), "layers": 3, "token_dim": 48, "embed_dim": 1280,
    },
    "three levels, narrow heads": {
        "channels": (32, 64, 96), "layers": 2, "head_dim": 32, "embed_dim": 128, "token_dim": 64,
    },
    "two levels, one layer": {
        "channels": (24, 48), "layers": 1, "head_dim": 12, "groups": 8, "embed_dim": 96,
        "token_dim": 32,
    },
    "inpainting": {
        "in_channels": 9, "channels": (32, 64, 64, 128), "layers": 1, "token_dim": 32,
    },
    "without the variance": {
        "out_channels": 4, "channels": (32, 64), "layers": 2, "head_dim": 32, "token_dim": 32,
    },
    "one depth per level": {
        "channels": (32, 64, 96), "layers": (1, 2, 3), "head_dim": 16, "token_dim": 32,
    },
}  # fmt: skip


def shapes_of(model: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(p.shape) for name, p in model.named_parameters()}


def json_of(**sizes) -> dict:
    """What diffusers would write beside weights of these sizes."""
    config = reference_config(sizes)
    return {key: config[key] for key in ("attention_head_dim", "norm_num_groups", "norm_eps")}


def reference_config(sizes: dict) -> dict:
    with torch.device("meta"):
        config = dict(reference_unet(**sizes).config)
    return {key: list(v) if isinstance(v, tuple) else v for key, v in config.items()}


def both(**sizes):
    """diffusers' UNet and ours, with the same random weights."""
    reference = randomise(reference_unet(**sizes))
    ours = Unet(**unet_config(shapes_of(reference), json_of(**sizes)))
    ours.load_state_dict(reference.state_dict())
    return reference, ours.requires_grad_(False)


def inputs(ours: Unet, batch: int, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(batch, ours.in_channels, height, width, generator=generator)
    timesteps = torch.tensor([999.0, 20.0, 500.0])[:batch]
    return x, timesteps, torch.randn(batch, ours.embed_dim, generator=generator)


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES.keys())
def test_it_predicts_the_noise_that_diffusers_does(sizes):
    reference, ours = both(**sizes)
    for batch, height, width in ((1, 24, 24), (3, 8, 16)):
        x, timesteps, embedding = inputs(ours, batch, height, width)
        out = ours(x, timesteps, embedding[:, None])
        if sizes.get("out_channels") == 4:
            given = {"image_embeds": embedding}
            with torch.no_grad():
                expected = reference(x, timesteps, None, added_cond_kwargs=given).sample
        else:
            expected = reference_noise(reference, x, timesteps, embedding)
        assert expected.abs().max() > 0.5  # nothing has died out on the way
        assert relative(out, expected) < 1e-5


def test_time_and_image_reach_the_noise():
    _, ours = both(**SIZES["three levels, narrow heads"])
    x, timesteps, embedding = inputs(ours, 1, 16, 16)
    noise = ours(x, timesteps, embedding)
    assert relative(ours(x, timesteps - 300, embedding), noise) > 0.05
    assert relative(ours(x, timesteps, -embedding), noise) > 0.05


def test_the_official_sizes_are_told_from_the_weights_alone():
    with torch.device("meta"):
        reference = reference_unet()
    config = unet_config(shapes_of(reference), {})
    assert sum(p.numel() for p in reference.parameters()) == 1_253_057_288  # as on the hub
    assert config["channels"] == OFFICIAL["channels"]
    assert (config["tokens"], config["token_dim"], config["time_dim"]) == (32, 768, 4 * 384)
    assert shapes_of(Unet(**config, device="meta")) == shapes_of(reference)


def test_the_small_weights_are_diffusers_too(tmp_path):
    weights = small_unet(tmp_path / "unet.safetensors")
    config = unet_config(
        {name: tuple(w.shape) for name, w in load_file(tmp_path / "unet.safetensors").items()}, {}
    )
    ours = Unet(**config).requires_grad_(False)
    ours.load_state_dict(weights)
    x, timesteps, embedding = inputs(ours, 2, 16, 16)
    expected = reference_noise(reference_of(weights), x, timesteps, embedding)
    assert relative(ours(x, timesteps, embedding), expected) < 1e-5


@pytest.mark.parametrize(("height", "width"), [(37, 16), (13, 22), (9, 40), (3, 1)])
def test_sizes_that_do_not_halve_thrice(height, width):
    """diffusers crashes on them. Its layers, with the pooling rounding up and the upsampling cut
    to the size on the way down, are the oracle here."""
    reference, ours = both(**SIZES["as the official, narrower"])
    x, timesteps, embedding = inputs(ours, 1, height, width)
    with pytest.raises(RuntimeError, match=r"[Ss]ize"):
        reference_noise(reference, x, timesteps, embedding)
    _make_reference_round_up(reference, height, width)
    expected = reference_noise(reference, x, timesteps, embedding)
    out = ours(x, timesteps, embedding)
    assert out.shape == (1, 4, height, width)
    assert relative(out, expected) < 1e-5


def _make_reference_round_up(reference: torch.nn.Module, height: int, width: int) -> None:
    for module in reference.modules():
        if isinstance(module, torch.nn.AvgPool2d):
            module.ceil_mode = True
    levels = len(reference.up_blocks)
    for index, block in enumerate(reference.up_blocks[:-1]):
        scale = 2 ** (levels - 2 - index)
        size = math.ceil(height / scale), math.ceil(width / scale)
        block.upsamplers[0].upsample.register_forward_hook(
            lambda module, given, out, size=size: out[..., : size[0], : size[1]]
        )


def test_an_odd_size_differs_little_from_the_even_one_beside_it():
    """The last column of a picture is not worth less than the others: what is cut off the right
    changes the noise on the left hardly at all."""
    _, ours = both(**SIZES["two levels, one layer"])
    x, timesteps, embedding = inputs(ours, 1, 16, 48)
    even, odd = ours(x, timesteps, embedding), ours(x[..., :47], timesteps, embedding)
    assert relative(odd[..., :32], even[..., :32]) < 0.3


def test_it_can_be_trained():
    """Each weight gets the gradient that diffusers gives it."""
    sizes = SIZES["two levels, one layer"]
    reference = randomise(reference_unet(**sizes))
    ours = Unet(**unet_config(shapes_of(reference), json_of(**sizes)))
    ours.load_state_dict(reference.state_dict())
    x, timesteps, embedding = inputs(ours, 2, 8, 8)
    ours(x, timesteps, embedding).square().sum().backward()
    given = {"image_embeds": embedding}
    out = reference(x, timesteps, None, added_cond_kwargs=given).sample
    out[:, :4].square().sum().backward()
    expected = dict(reference.named_parameters())
    for name, parameter in ours.named_parameters():
        assert parameter.grad.abs().max() > 0, name
        assert relative(parameter.grad, expected[name].grad) < 1e-3, name


def test_half_precision_stays_close():
    _, ours = both(**SIZES["three levels, narrow heads"])
    x, timesteps, embedding = inputs(ours, 1, 16, 16)
    expected = ours(x, timesteps, embedding)
    out = ours.bfloat16()(x.bfloat16(), timesteps, embedding.bfloat16())
    assert out.dtype == torch.bfloat16
    assert relative(out.float(), expected) < 0.1  # 8 bits a number, through some 40 layers


def test_more_than_one_embedding_is_refused():
    _, ours = both(**SIZES["two levels, one layer"])
    x, timesteps, _ = inputs(ours, 1, 8, 8)
    with pytest.raises(DriftError, match=r"one image embedding of width 96, but got \(77, 768\)"):
        ours(x, timesteps, torch.zeros(1, 77, 768))


def sd_shapes() -> dict[str, tuple[int, ...]]:
    return {"conv_in.weight": (320, 4, 3, 3), "down_blocks.0.resnets.0.conv1.weight": (320,)}


def changed(**change) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        shapes = shapes_of(reference_unet(**SIZES["as the official, narrower"]))
    shapes.update({name.replace("__", "."): shape for name, shape in change.items()})
    return {name: shape for name, shape in shapes.items() if shape}


WRONG = {
    "nothing in it": ({}, {}, "weights lack 'conv_in.weight'"),
    "an SD UNet": (sd_shapes(), {}, "weights lack"),
    "channels that fit nothing": (changed(conv_in__weight=(64, 5, 3, 3)), {}, "takes 5 channels"),
    "heads that do not divide": (changed(), {"attention_head_dim": 100}, "heads of 100"),
    "no number": (changed(), {"norm_num_groups": "many"}, "norm_num_groups is 'many', where"),
    "no whole number": (changed(), {"norm_num_groups": 32.0}, "a whole number above 0 is needed"),
    "no text": (changed(), {"norm_eps": "1e-5"}, "norm_eps is '1e-5', where a number above 0"),
}


@pytest.mark.parametrize(("shapes", "config", "message"), WRONG.values(), ids=WRONG.keys())
def test_other_weights_are_refused_in_one_sentence(shapes, config, message):
    with pytest.raises(DriftError, match=message) as caught:
        unet_config(shapes, config)
    assert str(caught.value).count(". ") == 0


def test_the_heads_fall_back_to_the_official_width_only_where_it_divides():
    sizes = SIZES["two levels, one layer"]
    with torch.device("meta"):
        shapes = shapes_of(reference_unet(**sizes))
    with pytest.raises(DriftError, match=r"config\.json"):
        unet_config(shapes, {})
    assert unet_config(shapes, json_of(**sizes))["head_dim"] == 12


def test_levels_follow_each_other():
    """The widths chain up from level to level, whatever the number of layers."""
    for sizes in SIZES.values():
        with torch.device("meta"):
            ours = Unet(**unet_config(shapes_of(reference_unet(**sizes)), json_of(**sizes)))
        widths = [stage.resnets[-1].conv2.out_channels for stage in ours.up_blocks]
        assert widths == sorted(widths, reverse=True)
        for before, after in pairwise(ours.down_blocks):
            assert after.resnets[0].conv1.in_channels == before.resnets[-1].conv2.out_channels
