"""Every relative that a drift reaches, on its real conditioning layout, in core's real model code.

The models are core's classes at a small size (core_models.py). What text encoders give stands as
tensors of their layout: those of SDXL, Flux and Kandinsky 5 have 0.8 to 8 billion parameters.
"""

import importlib

import pytest
import torch

F = 3
STEP = 0.25  # radians between neighbouring frames, about
# Of the largest number: one frame of several rounds differently in a model than alone (measured:
# 3e-6), while frames that differ do so by more than 0.01.
SAME = 1e-4


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Models this small are several times slower on more threads when the machine is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def models(pack):
    """core_models, importable once ComfyUI is."""
    return importlib.import_module("pack.tests.core_models")


@pytest.fixture(scope="module")
def lib(pack):
    """The pack's own copy of the library, whose classes and errors its nodes use."""
    return pack.clip_drift


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def motion(lib):
    """`motion(dim)`: a clip's embeddings and their rotations from the first frame."""
    sequence = importlib.import_module(f"{lib.__name__}.sequence")

    def make(dim: int, frames: int = F):
        steps = randn(frames, dim, seed=dim) * STEP / dim**0.5
        start = torch.nn.functional.normalize(randn(1, dim, seed=7), dim=-1)
        points = torch.nn.functional.normalize(start + steps.cumsum(0), dim=-1)
        rotations = sequence.RotationSequence.from_trajectory(points, "from_first", False)
        return points.double(), rotations

    return make


@pytest.fixture(scope="module")
def rotate(pack):
    """Rotate Conditioning: `rotate(conditioning, rotation, method, strength, ...)`."""

    def run(conditioning, rotation, method="carry", strength=1.0, **options):
        options = {"preserve_norm": True, "rotate_pooled": True} | options
        node = pack.nodes.prompt.ClipDriftRotateConditioning
        walked, frames, _ = node.execute(conditioning, rotation, method, strength, **options).args
        assert frames == len(walked[0][0])
        return walked

    return run


@pytest.fixture(scope="module")
def to_list(pack):
    """Frames to List: `to_list(conditioning, latent, start, count)` → two lists."""

    def run(conditioning, latent, start=0, count=0):
        return pack.nodes.frames.ClipDriftFrames.execute(conditioning, latent, start, count).args

    return run


def latents(*shape: int) -> dict:
    """Empty latents that all get the same noise, so that frames differ by their prompts alone."""
    return {"samples": torch.zeros(shape), "batch_index": [0] * shape[0]}


def turned(rotation, row: torch.Tensor) -> torch.Tensor:
    """(1, N) by each frame's dense matrix."""
    planes = rotation.frame_planes
    return torch.stack([planes[i].as_matrix() @ row[0].double() for i in range(F)]).float()


def gram(rows: torch.Tensor) -> torch.Tensor:
    rows = torch.nn.functional.normalize(rows.double(), dim=-1)
    return rows @ rows.mT


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    difference = float((a - b).abs().max() / b.abs().max())
    print(f"difference {difference:.1e}")
    return difference < SAME


def differ(frames: torch.Tensor) -> bool:
    """Whether neighbouring frames differ by far more than round-off."""
    steps = (frames[1:] - frames[:-1]).flatten(1).abs().amax(1)
    print(f"neighbours differ by {float(steps.min() / frames.abs().max()):.1e}")
    return float(steps.min()) > 100 * SAME * float(frames.abs().max())


# --- Layouts: tokens, pooled vector, what else rides along --------------------------------------


LAYOUTS = {
    "sd15": (77, 768, 768, {}),
    "sdxl": (77, 2048, 1280, {"width": 512, "height": 512, "crop_w": 8}),
    "flux": (256, 4096, 768, {"guidance": 2.0}),
    "kandinsky5_image": (40, 3584, 768, {}),
}
SHAPES = {
    "sd15": (4, 8, 8),
    "sdxl": (4, 8, 8),
    "flux": (16, 8, 8),
    "kandinsky5_image": (16, 8, 8),
}


def prompt_of(name: str, seed: int = 1) -> list:
    count, width, pooled, extra = LAYOUTS[name]
    tokens = randn(1, count, width, seed=seed)
    return [[tokens, extra | {"pooled_output": randn(1, pooled, seed=seed + 1)}]]


@pytest.mark.parametrize(
    ("name", "dim"),
    [("sd15", 768), ("sdxl", 768), ("sdxl", 1280), ("flux", 768), ("kandinsky5_image", 768)],
)
def test_a_walk_drives_the_model_as_a_batch_and_as_a_list(
    models, motion, rotate, to_list, name, dim
):
    """Every picture model: the walk is what reaches it, and both ways draw the same frames."""
    model = getattr(models, name)()
    walked = rotate(prompt_of(name), motion(dim)[1])
    latent = latents(F, *SHAPES[name])
    still = prompt_of(name, seed=11)  # a negative of batch one
    batch, seen = models.sample(model, walked, latent, still)
    assert torch.equal(seen["c_crossattn"], walked[0][0])
    if name != "sd15":  # which does not take the pooled vector
        pooled = walked[0][1]["pooled_output"]
        assert torch.equal(seen["y"][:, : pooled.shape[1]], pooled)
    if name == "flux":
        assert seen["guidance"].tolist() == [2.0] * F
    assert differ(batch)

    listed = zip(*to_list(walked, latent), strict=True)
    frames = [models.sample(model, prompt, frame, still)[0] for prompt, frame in listed]
    assert same(torch.cat(frames), batch)


@pytest.mark.parametrize(("name", "dim"), [("flux", 768), ("kandinsky5_image", 768)])
def test_other_encoders_tokens_are_lifted_and_the_pooled_vector_is_moved_in_its_space(
    motion, rotate, name, dim
):
    """carry keeps the clip's angles in both; the pooled vector takes the clip's own directions."""
    points, rotation = motion(dim)
    prompt = prompt_of(name)
    ((tokens, extra),) = rotate(prompt, rotation)
    law = gram(points)
    for token in (0, 1, tokens.shape[1] - 1):
        assert (gram(tokens[:, token]) - law).abs().max() < 1e-5
    assert (gram(extra["pooled_output"]) - law).abs().max() < 1e-5

    # Only where widths agree can the clip's own rotations act.
    ((tokens, extra),) = rotate(prompt, rotation, "rotate", rotate_tokens=False)
    assert torch.equal(tokens, prompt[0][0].expand(F, -1, -1))
    expected = turned(rotation, prompt[0][1]["pooled_output"])
    assert torch.allclose(extra["pooled_output"], expected, atol=1e-5)


# --- SDXL: two encoders side by side ------------------------------------------------------------


@pytest.mark.parametrize(
    ("dim", "own"), [(768, slice(0, 768)), (1280, slice(768, 2048))], ids=["CLIP-L", "bigG"]
)
@pytest.mark.parametrize("method", ["rotate", "carry", "translate", "tangent", "perturb"])
def test_sdxl_a_drift_moves_its_own_encoders_block(motion, rotate, method, dim, own):
    """As it moves the same numbers where they stand alone; the other block stays."""
    prompt = prompt_of("sdxl")
    rotation = motion(dim)[1]
    ((tokens, extra),) = rotate(prompt, rotation, method, 0.7, rotate_pooled=False)
    alone = [[prompt[0][0][..., own], {}]]
    ((expected, _),) = rotate(alone, rotation, method, 0.7)
    assert torch.equal(tokens[..., own], expected)
    other = torch.ones(2048, dtype=torch.bool)
    other[own] = False
    assert torch.equal(tokens[..., other], prompt[0][0][..., other].expand(F, -1, -1))
    assert torch.equal(extra["pooled_output"], prompt[0][1]["pooled_output"])


def test_sdxl_a_bigg_drift_rotates_the_pooled_vector_in_its_own_space(motion, rotate):
    """Two halves make the dense matrix's rotation."""
    prompt = prompt_of("sdxl")
    rotation = motion(1280)[1]
    ((_, extra),) = rotate(rotate(prompt, rotation, "rotate", 0.5), rotation, "rotate", 0.5)
    expected = turned(rotation, prompt[0][1]["pooled_output"])
    assert torch.allclose(extra["pooled_output"], expected, atol=1e-5)


def test_sdxl_a_clip_l_drift_carries_the_pooled_vector_by_lifting(motion, rotate):
    points, rotation = motion(768)
    ((_, extra),) = rotate(prompt_of("sdxl"), rotation)
    assert (gram(extra["pooled_output"]) - gram(points)).abs().max() < 1e-5


@pytest.mark.parametrize("method", ["rotate", "perturb", "translate", "tangent"])
def test_sdxl_a_clip_l_drift_cannot_rotate_the_pooled_vector(lib, motion, rotate, method):
    """The error names the switch that leaves the pooled vector out."""
    with pytest.raises(lib.errors.DriftError) as refused:
        rotate(prompt_of("sdxl"), motion(768)[1], method)
    for part in ("768", "1280", "pooled", "rotate_pooled", "carry"):
        assert part in str(refused.value)


# --- Kandinsky 2.2: one token, the image embedding ----------------------------------------------


@pytest.mark.parametrize("method", ["rotate", "carry"])
def test_kandinsky_22_its_only_token_is_the_image_embedding_and_moves(
    motion, rotate, to_list, method
):
    points, rotation = motion(1280)
    prompt = [[randn(1, 1, 1280), {}]]
    ((tokens, extra),) = rotate(prompt, rotation, method)
    assert tokens.shape == (F, 1, 1280)
    assert extra == {}
    assert (tokens[1:] != tokens[:-1]).any(-1).all()
    if method == "carry":
        assert (gram(tokens[:, 0]) - gram(points)).abs().max() < 1e-5
    prompts, _ = to_list([[tokens, extra]], latents(1, 4, 8, 8))
    assert torch.equal(torch.cat([frame[0][0] for frame in prompts]), tokens)


# --- unCLIP: image embeddings that core sums over a batch ---------------------------------------

KEY = "unclip_conditioning"


def with_image(prompt, embeds: torch.Tensor, strength=1.0, noise_augmentation=0.0):
    """Core's unCLIPConditioning, on what core's CLIPVisionEncode gives."""
    from comfy.clip_vision import Output

    import nodes as core_nodes

    output = Output()
    output["image_embeds"] = embeds
    output["last_hidden_state"] = torch.zeros(len(embeds), 3, 8)
    (result,) = core_nodes.unCLIPConditioning().apply_adm(
        prompt, output, strength, noise_augmentation
    )
    return result


UNCLIP = {  # tokens, pooled vector, image embedding
    "sd21_unclip_h": (1024, 1024, 1024),
    "sd21_unclip_l": (1024, 1024, 768),
    "sdxl": (2048, 1280, 1280),
}


def unclip_prompt(name: str):
    width, pooled, _ = UNCLIP[name]
    return [[randn(1, 77, width, seed=3), {"pooled_output": randn(1, pooled, seed=4)}]]


@pytest.mark.parametrize("noise_augmentation", [0.0, 0.3])
@pytest.mark.parametrize("name", UNCLIP)
def test_unclip_the_image_embedding_is_rotated_and_drawn_frame_by_frame(
    models, motion, rotate, to_list, name, noise_augmentation
):
    """The image alone moves, by the clip's own rotations; each frame is what a conditioning made
    by hand from that frame's embedding gives."""
    model = getattr(models, name)()
    dim = UNCLIP[name][2]
    points, rotation = motion(dim)
    # An image not unlike the clip's: of a random one, little lies in the clip's planes.
    embeds = dim**0.5 * points[:1].float() + randn(1, dim, seed=5)
    prompt = with_image(unclip_prompt(name), embeds, 0.8, noise_augmentation)
    walked = rotate(prompt, rotation, "rotate", rotate_tokens=False, rotate_pooled=False)
    expected = turned(rotation, embeds)
    negative = unclip_prompt(name)

    prompts, frames = to_list(walked, latents(1, *SHAPES["sdxl"]))
    drawn, seen = [], []
    for i, (frame, latent) in enumerate(zip(prompts, frames, strict=True)):
        samples, call = models.sample(model, frame, latent, negative)
        by_hand = with_image(unclip_prompt(name), expected[i : i + 1], 0.8, noise_augmentation)
        other, other_call = models.sample(model, by_hand, latent, negative)
        assert same(samples, other)
        assert torch.allclose(call["y"], other_call["y"], atol=1e-5)
        drawn.append(samples)
        seen.append(call["y"][:, :dim])
    assert differ(torch.cat(drawn))
    if noise_augmentation == 0:
        # Core scales the embedding by strength, and adds the noise of its first level.
        reached = torch.nn.functional.cosine_similarity(torch.cat(seen), expected)
        assert reached.min() > 0.999


def test_unclip_one_sampler_call_for_all_frames_stands_still_and_does_not_blend(
    models, motion, rotate
):
    """Core would add up a batch of embeddings: they must not lie where it does."""
    model = models.sd21_unclip_h()
    prompt = with_image(unclip_prompt("sd21_unclip_h"), randn(1, 1024, seed=5))
    walked = rotate(prompt, motion(1024)[1], rotate_tokens=False, rotate_pooled=False)
    latent = latents(F, 4, 8, 8)
    batch, call = models.sample(model, walked, latent)
    first, _ = models.sample(model, prompt, latents(1, 4, 8, 8))
    assert same(batch, first.expand(F, -1, -1, -1))
    assert torch.equal(call["y"], call["y"][:1].expand(F, -1))


def test_unclip_the_users_embedding_is_left_as_it_was(motion, rotate, to_list):
    embeds = randn(1, 1024, seed=5)
    prompt = with_image(unclip_prompt("sd21_unclip_h"), embeds)
    before = prompt[0][1][KEY][0]
    walked = rotate(prompt, motion(1024)[1])
    to_list(walked, latents(1, 4, 8, 8))
    assert before.keys() == {"clip_vision_output", "strength", "noise_augmentation"}
    assert before["clip_vision_output"]["image_embeds"] is embeds
    after = walked[0][1][KEY][0]["clip_vision_output"]
    assert torch.equal(after["last_hidden_state"], torch.zeros(1, 3, 8))


def test_unclip_frames_of_a_list_carry_only_what_core_knows(motion, rotate, to_list):
    prompt = with_image(unclip_prompt("sdxl"), randn(1, 1280, seed=5), 0.8, 0.1)
    prompts, _ = to_list(rotate(prompt, motion(1280)[1]), latents(1, 4, 8, 8), 1, 2)
    for ((_, extra),) in prompts:
        (entry,) = extra[KEY]
        assert entry.keys() == {"clip_vision_output", "strength", "noise_augmentation"}
        assert (entry["strength"], entry["noise_augmentation"]) == (0.8, 0.1)
        assert entry["clip_vision_output"]["image_embeds"].shape == (1, 1280)


def test_unclip_a_blend_of_images_moves_image_by_image(motion, rotate, to_list):
    """Two images in one output and a third beside them: core adds all three."""
    rotation = motion(1280)[1]
    pair, single = randn(2, 1280, seed=5), randn(1, 1280, seed=6)
    prompt = with_image(with_image(unclip_prompt("sdxl"), pair), single, 0.5)
    prompts, _ = to_list(rotate(prompt, rotation), latents(1, 4, 8, 8))
    for rows in (pair[:1], pair[1:], single):
        ((alone, _),) = rotate([[rows[:, None], {}]], rotation)
        found = [
            torch.cat([e["clip_vision_output"]["image_embeds"] for e in extra[KEY]])
            for ((_, extra),) in prompts
        ]
        assert all((frame == alone[i, 0]).all(1).any() for i, frame in enumerate(found))


def test_unclip_walks_can_be_chained(motion, rotate, to_list):
    """Half the way twice is the whole way, for rotations of one plane per frame."""
    rotation = motion(1280)[1]
    prompt = with_image(unclip_prompt("sdxl"), randn(1, 1280, seed=5))
    once = rotate(prompt, rotation, "rotate", 1.0)
    twice = rotate(rotate(prompt, rotation, "rotate", 0.5), rotation, "rotate", 0.5)
    for a, b in zip(
        to_list(once, latents(1, 4, 8, 8))[0], to_list(twice, latents(1, 4, 8, 8))[0], strict=True
    ):
        a, b = (x[0][1][KEY][0]["clip_vision_output"]["image_embeds"] for x in (a, b))
        assert torch.allclose(a, b, atol=1e-5)


def test_unclip_the_image_can_be_left_out(motion, rotate):
    prompt = with_image(unclip_prompt("sdxl"), randn(1, 1280, seed=5))
    ((tokens, extra),) = rotate(prompt, motion(1280)[1], rotate_image=False)
    assert extra[KEY] is prompt[0][1][KEY]
    assert not torch.equal(tokens[1], tokens[0])


def test_unclip_an_image_of_another_width_names_its_switch(lib, motion, rotate):
    prompt = with_image(unclip_prompt("sd21_unclip_l"), randn(1, 768))
    with pytest.raises(lib.errors.DriftError, match=r"768.*rotate_image.*|rotate_image.*768"):
        rotate(prompt, motion(1024)[1], "rotate")


@pytest.mark.parametrize("rotate_tokens", [True, False])
def test_a_batch_of_another_length_is_refused_whatever_moves(lib, motion, rotate, rotate_tokens):
    prompt = [[randn(2, 77, 768), {}]]
    with pytest.raises(lib.errors.DriftError, match=f"batch of 2 .* {F} frames"):
        rotate(prompt, motion(768)[1], rotate_tokens=rotate_tokens)


def test_unclip_a_loop_takes_the_frames_of_the_list(pack, motion, rotate, to_list):
    prompt = with_image(unclip_prompt("sdxl"), randn(1, 1280, seed=5))
    walked, latent = rotate(prompt, motion(1280)[1]), latents(1, 4, 8, 8)
    prompts, _ = to_list(walked, latent)
    looped = [pack.nodes.loop.ClipDriftLoopStart.execute(walked, latent, 0.5).args[1]]
    for i in range(1, F):
        step = pack.nodes.loop.ClipDriftLoopStep.execute(walked, latent, 0.5, latent, i)
        looped.append(step.args[1])
    for ((tokens, extra),), ((other, other_extra),) in zip(prompts, looped, strict=True):
        assert torch.equal(tokens, other)
        a, b = (x[KEY][0]["clip_vision_output"]["image_embeds"] for x in (extra, other_extra))
        assert torch.equal(a, b)


# --- Kandinsky 5: one prompt and one latent of many frames per clip -----------------------------


VIDEO = (1, 16, 3, 8, 8)  # 3 latent frames


def video_prompt():
    return prompt_of("kandinsky5_image")


def test_kandinsky_5_takes_one_state_of_the_walk_for_its_clip(models, motion, rotate, to_list):
    """Frames to List with count 1 picks it; a whole batch in one call would give frame 0's."""
    model = models.kandinsky5()
    walked = rotate(video_prompt(), motion(768)[1])
    latent = {"samples": torch.zeros(VIDEO)}
    negative = prompt_of("kandinsky5_image", seed=11)
    clips = []
    for start in (0, F - 1):
        (prompt,), (video,) = to_list(walked, latent, start, 1)
        assert video["samples"].shape == VIDEO
        samples, seen = models.sample(model, prompt, video, negative)
        assert torch.equal(seen["c_crossattn"], walked[0][0][start : start + 1])
        assert torch.equal(seen["y"], walked[0][1]["pooled_output"][start : start + 1])
        clips.append(samples)
    assert differ(torch.cat(clips))
    untouched, _ = models.sample(model, video_prompt(), latent, negative)
    assert same(clips[0], untouched)
    unsplit, _ = models.sample(model, walked, latent, negative)
    assert same(unsplit, untouched)


def test_kandinsky_5_a_pair_of_vectors_is_a_walk_of_one_state(lib, models, motion, rotate):
    """From the clip's first frame to its last: one moved prompt, no list needed."""
    points, rotation = motion(768)
    pair = type(rotation).from_pairs(points[:1], points[-1:])
    ((tokens, extra),) = rotate(video_prompt(), pair)
    ((walked, walked_extra),) = rotate(video_prompt(), rotation)
    assert tokens.shape[0] == 1
    assert torch.allclose(extra["pooled_output"], walked_extra["pooled_output"][-1:], atol=1e-5)
    assert not torch.allclose(tokens, walked[:1], atol=1e-2)


def test_kandinsky_5_videos_pair_up_with_states(models, motion, rotate, to_list):
    """A batch of F videos draws one per state, in one call or as a list."""
    model = models.kandinsky5()
    walked = rotate(video_prompt(), motion(768)[1])
    latent = latents(F, *VIDEO[1:])
    batch, _ = models.sample(model, walked, latent)
    assert differ(batch)
    listed = zip(*to_list(walked, latent), strict=True)
    assert same(torch.cat([models.sample(model, *frame)[0] for frame in listed]), batch)


def test_kandinsky_5_one_video_for_many_prompts_is_refused(lib, motion, rotate, to_list):
    walked = rotate(video_prompt(), motion(768)[1])
    with pytest.raises(lib.errors.DriftError, match=r"one prompt.*count to 1"):
        to_list(walked, {"samples": torch.zeros(VIDEO)})


@pytest.mark.parametrize("step", ["ClipDriftLoopStart", "ClipDriftLoopEnd"])
def test_kandinsky_5_a_loop_refuses_a_video(pack, lib, motion, rotate, step):
    latent = {"samples": torch.zeros(VIDEO)}
    node = getattr(pack.nodes.loop, step)
    inputs = {
        "ClipDriftLoopStart": (rotate(video_prompt(), motion(768)[1]), latent, 0.5),
        "ClipDriftLoopEnd": (F, latent),
    }[step]
    with pytest.raises(lib.errors.DriftError, match=r"video.*picture model"):
        node.execute(*inputs)


def test_kandinsky_5_noise_walks_along_the_latent_frames(pack, models, motion):
    """Through core's SamplerCustomAdvanced: latent frame i gets frame i's noise."""
    from comfy_extras import nodes_custom_sampler as custom

    frames = VIDEO[2]
    points, rotation = motion(768, frames)
    node = pack.nodes.noise.ClipDriftRotateNoise
    noise, latent, _ = node.execute(
        {"samples": torch.zeros(VIDEO)}, rotation, 5, "correlate", 1.0
    ).args
    drawn = noise.generate_noise(latent)
    assert drawn.shape == VIDEO
    assert latent["samples"].shape == VIDEO
    # 16·8·8 numbers per frame: the measured correlation strays by about 1/√1024.
    correlation = torch.corrcoef(drawn[0].movedim(1, 0).flatten(1))
    assert (correlation - gram(points)).abs().max() < 5 / 1024**0.5

    model = models.kandinsky5()
    (guider,) = custom.BasicGuider.execute(model, video_prompt()).args
    (sampler,) = custom.KSamplerSelect.execute("euler").args
    (sigmas,) = custom.BasicScheduler.execute(model, "simple", 2, 1.0).args
    samples = [
        custom.SamplerCustomAdvanced.execute(
            node.execute(latent, rotation, 5, "correlate", strength).args[0],
            guider,
            sampler,
            sigmas,
            latent,
        ).args[0]["samples"]
        for strength in (0.0, 1.0)
    ]
    assert samples[0].shape == VIDEO
    assert not same(*samples)


# --- Pictures of models that make pictures and video --------------------------------------------


def test_a_latent_of_one_frame_is_a_picture(pack, motion, rotate, to_list):
    """Kandinsky 5, Wan and Qwen-Image pictures are (B, 16, 1, H, W)."""
    rotation = motion(768)[1]
    node = pack.nodes.noise.ClipDriftRotateNoise
    flat = {"samples": torch.zeros(1, 16, 8, 8)}
    deep = {"samples": torch.zeros(1, 16, 1, 8, 8)}
    drawn = []
    for latent in (flat, deep):
        noise, batch, _ = node.execute(latent, rotation, 5, "correlate", 1.0).args
        assert len(batch["samples"]) == F
        drawn.append(noise.generate_noise(batch))
    assert torch.equal(drawn[0].unsqueeze(2), drawn[1])

    walked = rotate(video_prompt(), rotation)
    _, frames = to_list(walked, deep)
    assert [frame["samples"].shape for frame in frames] == [deep["samples"].shape] * F
    # Core's samplers give (B, C, 1, H, W) for a (B, C, H, W) latent of such a model.
    result = {"samples": torch.ones(1, 16, 1, 8, 8)}
    step = pack.nodes.loop.ClipDriftLoopStep.execute(walked, flat, 0.25, result, 1)
    assert torch.equal(step.args[2]["samples"], result["samples"] * 0.25)


# --- What else rides in a conditioning ----------------------------------------------------------


def test_keys_of_every_entry_are_kept(motion, rotate, to_list):
    """Areas, timestep ranges, hooks, masks: objects as they are, in every entry and frame. Only a
    frame's number comes to them, for patches that relate frames to one another."""
    hooks, mask = object(), torch.ones(1, 8, 8)
    extras = [
        {"area": (4, 4, 0, 0), "strength": 0.5, "set_area_to_bounds": False},
        {"start_percent": 0.25, "end_percent": 1.0, "hooks": hooks},
        {"mask": mask, "mask_strength": 0.3, "attention_mask": torch.ones(1, 77)},
    ]
    prompt = [[randn(1, 77, 768, seed=i), extra] for i, extra in enumerate(extras)]
    walked = rotate(prompt, motion(768)[1])
    assert len(walked) == len(prompt)
    frames, _ = to_list(walked, latents(1, 4, 8, 8))
    for entries in [walked, *frames]:
        for (_, extra), given in zip(entries, extras, strict=True):
            assert extra.keys() - {"clip_drift_frames"} == given.keys()
            assert all(extra[key] is given[key] for key in given)


def test_what_has_an_entry_a_frame_is_cut_with_the_frame(motion, rotate, to_list):
    """Masks, attention masks and reference latents of batch F pair up with a batch's latents in
    core; in the list each frame must get its own."""
    per_frame = {
        "mask": randn(F, 8, 8),
        "attention_mask": randn(F, 77),
        "concat_latent_image": randn(F, 4, 8, 8),
        "reference_latents": [randn(F, 16, 8, 8), randn(1, 16, 8, 8)],
    }
    shared = {"numbers": randn(F)}
    prompt = [[randn(1, 77, 768), per_frame | shared]]
    frames, _ = to_list(rotate(prompt, motion(768)[1]), latents(1, 4, 8, 8))
    for i, ((_, extra),) in enumerate(frames):
        for key in ("mask", "attention_mask", "concat_latent_image"):
            assert torch.equal(extra[key], per_frame[key][i : i + 1])
        own, common = extra["reference_latents"]
        assert torch.equal(own, per_frame["reference_latents"][0][i : i + 1])
        assert common is per_frame["reference_latents"][1]
        assert extra["numbers"] is shared["numbers"]


@pytest.mark.parametrize("pictures", [1, F])
def test_a_controlnet_sees_each_frames_picture(models, motion, rotate, to_list, pictures):
    """Core's ControlNet code: one picture for all, or one per frame, in a batch and in a list."""
    import nodes as core_nodes

    model = models.sd15()
    images = randn(pictures, 64, 64, 3).sigmoid()
    empty = prompt_of("sd15", seed=11)
    positive, negative = core_nodes.ControlNetApplyAdvanced().apply_controlnet(
        prompt_of("sd15"), empty, models.controlnet(), images, 1.0, 0.0, 1.0
    )
    walked = rotate(positive, motion(768)[1])
    latent = latents(F, 4, 8, 8)
    batch, _ = models.sample(model, walked, latent, negative)
    bare, _ = models.sample(model, rotate(prompt_of("sd15"), motion(768)[1]), latent, empty)
    assert not same(batch, bare)

    listed = zip(*to_list(walked, latent), to_list(negative, latent)[0], strict=True)
    frames = [models.sample(model, *frame)[0] for frame in listed]
    assert same(torch.cat(frames), batch)
    hint = positive[0][1]["control"].cond_hint_original
    assert len(hint) == pictures


def test_a_region_of_a_batch_is_the_region_of_the_list(models, motion, rotate, to_list):
    """Two prompts, one of them for a part of the picture and half of the steps: both walk."""
    model = models.sd15()
    part = {"area": (4, 8, 4, 0), "strength": 0.8, "start_percent": 0.0, "end_percent": 0.6}
    ((tokens, _),) = prompt_of("sd15", seed=21)
    prompt = [*prompt_of("sd15"), [tokens, part]]
    walked = rotate(prompt, motion(768)[1])
    latent = latents(F, 4, 8, 8)
    negative = prompt_of("sd15", seed=11)
    batch, _ = models.sample(model, walked, latent, negative)
    assert differ(batch)
    listed = zip(*to_list(walked, latent), strict=True)
    frames = [models.sample(model, *frame, negative)[0] for frame in listed]
    assert same(torch.cat(frames), batch)


@pytest.mark.parametrize(
    ("tokens", "width", "kept"),
    [(77, 768, [0]), (154, 2048, [0, 77]), (77, 3584, []), (308, 4096, []), (1, 1280, [])],
)
def test_only_clip_prompts_have_a_start_token(motion, rotate, tokens, width, kept):
    """A Qwen or T5 prompt may happen to be 77 tokens long."""
    prompt = [[randn(1, tokens, width), {}]]
    ((walked, _),) = rotate(prompt, motion(768)[1])
    still = (walked[1] == prompt[0][0][0]).all(-1).nonzero().flatten().tolist()
    assert still == kept
