"""Text2Video-Zero by our nodes and core's sampler, against diffusers' pipeline.

One small UNet of SD 1.x's layout, random weights, in both: the attention, the steps, the shift,
the noise that is put back.
"""

import importlib

import numpy as np
import pytest
import torch

FRAMES = 3
STEPS = 16
FIRST, SECOND = 1, 2
"""Steps of the schedule at t1 and t0: timesteps 869 and 807, near the published 941 and 881."""
CFG = 3.0
PIXELS = 64
MOVE = (13.0, -9.0)
"""Pixels from frame to frame."""
SEED = 4


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def randn(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


PROMPT, NEGATIVE = randn(1, 77, 768, seed=1), randn(1, 77, 768, seed=2)
NOISE = randn(1, 4, PIXELS // 8, PIXELS // 8, seed=3)


@pytest.fixture(scope="module")
def unet():
    """diffusers' UNet at the size of core_models.sd15."""
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=PIXELS // 8,
        block_out_channels=(32, 64),
        down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2,
        layers_per_block=1,
        cross_attention_dim=768,
        attention_head_dim=(1, 2),  # how many heads, whatever the name says
        use_linear_projection=True,
    ).eval()
    for name, weight in unet.named_parameters():
        if ".attn1." in name:  # as torch begins them, self-attention would hardly count
            weight.data *= 3
    return unet


@pytest.fixture(scope="module")
def model(pack, unet):
    """The same weights in core's own UNet."""
    models = importlib.import_module("pack.tests.core_models")
    utils = importlib.import_module("comfy.utils")
    names = utils.unet_to_diffusers(models.UNET)
    weights = {names[name]: weight for name, weight in unet.state_dict().items()}
    core = models.sd15.__wrapped__()
    core.model.diffusion_model.load_state_dict(weights)
    return core


@pytest.fixture(scope="module")
def noises():
    """What Warp First Frame puts back: row k of the seed for frame k."""
    generator = torch.Generator().manual_seed(SEED)
    return torch.cat([torch.randn(NOISE.shape, generator=generator) for _ in range(FRAMES)])


@pytest.fixture(scope="module")
def scheduler():
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        steps_offset=1,
        set_alpha_to_one=True,  # the last step ends without noise, as core's do
    )


@pytest.fixture(scope="module")
def published(unet, scheduler, noises):
    """diffusers' frames, as latents."""
    from diffusers import TextToVideoZeroPipeline

    module = importlib.import_module(TextToVideoZeroPipeline.__module__)
    pipe = TextToVideoZeroPipeline(None, None, None, unet, scheduler, None, None, False)
    pipe.encode_prompt = lambda *_args: (PROMPT, NEGATIVE)
    pipe.set_progress_bar_config(disable=True)
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(module, "randn_tensor", lambda *_args, **_options: noises[1:])
        return pipe(
            "any",
            video_length=FRAMES,
            height=PIXELS,
            width=PIXELS,
            num_inference_steps=STEPS,
            guidance_scale=CFG,
            latents=NOISE,
            # Its field says where a pixel comes from, on a picture of 512 whatever the size.
            motion_field_strength_x=-MOVE[0] * 512 / PIXELS,
            motion_field_strength_y=-MOVE[1] * 512 / PIXELS,
            t0=STEPS - 1 - SECOND,
            t1=STEPS - 1 - FIRST,
            output_type="latent",
        ).images


def drawn(pack, model, scheduler, attend: bool = True, move=MOVE) -> torch.Tensor:
    """The same frames by our nodes, with the prompts as a batch."""
    sample = importlib.import_module("comfy.sample").sample_custom
    samplers = importlib.import_module("comfy.samplers")
    euler = samplers.sampler_object("euler")
    scheduler.set_timesteps(STEPS)
    kept = scheduler.alphas_cumprod[scheduler.timesteps].double()
    sigmas = torch.cat([((1 - kept) / kept).sqrt(), torch.zeros(1)]).float()
    scale = model.model.latent_format.scale_factor
    if attend:
        node = pack.nodes.consistency.ClipDriftAttendFirst
        model = node.execute(model, "first", 1.0, 0.0, 1.0, "all").args[0]

    def run(part, latent, noise=None):
        noise = torch.zeros_like(latent) if noise is None else noise
        prompts = [[PROMPT.expand(len(latent), -1, -1), {}]], [[NEGATIVE, {}]]
        return sample(model, noise, CFG, euler, part, *prompts, latent, disable_pbar=True)

    # diffusers' latents have the variance of the data's scale, core's noise comes on top.
    noise = NOISE * (1 + sigmas[0] ** 2).sqrt() / sigmas[0]
    start = run(sigmas[: FIRST + 1], torch.zeros_like(NOISE), noise)
    on = run(sigmas[FIRST : SECOND + 1], start)
    warp = pack.nodes.consistency.ClipDriftWarpFirst.execute
    given = sigmas[FIRST : SECOND + 1], FRAMES, *move, SEED, 1.0
    (begun,) = warp(model, {"samples": start}, {"samples": on}, *given).args
    return run(sigmas[FIRST:], begun["samples"]) * scale


def apart(a: torch.Tensor, b: torch.Tensor) -> np.ndarray:
    """Each frame's distance, as a share of its length."""
    return ((a - b).flatten(1).norm(dim=1) / b.flatten(1).norm(dim=1)).numpy()


def test_the_frames_are_those_of_the_published_pipeline(pack, model, scheduler, published):
    ours = drawn(pack, model, scheduler)
    print(f"frames apart by {apart(ours, published)}")
    # What is left after frame 0 is the pipeline's: it raises the noise by the variances of steps
    # t0 to t1 - 1 instead of t0 + 1 to t1, by 5e-4 too little here, and then samples from t1.
    assert apart(ours, published).max() < 1e-3


@pytest.mark.parametrize("change", [{"attend": False}, {"move": (0.0, 0.0)}])
def test_attention_and_motion_both_count(pack, model, scheduler, published, change):
    """The frames after the first would be others without either."""
    ours = drawn(pack, model, scheduler, **change)
    print(f"frames apart by {apart(ours, published)}")
    assert apart(ours, published)[0] < 1e-3
    assert apart(ours, published)[1:].min() > 0.02


# --- The node alone ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def warp(pack):
    def run(model, start, latent, sigmas, frames=FRAMES, move=MOVE, strength=1.0, drift=None):
        latents = {"samples": start}, {"samples": latent}
        given = torch.tensor(sigmas), frames, *move, SEED, strength
        node = pack.nodes.consistency.ClipDriftWarpFirst
        return node.execute(model, *latents, *given, drift=drift).args[0]

    return run


def test_a_flow_model_gets_its_own_noise(pack, warp):
    """Latents between samplers are x / (1 − σ), in the latent format's own scale and shift."""
    models = importlib.import_module("pack.tests.core_models")
    flux, low, high = models.flux(), 0.6, 0.8
    start, drawn = randn(1, 16, 8, 8, seed=5), randn(1, 16, 8, 8, seed=6)
    generator = torch.Generator().manual_seed(SEED)
    noise = [torch.randn(1, 16, 8, 8, generator=generator) for _ in range(2)][1]
    found = warp(flux, start, drawn, [high, 0.7, low], 2, (8.0, 0.0))["samples"]
    assert torch.equal(found[:1], start)
    shape = flux.model.latent_format
    x = (1 - low) * shape.process_in(drawn).roll(1, -1)
    x[..., 0] = (1 - low) * shape.process_in(drawn)[..., 0]  # reflected: the edge comes twice
    scale = (1 - high) / (1 - low)
    x = scale * x + (high**2 - (scale * low) ** 2) ** 0.5 * noise
    torch.testing.assert_close(found[1:], shape.process_out(x / (1 - high)), rtol=1e-4, atol=1e-4)


def test_a_clip_says_the_path(pack, model, warp):
    drift = importlib.import_module(f"{pack.clip_drift.__name__}.drift").Drift
    frames = torch.zeros(4, 48, 48, 3, dtype=torch.uint8)
    for i in range(4):
        frames[i, 10 + 6 * i : 20 + 6 * i, 12:22] = 200  # 6 of 48 down a frame: 2 of 16 latents
    clip = drift.from_embeddings(randn(4, 8, seed=1), thumbnails=frames)
    start, drawn = torch.zeros(1, 4, 16, 16), randn(1, 4, 16, 16, seed=6)
    # Between levels as near as these noise of 0.0141 comes back; 5 of it is what is allowed.
    found = warp(model, start, drawn, [1.0001, 1.0], drift=clip)
    quiet = 5 * 0.0142 / model.model.latent_format.scale_factor
    assert found["batch_index"] == [0, 1, 2, 3]
    for i in range(1, 4):
        moved = found["samples"][i, :, 2 * i :] - drawn[0, :, : 16 - 2 * i]
        assert moved.abs().max() < quiet
    still = warp(model, start, drawn, [1.0001, 1.0], drift=clip, strength=0.0)["samples"]
    assert (still[1:] - drawn).abs().max() < quiet


def test_what_cannot_be_warped_is_refused(pack, model, warp):
    drift = importlib.import_module(f"{pack.clip_drift.__name__}.drift").Drift
    one = torch.zeros(1, 4, 8, 8)
    with pytest.raises(ValueError, match="latent holds 2 pictures, but every frame begins"):
        warp(model, one, one.expand(2, -1, -1, -1), [2.0, 1.0])
    with pytest.raises(ValueError, match=r"start has shape \(1, 4, 8, 8\) and latent"):
        warp(model, one, torch.zeros(1, 4, 8, 16), [2.0, 1.0])
    with pytest.raises(ValueError, match="begin at 1 and end at 2"):
        warp(model, one, one, [1.0, 2.0])
    with pytest.raises(ValueError, match="so it has no path in the picture"):
        warp(model, one, one, [2.0, 1.0], drift=drift.from_embeddings(randn(4, 8, seed=1)))
