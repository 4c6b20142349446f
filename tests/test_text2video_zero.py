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
