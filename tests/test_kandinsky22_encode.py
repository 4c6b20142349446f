"""Kandinsky 2.2 Prior, the node: against diffusers' whole pipeline, and by itself."""

from itertools import pairwise

import pytest
import torch
from diffusers import KandinskyV22PriorPipeline, PriorTransformer
from pack.clip_drift.errors import DriftError
from pack.clip_drift.openclip import load_openclip_file
from pack.tests.test_kandinsky22_prior import official_scheduler
from pack.tests.test_kandinsky22_text import (
    NARROW,
    big_g,
    core_clip,
    open_clip_config,
    save_open_clip,
)
from pack.workshop.rig.kandinsky_weights import small_prior
from safetensors.torch import load_file, save_file
from transformers import (
    CLIPImageProcessor,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

WIDTH = 64  # of texts and embeddings, as narrow as the text encoder
VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "num_hidden_layers": 3,
    "patch_size": 16,
    "image_size": 32,
    "projection_dim": WIDTH,
    "hidden_act": "gelu",
}
SETTINGS = {"seed": 11, "steps": 6, "cfg": 4.0}


def relative(ours, theirs):
    return float((ours - theirs).abs().max() / theirs.abs().max())


def two():
    """A generator for each of two prompts, as the node has one for each of its two runs."""
    return [torch.Generator().manual_seed(SETTINGS["seed"]) for _ in range(2)]


@pytest.fixture(scope="module")
def node(pack):
    from pack.kandinsky22.nodes.prior import Kandinsky22Encode

    return Kandinsky22Encode


@pytest.fixture(scope="module")
def encode(node):
    """The node's two embeddings, (B, 1, N) each."""

    def run(*args, **kwargs):
        with torch.inference_mode():  # as ComfyUI does
            positive, negative = node.execute(*args, **{**SETTINGS, **kwargs}).result
        assert positive[0][1] == negative[0][1] == {}
        return positive[0][0], negative[0][0]

    return run


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("prior") / "prior.safetensors"
    small_prior(path, embedding=WIDTH, text_width=WIDTH, pooled_width=WIDTH)
    return path


@pytest.fixture(scope="module")
def prior(pack, weights_file):
    from pack.kandinsky22.nodes.prior_model import load_prior

    return load_prior(weights_file)


@pytest.fixture(scope="module")
def text_encoder():
    return big_g(**NARROW)


@pytest.fixture(scope="module")
def clip(pack, text_encoder):
    return core_clip("alone", text_encoder)


@pytest.fixture(scope="module")
def image_encoder():
    torch.manual_seed(3)
    model = CLIPVisionModelWithProjection(CLIPVisionConfig(**VISION)).eval().requires_grad_(False)
    for weight in model.parameters():
        weight.copy_(weight.half())  # as core keeps it
    return model


@pytest.fixture(scope="module")
def vision(pack, image_encoder):
    from comfy.clip_vision import ClipVisionModel

    model = ClipVisionModel({"model_type": "clip_vision_model", "num_channels": 3, **VISION})
    model.load_sd(image_encoder.state_dict())
    return model


@pytest.fixture(scope="module")
def official(pack, weights_file, text_encoder, image_encoder):
    """diffusers' pipeline over the same weights, its scheduler freed of a rounding error."""
    import comfy.sd1_clip

    reference = PriorTransformer(num_attention_heads=2, num_layers=2, embedding_dim=WIDTH).eval()
    reference.load_state_dict(load_file(weights_file))
    folder = comfy.sd1_clip.__file__.replace("sd1_clip.py", "sd1_tokenizer")
    pipeline = KandinskyV22PriorPipeline(
        prior=reference,
        image_encoder=image_encoder,
        text_encoder=text_encoder,
        tokenizer=CLIPTokenizer.from_pretrained(folder, model_max_length=77),
        scheduler=official_scheduler(exact=True),
        image_processor=CLIPImageProcessor(),
    )
    pipeline.set_progress_bar_config(disable=True)

    def run(prompt, **kwargs):
        # Float64 coefficients must not make the embedding float64, which the layers refuse.
        step = pipeline.scheduler.step

        def float_step(*args, **options):
            output = step(*args, **options)
            output.prev_sample = output.prev_sample.float()
            return output

        pipeline.scheduler.step = float_step
        try:
            return pipeline(
                prompt, num_inference_steps=SETTINGS["steps"], guidance_scale=4.0, **kwargs
            )
        finally:
            pipeline.scheduler.step = step

    return run


@pytest.fixture(scope="module")
def pictures(vision):
    images = torch.rand(3, 32, 32, 3, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return vision.encode_image(images)


# --- as the official pipeline ---


def test_a_text_and_the_official_negative_are_diffusers(encode, prior, clip, vision, official):
    generator = torch.Generator().manual_seed(SETTINGS["seed"])
    wanted = official("a red cube", generator=generator)
    positive, negative = encode(prior, clip, "a red cube", "", clip_vision=vision)
    assert positive.shape == negative.shape == (1, 1, WIDTH)
    assert relative(positive[:, 0], wanted.image_embeds) < 1e-4
    assert relative(negative[:, 0], wanted.negative_image_embeds) < 1e-5


def test_a_negative_text_is_diffusers(encode, prior, clip, official):
    wanted = official("a red cube", negative_prompt="blurry, dark", generator=two())
    positive, negative = encode(prior, clip, "a red cube", "blurry, dark")
    assert relative(positive[:, 0], wanted.image_embeds) < 1e-4
    assert relative(negative[:, 0], wanted.negative_image_embeds) < 1e-4


# --- negatives ---


def test_the_three_negatives(encode, prior, clip, vision):
    drawn = {}
    for name, text, encoder in [
        ("empty text", "", None),
        ("only spaces", " \n", None),
        ("empty picture", "", vision),
        ("text", "dark", None),
        ("text and encoder", "dark", vision),
    ]:
        drawn[name] = encode(prior, clip, "a cat", text, clip_vision=encoder)
    negatives = {name: pair[1] for name, pair in drawn.items()}
    assert torch.equal(negatives["empty text"], negatives["only spaces"])
    assert torch.equal(negatives["text"], negatives["text and encoder"])
    different = [negatives[name] for name in ("empty text", "empty picture", "text")]
    assert min(relative(a, b) for a, b in pairwise(different)) > 0.01
    # What clip_vision is for is the negative alone.
    assert torch.equal(drawn["empty text"][0], drawn["empty picture"][0])
    assert relative(drawn["text"][0], drawn["empty text"][0]) > 0.01


def test_without_guidance_the_negative_text_moves_only_the_negative(encode, prior, clip):
    one, other = (encode(prior, clip, "a cat", text, cfg=1.0) for text in ("dark", "bright"))
    assert torch.equal(one[0], other[0])
    assert relative(one[1], other[1]) > 0.01


# --- images ---


def test_images_and_text_are_mixed_along_a_line(encode, prior, clip, pictures):
    text, _ = encode(prior, clip, "a cat", "dark")
    embeds = pictures["image_embeds"][:, None]
    for weight in (0.0, 0.3, 1.0):
        mixed, negative = encode(prior, clip, "a cat", "dark", image=pictures, image_weight=weight)
        assert mixed.shape == (3, 1, WIDTH)
        assert negative.shape == (1, 1, WIDTH)
        assert torch.allclose(mixed, weight * embeds + (1 - weight) * text, atol=1e-5)


def test_an_image_alone_needs_no_prior(encode, prior, clip, pictures, vision, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("the prior ran")

    monkeypatch.setattr(type(prior), "draw", refuse)
    positive, _ = encode(prior, clip, "", "", image=pictures, image_weight=1.0, clip_vision=vision)
    assert torch.equal(positive[:, 0], pictures["image_embeds"])


def test_rotate_conditioning_takes_the_result(encode, pack, prior, clip, pictures):
    from comfy_api.latest import io
    from pack.nodes.prompt import ClipDriftRotateConditioning
    from pack.nodes.rotation import ClipDriftRotation

    hidden = {io.Hidden.prompt: {"1": {"inputs": {}}}, io.Hidden.unique_id: "1"}
    rotation_node, rotate_node = (
        node.PREPARE_CLASS_CLONE({"hidden_inputs": hidden})
        for node in (ClipDriftRotation, ClipDriftRotateConditioning)
    )
    positive, _ = encode(prior, clip, "a cat", "dark")
    rotation = rotation_node.execute(pictures, pairing="from_first", centered=True).result[0]
    settings = {"strength": 1.0, "preserve_norm": True, "rotate_pooled": True}
    conditioning, frames, _ = rotate_node.execute(
        [[positive, {}]], rotation, method="rotate", **settings
    ).result
    assert frames == 3
    assert conditioning[0][0].shape == (3, 1, WIDTH)
    assert torch.allclose(conditioning[0][0][:1], positive, atol=1e-5)
    assert relative(conditioning[0][0][-1:], positive) > 1e-4


# --- an OpenCLIP model of one's own ---


@pytest.fixture(scope="module")
def own(pack, tmp_path_factory):
    """A small OpenCLIP model and a prior over it: texts of width 48, embeddings of width 40."""
    from pack.kandinsky22.nodes.prior_model import load_prior
    from pack.nodes.core.encoders import ManagedOpenClip

    folder = tmp_path_factory.mktemp("own")
    save_open_clip(folder, open_clip_config())
    path = folder / "prior.safetensors"
    small_prior(path, embedding=40, text_width=48, pooled_width=40, text_length=24)
    return load_prior(path), ManagedOpenClip(load_openclip_file(folder / "small.safetensors"))


def test_an_open_clip_model_serves_as_text_and_image_encoder(encode, own):
    prior, model = own
    drawn = {text: encode(prior, model, text, "", clip_vision=model) for text in ("a cat", "dogs")}
    assert drawn["a cat"][0].shape == (1, 1, 40)
    assert relative(drawn["a cat"][0], drawn["dogs"][0]) > 0.01
    # Zero after normalisation is the mean before it.
    mean = torch.tensor(model._encoder.mean).expand(1, 32, 32, 3)
    assert relative(drawn["a cat"][1][:, 0], model.encode(mean)) < 1e-4


# --- seeds, progress, cancelling ---


def test_a_seed_draws_the_same_and_another_draws_another(encode, own):
    first = encode(*own, "a cat", "")
    again, other = encode(*own, "a cat", ""), encode(*own, "a cat", "", seed=12)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert relative(first[0], other[0]) > 0.01


def test_the_seed_takes_comfyuis_whole_range(encode, own):
    encode(*own, "a cat", "", seed=0xFFFFFFFFFFFFFFFF, steps=1)


@pytest.fixture
def bar(pack, monkeypatch):
    """What the node's progress bar shows, by ComfyUI's own hook for it. It leaves out what comes
    too soon after."""
    import comfy.utils

    shown = []
    monkeypatch.setattr(
        comfy.utils,
        "PROGRESS_BAR_HOOK",
        lambda value, total, *_, **__: shown.append((value, total)),
    )
    return shown


def test_the_bar_counts_the_steps_of_both_runs(encode, own, bar):
    encode(*own, "a cat", "dark", steps=3)
    assert bar[0] == (1, 6)
    assert bar[-1] == (6, 6)


def test_the_bar_counts_one_run_where_there_is_one(encode, own, bar):
    encode(*own, "a cat", "", steps=3, clip_vision=own[1])
    assert bar[-1] == (3, 3)


def test_it_can_be_cancelled(encode, own, bar):
    from comfy.model_management import InterruptProcessingException, interrupt_current_processing

    interrupt_current_processing()
    with pytest.raises(InterruptProcessingException):
        encode(*own, "a cat", "")
    assert bar == []  # at its first step


# --- bad input ---


def test_an_image_of_another_width(encode, own, pictures):
    with pytest.raises(DriftError, match=r"image gives .* width 64, the prior's are of width 40"):
        encode(*own, "a cat", "", image=pictures)


def test_an_encoder_of_another_width(encode, own, vision):
    with pytest.raises(DriftError, match=r"clip_vision gives .* width 64, .* width 40"):
        encode(*own, "a cat", "", clip_vision=vision)


def test_a_text_encoder_of_another_width(encode, own, prior, clip):
    with pytest.raises(
        DriftError, match=r"clip gives 24 tokens of width 48.*77 tokens of width 64"
    ):
        encode(prior, own[1], "a cat", "")


def test_an_image_without_an_embedding(encode, own, pictures):
    from comfy.clip_vision import Output

    empty = Output()
    empty["image_embeds"] = None
    with pytest.raises(DriftError, match="image has no image embedding"):
        encode(*own, "a cat", "", image=empty)


# --- the loader ---


def test_load_prior_takes_single_files_and_hub_folders(pack, weights_file, tmp_path, monkeypatch):
    import folder_paths
    from pack.kandinsky22.nodes.prior import Kandinsky22LoadPrior

    hub = tmp_path / "diffusers" / "kandinsky-2-2-prior" / "prior"
    single = tmp_path / "diffusion_models"
    single.mkdir()
    hub.mkdir(parents=True)
    for path in (hub / "diffusion_pytorch_model.safetensors", single / "my_prior.safetensors"):
        save_file(load_file(weights_file), path)
    for kind, folder in (("diffusers", tmp_path / "diffusers"), ("diffusion_models", single)):
        known = folder_paths.folder_names_and_paths
        monkeypatch.setitem(known, kind, ([str(folder)], known[kind][1]))
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    offered = Kandinsky22LoadPrior.define_schema().inputs[0].options
    assert offered == ["my_prior.safetensors", "diffusers/kandinsky-2-2-prior"]
    for name in offered:
        loaded = Kandinsky22LoadPrior.execute(name).result[0]
        assert loaded.embedding == WIDTH
        assert Kandinsky22LoadPrior.fingerprint_inputs(name)
