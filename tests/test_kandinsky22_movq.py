"""The MoVQ against diffusers' VQModel, and as ComfyUI's VAE, on small random weights."""

from __future__ import annotations

import json

import pytest
import torch
from pack.clip_drift.errors import DriftError
from pack.kandinsky22.movq import Movq, movq_config
from pack.kandinsky22.preview import fit_colours, palette
from pack.workshop.rig.kandinsky_oracle import reference_movq
from pack.workshop.rig.kandinsky_weights import randomise, small_movq
from safetensors.torch import load_file, save_file
from torch import Tensor

SIZES = {
    "as the official, narrower": {"channels": (32, 64, 64, 128), "codes": 64},
    "three levels, one layer": {
        "channels": (32, 64, 96), "layers": 1, "attends": (False,) * 3, "codes": 16,
    },
    "two levels, attention throughout, other groups": {
        "channels": (64, 32), "attends": (True, True), "groups": 16, "codes": 8, "latent": 6,
    },
    "one level": {"channels": (32,), "layers": 1, "attends": (True,), "codes": 8, "latent": 3},
}  # fmt: skip


def shapes_of(model: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def both(**sizes):
    """diffusers' MoVQ and ours, with the same random weights."""
    reference = randomise(reference_movq(**sizes))
    config = {"norm_num_groups": sizes["groups"]} if "groups" in sizes else {}
    ours = Movq(**movq_config(shapes_of(reference), config))
    ours.load_state_dict(reference.state_dict())
    return reference.requires_grad_(False), ours.requires_grad_(False)


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


# --- against diffusers ------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES.keys())
def test_it_encodes_and_decodes_what_diffusers_does(sizes):
    reference, ours = both(**sizes)
    for batch, height, width in ((1, 8, 8), (2, 5, 9), (1, 1, 3)):
        pixels = noise(batch, 3, height * ours.ratio, width * ours.ratio).clamp(-1, 1)
        latent = ours.encode(pixels)
        assert latent.shape[2:] == (height, width)
        assert relative(latent, reference.encode(pixels).latents) < 1e-5
        latent = noise(*latent.shape, seed=2)
        expected = reference.decode(latent, force_not_quantize=True).sample
        assert ours.decode(latent).shape == expected.shape == pixels.shape
        assert relative(ours.decode(latent), expected) < 1e-5


def test_the_official_sizes_are_read_from_the_shapes_and_make_the_official_model():
    with torch.device("meta"):
        reference = reference_movq()
    config = movq_config(shapes_of(reference), {})
    ours = Movq(**config, device="meta")
    assert shapes_of(ours) == shapes_of(reference)
    assert config == movq_config(shapes_of(Movq(device="meta")), {})  # the defaults are official
    assert ours.ratio == 8


def test_the_latent_is_not_snapped_to_the_codebook():
    reference, ours = both(**SIZES["as the official, narrower"])
    latent = noise(1, 4, 4, 4)
    snapped = reference.decode(latent).sample
    assert relative(ours.decode(latent), snapped) > 0.1


def test_it_can_be_trained():
    ours = randomise(Movq(channels=(32, 64), layers=1, attends=(False, True), codes=8))
    pixels = noise(1, 3, 16, 16)
    (ours.decode(ours.encode(pixels)) - pixels).square().mean().backward()
    untouched = {n for n, p in ours.named_parameters() if p.grad is None or not p.grad.any()}
    assert untouched <= {"quantize.embedding.weight"} | {  # softmax ignores what all keys share
        name for name, _ in ours.named_parameters() if name.endswith("to_k.bias")
    }


@pytest.mark.parametrize("name", ["encoder.conv_in.weight", "quantize.embedding.weight"])
def test_a_missing_size_is_named(name):
    shapes = shapes_of(Movq(channels=(32, 32), attends=(False, True), device="meta"))
    del shapes[name]
    with pytest.raises(DriftError, match=name):
        movq_config(shapes, {})


@pytest.mark.parametrize("groups", [0, 7, "many", 1.5])
def test_groups_that_do_not_fit_are_an_error(groups):
    shapes = shapes_of(Movq(channels=(32, 32), attends=(False, True), device="meta"))
    with pytest.raises(DriftError, match="norm_num_groups"):
        movq_config(shapes, {"norm_num_groups": groups})


# --- as ComfyUI's VAE -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def movq_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("movq") / "small_movq.safetensors"
    small_movq(path)
    return path


@pytest.fixture(scope="module")
def parts(pack):
    """The modules under test, as ComfyUI imports them."""
    return pack.kandinsky22.nodes.vae, pack.kandinsky22.nodes.latent


@pytest.fixture(scope="module")
def vae(parts, movq_path):
    return parts[0].load_movq(movq_path)


@pytest.fixture(scope="module")
def reference(movq_path):
    model = reference_movq(channels=(32, 32, 64, 64), layers=1, codes=64)
    model.load_state_dict(load_file(movq_path))
    return model.requires_grad_(False)


def picture(batch: int, height: int, width: int) -> Tensor:
    """Pictures as ComfyUI passes them: (B, H, W, 3) in 0..1."""
    return torch.rand(batch, height, width, 3, generator=torch.Generator().manual_seed(batch))


def test_vae_encode_and_decode_agree_with_diffusers(vae, reference):
    images = picture(2, 48, 72)
    latent = vae.encode(images)
    assert relative(latent, reference.encode(images.movedim(-1, 1) * 2 - 1).latents) < 1e-5
    latent = noise(2, 4, 7, 5)
    expected = reference.decode(latent, force_not_quantize=True).sample
    shown = (expected / 2 + 0.5).clamp(0, 1).movedim(1, -1)
    assert (vae.decode(latent) - shown).abs().max() < 1e-5
    assert (shown == 0).any()  # what is clipped was in the test
    assert ((shown > 0) & (shown < 1)).float().mean() > 0.5


def test_an_image_of_any_size_is_cropped_as_core_does(vae):
    images = picture(1, 45, 75)  # 40 and 72 are the multiples of 8; 2 and 1 of the rest come first
    assert torch.equal(vae.encode(images), vae.encode(images[:, 2:42, 1:73]))
    with_alpha = torch.cat([images, torch.ones(1, 45, 75, 1)], dim=-1)
    assert torch.equal(vae.encode(with_alpha), vae.encode(images))


def test_a_batch_is_its_pictures_one_by_one(vae):
    images, latents = picture(3, 32, 40), noise(3, 4, 4, 5)
    alone = torch.cat([vae.encode(image[None]) for image in images])
    assert relative(vae.encode(images), alone) < 1e-5
    alone = torch.cat([vae.decode(latent[None]) for latent in latents])
    assert relative(vae.decode(latents), alone) < 1e-5


def test_little_memory_splits_a_batch_and_changes_nothing(vae, monkeypatch):
    latents = noise(3, 4, 4, 5)
    whole = vae.decode(latents)
    monkeypatch.setattr(vae.patcher, "get_free_memory", lambda device: 1)
    assert relative(vae.decode(latents), whole) < 1e-5


@torch.inference_mode()  # which core's tiles need
def test_tiles_meet_where_they_belong(vae):
    """Attention, group norms and the padding at borders make a tile differ from its part of the
    whole, most of all with random weights and small tiles: the measure is what tiles that lie a
    single cell off would differ by."""
    latent = noise(1, 4, 2, 2).repeat(1, 1, 8, 8)
    whole = vae.decode(latent)
    tiled = vae.decode_tiled(latent, tile_x=8, tile_y=8, overlap=2)
    assert tiled.shape == whole.shape == (1, 128, 128, 3)
    assert (tiled - whole).abs().mean() < 0.5 * (tiled.roll(8, 1) - whole).abs().mean()
    images = picture(1, 16, 16).repeat(1, 8, 8, 1)
    whole = vae.encode(images)
    tiled = vae.encode_tiled(images, tile_x=64, tile_y=64, overlap=16)
    assert tiled.shape == whole.shape == (1, 4, 16, 16)
    assert (tiled - whole).abs().mean() < 0.5 * (tiled.roll(1, 2) - whole).abs().mean()


def test_a_shallower_movq_has_its_own_ratio(parts, tmp_path):
    path = tmp_path / "shallow.safetensors"
    small_movq(path, channels=(32, 64, 64), attends=(False, False, True))
    vae = parts[0].load_movq(path)
    assert vae.spacial_compression_encode() == vae.spacial_compression_decode() == 4
    latent = vae.encode(picture(1, 32, 44))
    assert latent.shape == (1, 4, 8, 11)
    assert vae.decode(latent).shape == (1, 32, 44, 3)
    assert vae.decode_tiled(latent, tile_x=8, tile_y=8, overlap=2).shape == (1, 32, 44, 3)


@torch.inference_mode()  # as ComfyUI runs every node
def test_cores_own_nodes_take_it(vae, pack):
    import nodes as core

    images, mask = picture(1, 64, 48), torch.zeros(1, 64, 48)
    mask[:, 16:48] = 1
    latent = core.VAEEncodeForInpaint().encode(vae, images, mask)[0]
    assert latent["samples"].shape == (1, 4, 8, 6)
    assert latent["noise_mask"].any()
    assert core.VAEDecode().decode(vae, latent)[0].shape == images.shape
    assert core.VAEDecodeTiled().decode(vae, latent, 64)[0].shape == images.shape
    assert core.VAEEncodeTiled().encode(vae, images, 64, 0)[0]["samples"].shape == (1, 4, 8, 6)


def test_it_is_moved_by_comfyui_and_can_be_copied(vae, movq_path):
    import comfy.model_management

    vae.decode(noise(1, 4, 2, 2))
    assert any(
        loaded.model is vae.patcher for loaded in comfy.model_management.current_loaded_models
    )
    assert vae.patcher.model_size() == vae.model_size() > 4_000_000
    load, arguments = vae.patcher.cached_patcher_init
    copied = load(*arguments)
    assert copied.model is not vae.first_stage_model
    weights = copied.model.state_dict()
    assert all(torch.equal(weights[name], w) for name, w in vae.get_sd().items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_weights_may_be_stored_small(parts, vae, movq_path, tmp_path, dtype):
    weights = {name: w.to(dtype) for name, w in vae.get_sd().items()}
    path = tmp_path / "stored.safetensors"
    save_file(weights, path)
    small = parts[0].load_movq(path)
    assert {w.dtype for w in small.get_sd().values()} == {torch.float32}  # computed with, on a CPU
    latent = noise(1, 4, 4, 4)
    steps = {torch.float16: 1e-2, torch.bfloat16: 5e-2, torch.float8_e4m3fn: 0.5}
    assert 0 < (small.decode(latent) - vae.decode(latent)).abs().mean() < steps[dtype]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_it_computes_in_half_precision(movq_path, vae, dtype):
    half = Movq(**movq_config(shapes_of(vae.first_stage_model), {}), dtype=dtype)
    half.load_state_dict(vae.get_sd())
    half.requires_grad_(False)
    latent = noise(1, 4, 4, 4)
    found, expected = half.decode(latent.to(dtype)), vae.first_stage_model.decode(latent)
    # A rounding at every one of about 60 layers.
    assert relative(found.float(), expected) < 60 * torch.finfo(dtype).eps


def test_memory_estimates_grow_with_the_picture_and_the_type(vae):
    assert (
        vae.memory_used_decode((1, 4, 64, 64), torch.float32)
        == vae.memory_used_decode((1, 4, 32, 64), torch.float32) * 2
        == vae.memory_used_decode((1, 4, 64, 64), torch.bfloat16) * 2
    )
    # Widths are an eighth of the official ones, for which core's own VAE allows 2178 an element.
    assert vae.memory_used_decode((1, 4, 1, 1), torch.float32) == 64 * 4 * 2178 / 8
    assert vae.memory_used_encode((1, 3, 8, 8), torch.float32) == 64 * 4 * 1767 / 8


def test_the_json_beside_the_file_is_read(parts, tmp_path):
    path = tmp_path / "movq" / "diffusion_pytorch_model.safetensors"
    small_movq(path)
    plain = parts[0].load_movq(path)
    (path.parent / "config.json").write_text(json.dumps({"norm_num_groups": 8}))
    other = parts[0].load_movq(path)
    latent = plain.encode(picture(1, 32, 32))
    assert plain.first_stage_model.encoder.conv_norm_out.num_groups == 32
    assert other.first_stage_model.encoder.conv_norm_out.num_groups == 8
    assert relative(other.encode(picture(1, 32, 32)), latent) > 1e-3


def test_a_file_that_lacks_a_tensor_is_refused_before_it_is_read(
    parts, pack, tmp_path, monkeypatch
):
    import comfy.utils

    path = tmp_path / "holed.safetensors"
    weights = small_movq(path)
    missing = "decoder.up_blocks.1.resnets.0.conv2.weight"
    save_file({n: w for n, w in weights.items() if n != missing}, path)
    monkeypatch.setattr(comfy.utils, "load_torch_file", lambda *_: pytest.fail("read the weights"))
    with pytest.raises(ValueError, match=f"movq_name: holed.* lacks the tensor {missing}"):
        parts[0].load_movq(path)
    wrong = {**weights, missing: torch.zeros(3, 3)}
    save_file(wrong, path)
    with pytest.raises(ValueError, match=r"holds \[3, 3\] as " + missing):
        parts[0].load_movq(path)


# --- previews ---------------------------------------------------------------------------------


def trained_movq() -> Movq:
    """A MoVQ of two levels that has learnt flat colours, so that its latent means something."""
    movq = Movq(channels=(32, 32), layers=1, attends=(False, True), codes=8)
    randomise(movq)
    optimizer = torch.optim.Adam(movq.parameters(), 3e-3)
    generator = torch.Generator().manual_seed(5)
    for _ in range(150):
        colours = torch.rand(4, 3, 4, 4, generator=generator) * 2 - 1
        pixels = torch.nn.functional.interpolate(colours, scale_factor=4.0)
        optimizer.zero_grad()
        loss = (movq.decode(movq.encode(pixels)) - pixels).square().mean()
        loss.backward()
        optimizer.step()
    return movq.requires_grad_(False)


@pytest.fixture(scope="module")
def trained(parts, tmp_path_factory):
    path = tmp_path_factory.mktemp("trained") / "trained.safetensors"
    with torch.random.fork_rng(), torch.enable_grad():
        save_file(trained_movq().state_dict(), path)
    return parts[0].load_movq(path)


def previewed(latent: Tensor, latent_format) -> Tensor:
    """The picture that ComfyUI's own quick preview shows of a latent: (h, w, 3) in 0..1."""
    import latent_preview
    import numpy as np
    from comfy.cli_args import LatentPreviewMethod, args

    before, args.preview_method = args.preview_method, LatentPreviewMethod.Latent2RGB
    try:
        previewer = latent_preview.get_previewer(torch.device("cpu"), latent_format)
    finally:
        args.preview_method = before
    return torch.from_numpy(np.asarray(previewer.decode_latent_to_preview(latent)) / 255.0)


def test_a_preview_has_the_pictures_colours(parts, trained):
    import comfy.latent_formats

    colours = torch.rand(6, 6, 3, generator=torch.Generator().manual_seed(9))
    pixels = colours.repeat_interleave(8, 0).repeat_interleave(8, 1)[None]
    latent = trained.encode(pixels)
    assert (trained.decode(latent) - pixels).abs().mean() < 0.15  # it did learn something
    cells = colours.repeat_interleave(4, 0).repeat_interleave(4, 1)
    shown = previewed(latent, parts[1].Kandinsky22Latent(trained))
    other = previewed(latent, comfy.latent_formats.SD15())
    error, wrong = ((image - cells).abs().mean() for image in (shown, other))
    chance = (cells - cells.mean((0, 1))).abs().mean()
    assert error < 0.1 < 0.5 * chance
    assert wrong > chance


def test_the_fit_is_made_once_and_lets_the_vae_go(parts, vae, monkeypatch):
    import comfy.sd

    calls = []
    encode = comfy.sd.VAE.encode
    monkeypatch.setattr(comfy.sd.VAE, "encode", lambda *a: calls.append(a) or encode(*a))
    latent_format = parts[1].Kandinsky22Latent(vae)
    assert not calls  # nobody has asked for a preview
    assert torch.tensor(latent_format.latent_rgb_factors).shape == (4, 3)
    assert torch.tensor(latent_format.latent_rgb_factors_bias).shape == (3,)
    assert torch.tensor(latent_format.latent_rgb_factors).isfinite().all()
    assert len(calls) == 1
    assert vae not in vars(latent_format).values()
    assert previewed(noise(1, 4, 6, 5), latent_format).shape == (6, 5, 3)
    assert torch.equal(latent_format.process_in(noise(1, 4, 2, 2)), noise(1, 4, 2, 2))
    assert latent_format.latent_channels == 4
    assert latent_format.spacial_downscale_ratio == 8


def test_a_linear_latent_is_fitted_exactly():
    pixels = palette(8)
    assert pixels.shape == (1, 64, 64, 3)
    assert len(pixels.flatten(0, 2).unique(dim=0)) == 16
    colours = torch.nn.functional.avg_pool2d(pixels.movedim(-1, 1), 8)
    mixed = torch.einsum("bchw,ck->bkhw", colours, noise(3, 4)) + 2
    factors, bias = fit_colours(mixed, pixels)
    assert torch.allclose(
        mixed.movedim(1, -1) @ factors + bias, colours.movedim(1, -1) * 2 - 1, atol=1e-4
    )


@pytest.mark.parametrize("latent", [torch.zeros(1, 4, 8, 8), torch.full((1, 4, 8, 8), torch.nan)])
def test_a_dead_latent_still_gives_a_preview(latent):
    factors, bias = fit_colours(latent, palette(8))
    assert factors.isfinite().all()
    assert torch.allclose(bias, torch.zeros(3), atol=1e-6)  # the palette's mean is grey
