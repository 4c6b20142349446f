"""The decoder as a ComfyUI model against diffusers: schedule, samplers, storage, masks."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import pytest
import torch
from diffusers.pipelines.kandinsky2_2.pipeline_kandinsky2_2_inpainting import prepare_mask
from pack.clip_drift.errors import DriftError
from pack.workshop.rig import kandinsky_oracle, kandinsky_sampling
from pack.workshop.rig.kandinsky_oracle import (
    Given,
    ddim,
    ddpm,
    guided,
    reference_noise,
    reference_of,
)
from pack.workshop.rig.kandinsky_sampling import (
    Decoder,
    conditioning,
    embedding,
    randn,
    relative,
    sample,
    sigmas_of,
)
from pack.workshop.rig.kandinsky_weights import small_movq
from safetensors.torch import load_file, save_file
from torch import Tensor

CFG = 4.0
SHAPE = (1, 4, 16, 24)


@pytest.fixture(scope="module")
def decoder(pack, tmp_path_factory) -> Decoder:
    return Decoder(pack, tmp_path_factory.mktemp("decoder"))


@pytest.fixture(scope="module")
def inpainter(pack, tmp_path_factory) -> Decoder:
    return Decoder(pack, tmp_path_factory.mktemp("inpainter"), in_channels=9)


def predict(model, x: Tensor, sigma: float, embeds: Tensor, **given) -> Tensor:
    """The noise that a MODEL sees in ComfyUI's x, through everything that core does around it."""
    import comfy.model_management

    comfy.model_management.load_models_gpu([model])
    level = torch.full((len(x),), sigma)
    with torch.no_grad():
        denoised = model.model.apply_model(x, level, c_crossattn=embeds[:, None], **given)
    return (x - denoised) / sigma


def expected_noise(weights: dict, x: Tensor, timestep: int, embeds: Tensor) -> Tensor:
    return reference_noise(reference_of(weights), x, torch.full((len(x),), timestep), embeds)


def at(timestep: int) -> float:
    kept = ddim(clip=False).alphas_cumprod[timestep]
    return float(((1 - kept) / kept).sqrt())


# --- the schedule and one prediction --------------------------------------------------------------


def test_the_noise_levels_are_the_official_ones(decoder):
    kept = ddpm(clip=True).alphas_cumprod.double()
    levels = ((1 - kept) / kept).sqrt()
    found = decoder.model().get_model_object("model_sampling")
    assert relative(found.sigmas, levels) < 1e-5
    assert float(found.sigma_max) == pytest.approx(25.15, abs=0.005)
    assert torch.equal(found.timestep(found.sigmas), torch.arange(1000))


@pytest.mark.parametrize("timestep", [0, 500, 999])
def test_one_prediction_is_diffusers(decoder, timestep):
    x, embeds = randn(1, 2, *SHAPE[1:]), embedding(2, 2)
    sigma = at(timestep)
    expected = expected_noise(decoder.weights, x, timestep, embeds)
    out = predict(decoder.model(), x * (1 + sigma**2) ** 0.5, sigma, embeds)
    # x - denoised loses digits where the noise is faint beside x: only there is it looser.
    assert relative(out, expected) < (1e-5 if timestep else 1e-3)


# --- samplers -------------------------------------------------------------------------------------


START = randn(3, *SHAPE)
GIVEN = Given(embedding(4), embedding(5))


@pytest.mark.parametrize("clip", [False, True])
def test_ten_steps_of_ddim(decoder, clip):
    unet = reference_of(decoder.weights)
    expected = kandinsky_oracle.run("ddim", unet, START, GIVEN, 10, clip)
    out = kandinsky_sampling.run("ddim", decoder.model(clip), START, GIVEN, 10)
    assert relative(out, expected) < 1e-3
    assert (out.abs().max() <= 1) == clip  # unclipped, these weights lead far out


def test_twenty_five_steps_of_ddpm_with_the_official_clip(decoder):
    unet = reference_of(decoder.weights)
    expected = kandinsky_oracle.run("ddpm", unet, START, GIVEN, 25)
    out = kandinsky_sampling.run("ddpm", decoder.model(clip_x0=True), START, GIVEN, 25)
    assert relative(out, expected) < 1e-3


def test_image_to_image_starts_where_diffusers_does(decoder):
    scheduler = ddim(clip=False)
    scheduler.set_timesteps(10)
    image, start = randn(8, *SHAPE) / 2, randn(9, *SHAPE)
    scheduler.timesteps = scheduler.timesteps[6:]

    unet = reference_of(decoder.weights)
    expected = scheduler.add_noise(image, start, scheduler.timesteps[:1])
    for step in scheduler.timesteps:
        noise = guided(unet, expected, step, GIVEN)
        expected = scheduler.step(noise, step, expected).prev_sample
    given = conditioning(GIVEN.positive), conditioning(GIVEN.negative)
    out = sample(decoder.model(), start, *given, sigmas_of(scheduler), latent=image)
    assert relative(out, expected) < 1e-3


@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "euler", "dpmpp_2m", "uni_pc"])
def test_frames_as_one_batch_are_the_frames_one_by_one(decoder, sampler):
    """Also at a size that does not halve thrice."""
    import comfy.sample

    import nodes

    frames, noise = embedding(4, 3), randn(3, 3, 4, 13, 9)
    model, negative = decoder.model(clip_x0=True), conditioning(embedding(5))

    def run(frames: Tensor, noise: Tensor) -> Tensor:
        # The noise that ddpm injects is drawn from the seed for the whole batch.
        comfy.sample.prepare_noise, drawn = lambda *_: noise, comfy.sample.prepare_noise
        try:
            latent = {"samples": torch.zeros_like(noise)}
            (out,) = nodes.common_ksampler(
                model, 1, 4, CFG, sampler, "normal", conditioning(frames), negative, latent
            )
        finally:
            comfy.sample.prepare_noise = drawn
        return out["samples"]

    batch = run(frames, noise)
    assert batch.isfinite().all()
    first = run(frames[:1], noise[:1])
    if sampler != "ddpm":
        alone = torch.cat([first, *(run(frames[i : i + 1], noise[i : i + 1]) for i in (1, 2))])
        assert relative(batch, alone) < 1e-3
    assert relative(batch[1:2], batch[:1]) > 0.1


# --- the clip, as a switch ------------------------------------------------------------------------


def test_the_clip_is_a_switch_that_outlives_clones(decoder):
    key = "sampler_post_cfg_function"
    assert key not in decoder.model().model_options
    clone = decoder.model(clip_x0=True).clone().clone()
    (clip,) = clone.model_options[key]
    assert clip({"denoised": torch.tensor([-3.0, 0.5, 2.0])}).tolist() == [-1.0, 0.5, 1.0]


# --- storage and offloading -----------------------------------------------------------------------

STORED = {
    "float32": (torch.float32, {}),
    "float16": (torch.float16, {}),
    "bfloat16": (torch.bfloat16, {}),
    "float16, kept so": (torch.float16, {"dtype": torch.float16}),
    "bfloat16, kept so": (torch.bfloat16, {"dtype": torch.bfloat16}),
    "fp8_e4m3fn": (torch.float8_e4m3fn, {"dtype": torch.float8_e4m3fn}),
    "fp8_e5m2": (torch.float8_e5m2, {"dtype": torch.float8_e5m2}),
}


# Rounding moves a weight by up to 2^-11, 2^-8, 2^-4 and 2^-3 of itself; through some 20 layers
# that adds up to about four times as much.
CLOSE = {
    torch.float32: 1e-5,
    torch.float16: 0.002,
    torch.bfloat16: 0.02,
    torch.float8_e4m3fn: 0.25,
    torch.float8_e5m2: 0.5,
}


@pytest.mark.parametrize(("dtype", "options"), STORED.values(), ids=STORED.keys())
def test_weights_of_any_storage(decoder, tmp_path, dtype, options):
    """On the CPU all are computed in float32, so nothing but the rounding of the weights shows."""
    rounded = {name: w.to(dtype) for name, w in decoder.weights.items()}
    fp8 = dtype.itemsize == 1
    stored = tmp_path / "unet.safetensors"
    save_file(decoder.weights if fp8 else rounded, stored)
    other = SimpleNamespace(path=stored, vae=decoder.vae, _model=decoder._model)
    model = Decoder.model(other, **options)
    assert model.model_dtype() == options.get("dtype", torch.float32)
    kept = {p.dtype for p in model.model.diffusion_model.parameters()}
    assert kept == {options.get("dtype", torch.float32)}

    x, embeds, sigma = randn(1, *SHAPE), embedding(2), at(500)
    expected = expected_noise(rounded, x, 500, embeds)
    out = predict(model, x * (1 + sigma**2) ** 0.5, sigma, embeds)
    assert relative(out, expected) < 2e-5
    exact = expected_noise(decoder.weights, x, 500, embeds)
    assert relative(out, exact) < CLOSE[dtype]


def test_fp8_weights_in_the_file_load_too(decoder, tmp_path):
    path = tmp_path / "unet.safetensors"
    save_file({name: w.to(torch.float8_e4m3fn) for name, w in decoder.weights.items()}, path)
    model = Decoder.model(SimpleNamespace(path=path, vae=decoder.vae, _model=decoder._model))
    x, embeds = randn(1, *SHAPE), embedding(2)
    rounded = {name: w.float() for name, w in load_file(path).items()}
    sigma = at(500)
    out = predict(model, x * (1 + sigma**2) ** 0.5, sigma, embeds)
    assert relative(out, expected_noise(rounded, x, 500, embeds)) < 2e-5


def test_offloading_in_parts_gives_the_same_image(decoder, monkeypatch):
    """ComfyUI splits a model by what its GPU can hold. Without one it never does: here it is told
    that a third fits."""
    import comfy.model_management

    sigmas = sigmas_of(_ten_steps())
    given = randn(3, *SHAPE), conditioning(embedding(4)), conditioning(embedding(5)), sigmas
    whole = sample(decoder.model(), *given)

    def a_third(loaded, *_args, **_kwargs):
        return loaded.model.partially_load(loaded.device, loaded.model.model_size() // 3)

    monkeypatch.setattr(comfy.model_management.LoadedModel, "model_use_more_vram", a_third)
    model = decoder.model()
    split = sample(model, *given)
    assert model.model.model_lowvram
    assert 0 < model.loaded_size() < model.model_size() / 2
    assert relative(split, whole) < 1e-5


def _ten_steps():
    scheduler = ddim(clip=False)
    scheduler.set_timesteps(10)
    return scheduler


def test_a_copy_for_another_device_comes_from_the_file(decoder):
    make, given = decoder.model().cached_patcher_init
    copy = make(*given, disable_dynamic=True)
    assert copy.model is not decoder.model().model
    x, embeds = randn(1, *SHAPE), embedding(2)
    assert torch.equal(predict(copy, x, 5.0, embeds), predict(decoder.model(), x, 5.0, embeds))


def test_a_config_beside_the_weights_tells_the_heads(decoder, tmp_path):
    path = tmp_path / "unet.safetensors"
    shutil.copy(decoder.path, path)
    (tmp_path / "unet.json").write_text(json.dumps({"attention_head_dim": 32}), encoding="utf-8")
    model = Decoder.model(SimpleNamespace(path=path, vae=decoder.vae, _model=decoder._model))
    x, embeds = randn(1, *SHAPE), embedding(2)
    assert model.model.diffusion_model.mid_block.attentions[0].heads == 4
    assert relative(predict(model, x, 5.0, embeds), predict(decoder.model(), x, 5.0, embeds)) > 1e-3


# --- conditioning ---------------------------------------------------------------------------------

TWO_STEPS = torch.tensor([10.0, 1.0, 0.0])
WRONG = {
    "a text encoder's": (torch.zeros(1, 77, 768), "77 tokens of width 768"),
    "the right width, but a text": (torch.zeros(1, 77, 1280), "77 tokens of width 1280"),
    "another embedding": (torch.zeros(1, 1, 1024), "1 token of width 1024"),
}


@pytest.mark.parametrize(("tokens", "message"), WRONG.values(), ids=WRONG.keys())
def test_another_conditioning_is_refused_in_one_sentence(pack, decoder, tokens, message):
    wrong, right = [[tokens, {}]], conditioning(embedding(4))
    for name, given in (("positive", (wrong, right)), ("negative", (right, wrong))):
        with pytest.raises(DriftError) as caught:
            sample(decoder.model(), randn(3, *SHAPE), *given, TWO_STEPS)
        text = str(caught.value)
        assert text.startswith(f"{name} conditioning holds {message}, where")
        assert "Kandinsky 2.2 Prior" in text
        assert text.count(". ") == 0


def test_a_controlnet_is_refused(pack, decoder):
    with pytest.raises(DriftError, match="takes no ControlNet"):
        predict(decoder.model(), randn(1, *SHAPE), 5.0, embedding(2), control={"output": []})


def unclip(conditioning_in: list, embeds: Tensor, strength: float) -> list:
    import nodes

    pictures = SimpleNamespace(image_embeds=embeds)
    (out,) = nodes.unCLIPConditioning().apply_adm(conditioning_in, pictures, strength, 0.0)
    return out


def test_unclip_conditioning_is_the_sum_of_its_images(decoder):
    first, second = embedding(11), embedding(12, 2)
    text = [[torch.zeros(1, 77, 768), {}]]  # whatever the images are attached to
    positive = unclip(unclip(text, first, 0.25), second, 0.5)
    negative = conditioning(embedding(5))
    noise, model = randn(3, *SHAPE), decoder.model()
    total = 0.25 * first + 0.5 * second.sum(dim=0)
    expected = sample(model, noise, conditioning(total), negative, TWO_STEPS)
    assert relative(sample(model, noise, positive, negative, TWO_STEPS), expected) < 1e-6
    assert relative(sample(model, noise, conditioning(first), negative, TWO_STEPS), expected) > 0.1


def test_unclip_images_of_another_width_are_refused(pack, decoder):
    positive = unclip(conditioning(embedding(4)), randn(1, 1, 768), 1.0)
    with pytest.raises(DriftError, match=r"width 768.*clip_vision_g"):
        sample(decoder.model(), randn(3, *SHAPE), positive, positive, TWO_STEPS)


# --- masks and inpainting -------------------------------------------------------------------------


def a_mask() -> Tensor:
    """(1, 1, h, w): 1 in a rectangle that is to be painted, and in one lone cell."""
    mask = torch.zeros(1, 1, *SHAPE[2:])
    mask[..., 4:9, 3:8] = 1.0
    mask[..., 14, 1] = 1.0
    return mask


def test_a_mask_keeps_what_lies_outside(decoder):
    image, given = randn(8, *SHAPE), (conditioning(embedding(4)), conditioning(embedding(5)))
    out = sample(decoder.model(True), randn(3, *SHAPE), *given, TWO_STEPS,
                 latent=image, mask=a_mask())  # fmt: skip
    painted = a_mask().bool().expand(SHAPE)
    assert torch.allclose(out[~painted], image[~painted], atol=1e-6)
    assert not torch.isclose(out[painted], image[painted]).any()


def official_addition(image: Tensor, mask: Tensor) -> Tensor:
    """What the official pipeline puts behind the noisy latent; its own mask is 1 where the image
    is kept, and shrunk by its own function."""
    kept = prepare_mask(1 - mask)
    return torch.cat([image * kept, kept], dim=1)


def test_inpainting_gets_what_the_official_pipeline_gives_it(inpainter):
    image, noise = randn(8, *SHAPE), randn(3, *SHAPE)
    model = inpainter.model().model
    found = model.concat_cond(
        noise=noise, latent_image=image, denoise_mask=a_mask(), device=torch.device("cpu")
    )
    assert torch.equal(found, official_addition(image, a_mask()))
    assert found[:, 4:].sum() < (1 - a_mask()).sum()  # it did shrink


def test_inpainting_without_a_mask_paints_everything(inpainter):
    found = inpainter.model().model.concat_cond(
        noise=randn(3, *SHAPE), latent_image=randn(8, *SHAPE), device=torch.device("cpu")
    )
    assert torch.equal(found, torch.zeros(1, 5, *SHAPE[2:]))


def test_ten_steps_of_inpainting(inpainter):
    scheduler = _ten_steps()
    image, start, mask = randn(8, *SHAPE), randn(3, *SHAPE), a_mask()

    unet, addition = reference_of(inpainter.weights), official_addition(image, mask)
    expected = scheduler.add_noise(image, start, scheduler.timesteps[:1])
    for step in scheduler.timesteps:
        kept = scheduler.add_noise(image, start, step[None])
        expected = mask * expected + (1 - mask) * kept
        given = torch.cat([expected, addition], dim=1)
        expected = scheduler.step(guided(unet, given, step, GIVEN), step, expected)
        expected = expected.prev_sample
    expected = mask * expected + (1 - mask) * image

    prompts = conditioning(GIVEN.positive), conditioning(GIVEN.negative)
    sigmas = sigmas_of(scheduler)
    out = sample(inpainter.model(), start, *prompts, sigmas, latent=image, mask=mask)
    assert relative(out, expected) < 1e-3


def test_inpaint_model_conditioning_is_understood(inpainter):
    import nodes

    pixels = randn(8, 1, 128, 192, 3).sigmoid()
    mask = torch.nn.functional.interpolate(a_mask(), scale_factor=8.0)[:, 0]
    both = conditioning(embedding(4)), conditioning(embedding(5))
    positive, negative, latent = nodes.InpaintModelConditioning().encode(
        *both, pixels, inpainter.vae, mask, noise_mask=True
    )
    extra = positive[0][1]
    found = inpainter.model().model.concat_cond(
        noise=latent["samples"],
        latent_image=torch.zeros_like(latent["samples"]),  # the conditioning's comes first
        device=torch.device("cpu"),
        concat_latent_image=extra["concat_latent_image"],
        concat_mask=extra["concat_mask"],
    )
    assert torch.equal(found, official_addition(extra["concat_latent_image"], a_mask()))
    out = sample(inpainter.model(True), randn(3, *SHAPE), positive, negative, TWO_STEPS,
                 latent=latent["samples"], mask=latent["noise_mask"])  # fmt: skip
    assert out.shape == SHAPE
    assert out.isfinite().all()


# --- the node -------------------------------------------------------------------------------------


@pytest.fixture
def node(pack, decoder, monkeypatch):
    """The node, with the small weights in ComfyUI's folders and in a folder as the hub has it."""
    import folder_paths

    folder = decoder.path.parent
    hub = folder / "models" / "kandinsky-2-2-decoder"
    for part_name, file in (("unet", decoder.path), ("movq", folder / "movq.safetensors")):
        (hub / part_name).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, hub / part_name / "diffusion_pytorch_model.safetensors")
    places = dict.fromkeys(("diffusion_models", "vae"), folder) | {"diffusers": folder / "models"}
    for name, place in places.items():
        endings = folder_paths.folder_names_and_paths[name][1]
        monkeypatch.setitem(folder_paths.folder_names_and_paths, name, ([str(place)], endings))
        folder_paths.filename_list_cache.pop(name, None)
    yield pack.kandinsky22.nodes.decoder.Kandinsky22LoadDecoder
    for name in places:
        folder_paths.filename_list_cache.pop(name, None)


CHOICES = [
    ("unet4.safetensors", "movq.safetensors"),
    ("diffusers/kandinsky-2-2-decoder", "diffusers/kandinsky-2-2-decoder"),
]


@pytest.mark.parametrize("chosen", CHOICES, ids=["files", "the hub's folder"])
def test_the_node_gives_a_model_and_a_vae(node, chosen):
    import nodes

    schema = node.define_schema()
    assert all(item.tooltip for item in [*schema.inputs, *schema.outputs])
    model, vae = node.execute(*chosen, "default", True).args
    latent = {"samples": torch.zeros(SHAPE)}
    given = conditioning(embedding(4)), conditioning(embedding(5))
    (out,) = nodes.KSampler().sample(model, 1, 2, CFG, "euler", "normal", *given, latent)
    (images,) = nodes.VAEDecode().decode(vae, out)
    assert images.shape == (1, 128, 192, 3)
    assert node.fingerprint_inputs(*chosen, "default", True)


def test_the_nodes_switches_reach_the_model(node):
    plain, _ = node.execute(*CHOICES[0], "fp8_e4m3fn", False).args
    assert plain.model_dtype() == torch.float8_e4m3fn
    assert "sampler_post_cfg_function" not in plain.model_options
    fast, _ = node.execute(*CHOICES[0], "fp8_e4m3fn_fast", True).args
    assert fast.model.model_config.optimizations["fp8"]


def test_previews_show_the_latent(node):
    """With ComfyUI's quick method, the one that needs no model of its own."""
    import latent_preview
    from comfy.cli_args import LatentPreviewMethod, args

    model, _ = node.execute(*CHOICES[0], "default", True).args
    args.preview_method, before = LatentPreviewMethod.Latent2RGB, args.preview_method
    try:
        previewer = latent_preview.get_previewer("cpu", model.model.latent_format)
        image = previewer.decode_latent_to_preview(randn(3, *SHAPE))
    finally:
        args.preview_method = before
    assert image.size == (24, 16)


def test_a_wrong_file_is_told_before_anything_is_loaded(pack, node, decoder, monkeypatch):
    import comfy.utils

    def load(*_args, **_kwargs):
        raise AssertionError("weights were read")

    monkeypatch.setattr(comfy.utils, "load_torch_file", load)
    files = CHOICES[0]
    with pytest.raises(DriftError, match="unet_name: movq"):
        node.execute(files[1], files[1], "default", True)
    with pytest.raises(DriftError, match="movq_name: unet4"):
        node.execute(files[0], files[0], "default", True)


@pytest.mark.parametrize("change", [{}, {"mid_block.resnets.1.norm2.bias": torch.zeros(7)}])
def test_an_incomplete_file_is_told_by_its_header(pack, decoder, tmp_path, change):
    name, path = "mid_block.resnets.1.norm2.bias", tmp_path / "unet.safetensors"
    save_file({key: w for key, w in decoder.weights.items() if key != name} | change, path)
    with pytest.raises(DriftError, match=f"unet_name: unet.*{name}.*where the model needs"):
        pack.kandinsky22.nodes.model.decoder_config(path)


def test_a_movq_of_other_latents_is_refused(pack, decoder, tmp_path):
    path = tmp_path / "movq.safetensors"
    small_movq(path, code_channels=8, latent_channels=8)
    vae = pack.kandinsky22.nodes.vae.load_movq(path)
    with pytest.raises(DriftError, match="latents of 4 channels, but movq_name has 8"):
        pack.kandinsky22.nodes.model.load_decoder(decoder.path, vae)
