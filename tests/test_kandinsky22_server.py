"""Kandinsky 2.2 among ComfyUI's own nodes, in a running server, on small random weights."""

from __future__ import annotations

import io
import time

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from pack.farm.client import NodeError, node
from pack.tests import kandinsky_prompts as kandinsky
from pack.tests.kandinsky_prompts import DECODER, INPAINTER, MOVQ, PRIOR, Files
from pack.tests.test_kandinsky22_decoder import CLOSE
from pack.tests.test_kandinsky22_lora import LAYERS, NAMINGS, RANK, STRENGTH
from pack.tests.watching import watch
from pack.workshop.rig import prompts
from pack.workshop.rig.kandinsky_sampling import relative
from PIL import Image
from safetensors.torch import load
from torch import Tensor

# A model rounds differently for one frame than for four. Guidance and the first noise level, 25,
# enlarge that to about 1e-4 of latents up to 1; another frame is off by more than 0.1.
SAME = 5e-4


@pytest.fixture(scope="module")
def files(models_dir) -> Files:
    made = Files(models_dir)
    yield made
    made.remove()


def latents(server, graph: dict, *names: str) -> list[Tensor]:
    """The latents of the nodes named (default: "sample"), from one run; lists become a batch."""
    names = names or ("sample",)
    saved = {
        f"saved_{name}": node("SaveLatent", samples=[name, 0], filename_prefix=f"latents/{name}")
        for name in names
    }
    outputs = server.run(graph | saved, timeout=300)["outputs"]
    found = []
    for name in names:
        parts = outputs[f"saved_{name}"]["latents"]
        found.append(torch.cat([load(server.view(**file))["latent_tensor"] for file in parts]))
    return found


def latent(server, graph: dict) -> Tensor:
    return latents(server, graph)[0]


def differ(one: Tensor, other: Tensor) -> bool:
    return float((one - other).abs().max()) > 0.05


# --- Samplers -------------------------------------------------------------------------------------

SAMPLERS = {
    "ddim": "normal",
    "ddpm": "karras",
    "euler": "sgm_uniform",
    "dpmpp_2m": "karras",
    "uni_pc": "normal",
}


def test_native_samplers_and_schedulers(server, files):
    graph = kandinsky.text_to_image(files)
    del graph["sample"]
    for name, scheduler in SAMPLERS.items():
        given = {"sampler_name": name, "scheduler": scheduler, "steps": 4}
        graph[name] = kandinsky.sampler(**given)
        # Core takes any denoise above 0.9999 for 1; to its cache it is another run.
        graph[f"{name}_again"] = kandinsky.sampler(**given, denoise=0.99995)
    found = latents(server, graph, *SAMPLERS, *(f"{name}_again" for name in SAMPLERS))
    once, again = found[: len(SAMPLERS)], found[len(SAMPLERS) :]
    for out, same in zip(once, again, strict=True):
        assert out.shape == (1, 4, 8, 12)
        assert out.isfinite().all()
        assert torch.equal(out, same)
    for index, out in enumerate(once):
        assert all(differ(out, other) for other in once[:index])


def test_cfg_weighs_the_negative_in(server, files):
    graph = kandinsky.text_to_image(files)
    graph["other_prior"] = node(
        "Kandinsky22Encode", **{**graph["prior"]["inputs"], "negative": "a red car"}
    )
    del graph["sample"]
    other = {"negative": ["other_prior", 1]}
    for cfg in (1.0, 4.0):
        graph[f"cfg_{cfg:g}"] = kandinsky.sampler(cfg=cfg)
        graph[f"cfg_{cfg:g}_other"] = kandinsky.sampler(cfg=cfg, **other)
    one, one_other, four, four_other = latents(
        server, graph, "cfg_1", "cfg_1_other", "cfg_4", "cfg_4_other"
    )
    assert torch.equal(one, one_other)
    assert differ(four, four_other)
    assert differ(one, four)


# --- What comes over the websocket ----------------------------------------------------------------


def test_previews_arrive_with_every_step(server, files):
    graph = kandinsky.text_to_image(files, steps=4, seed=21)
    graph |= prompts.saved_latents(["sample", 0])
    found = watch(server, graph, extra_data={"preview_method": "latent2rgb"})
    assert found.ended()[0] == "execution_success"
    assert found.steps("sample") == [(done, 4) for done in (1, 2, 3, 4)]
    assert len(found.pictures) == 4
    for picture in found.pictures:
        # A pixel per latent cell, (12, 8), which ComfyUI enlarges to its preview size.
        assert picture.size == (512, 341)
        assert picture.mode == "RGB"
        low, high = zip(*picture.getextrema(), strict=True)
        assert max(b - a for a, b in zip(low, high, strict=True)) > 50  # not one colour
    first, *_, last = (torch.tensor(list(p.tobytes())).float() for p in found.pictures)
    assert (first - last).abs().mean() > 2


def test_the_priors_steps_are_counted(server, files):
    """Once for the text and once for the negative text. Core leaves out what follows too soon upon
    the last message, but neither the first nor the end."""
    graph = kandinsky.embeddings(files, steps=6)
    graph["shown"] = node("PreviewAny", source=["prior", 0])
    found = watch(server, graph)
    assert found.ended()[0] == "execution_success"
    done = [step for step, _ in found.steps("prior")]
    assert {total for _, total in found.steps("prior")} == {12}
    assert (done[0], done[-1]) == (1, 12)
    assert done == sorted(set(done))


@pytest.mark.parametrize("stage", ["prior", "sample"])
def test_cancelling(server, files, stage):
    """A thousand steps take minutes; the one under way is the last."""
    graph = kandinsky.text_to_image(files, steps=1000 if stage == "sample" else 2, seed=22)
    graph["prior"]["inputs"]["steps"] = 1000 if stage == "prior" else 3
    graph |= prompts.saved_latents(["sample", 0])
    asked = []

    def cancel(kind: str, data: dict):
        if not asked and kind == "progress" and data["node"] == stage:
            asked.append(time.monotonic())
            server.interrupt()

    found = watch(server, graph, cancel)
    kind, details = found.ended()
    assert (kind, details["node_id"]) == ("execution_interrupted", stage)
    assert found.steps(stage)[-1][0] < 1000
    # The server goes on with the next prompt, from the same models.
    assert latent(server, kandinsky.text_to_image(files)).isfinite().all()


# --- Image-to-image, masks and the inpainting decoder ---------------------------------------------

LEFT_PIXELS = 32  # of the 96: the part that masks have painted, 4 latent cells


@pytest.fixture(scope="module")
def picture(server) -> dict:
    """A picture, ["picture", 0], and a mask of its left third, ["mask", 0]."""
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(96), indexing="ij")
    pixels = torch.stack([rows * 4, columns * 2, rows + columns], -1).clamp(max=255)
    Image.fromarray(pixels.to(torch.uint8).numpy()).save(server.input_dir / "k22.png")
    mask = ((columns < LEFT_PIXELS) * 255).to(torch.uint8)
    Image.fromarray(mask.numpy()).convert("RGB").save(server.input_dir / "k22_mask.png")
    return {
        "picture": node("LoadImage", image="k22.png"),
        "mask": node("LoadImageMask", image="k22_mask.png", channel="red"),
    }


@pytest.fixture(scope="module")
def encoded(files, picture) -> dict:
    """With the picture's latent as ["latent", 0]."""
    graph = kandinsky.decoder(files) | kandinsky.embeddings(files) | picture
    return graph | {"latent": node("VAEEncode", pixels=["picture", 0], vae=["decoder", 1])}


def inside(x: Tensor) -> Tensor:
    """The cells that are painted; at the edge a mask fades, so one column is left out."""
    return x[..., : LEFT_PIXELS // 8 - 1]


def outside(x: Tensor) -> Tensor:
    return x[..., LEFT_PIXELS // 8 + 1 :]


def test_image_to_image(server, encoded):
    """The less denoise, the nearer to the picture."""
    graph = dict(encoded)
    for percent in (10, 50, 100):
        graph[f"denoise_{percent}"] = kandinsky.sampler(
            latent_image=["latent", 0], denoise=percent / 100
        )
    original, *results = latents(server, graph, "latent", "denoise_10", "denoise_50", "denoise_100")
    assert original.shape == (1, 4, 8, 12)
    changes = [float((out - original).abs().mean()) for out in results]
    print(f"mean change with denoise 0.1, 0.5, 1: {changes}")
    assert 0.001 < changes[0] < changes[1] < changes[2]


def test_a_noise_mask_keeps_what_lies_outside(server, encoded):
    graph = dict(encoded)
    graph["masked"] = node("SetLatentNoiseMask", samples=["latent", 0], mask=["mask", 0])
    graph["sample"] = kandinsky.sampler(latent_image=["masked", 0])
    original, out = latents(server, graph, "latent", "sample")
    assert float((outside(out) - outside(original)).abs().max()) < 1e-5
    assert differ(inside(out), inside(original))


def inpainting(files, picture) -> dict:
    """The decoder of 9 channels, with what Inpaint Model Conditioning makes of its inputs."""
    graph = kandinsky.decoder(files, INPAINTER) | kandinsky.embeddings(files) | picture
    graph["inpaint"] = node(
        "InpaintModelConditioning",
        positive=["prior", 0],
        negative=["prior", 1],
        vae=["decoder", 1],
        pixels=["picture", 0],
        mask=["mask", 0],
        noise_mask=True,
    )
    return graph


INPAINT = {"positive": ["inpaint", 0], "negative": ["inpaint", 1]}


def test_the_inpainting_decoder_keeps_what_lies_outside(server, files, picture):
    graph = inpainting(files, picture)
    graph["original"] = node("VAEEncode", pixels=["picture", 0], vae=["decoder", 1])
    graph["by_conditioning"] = kandinsky.sampler(latent_image=["inpaint", 2], **INPAINT)
    graph["erased"] = node(
        "VAEEncodeForInpaint",
        pixels=["picture", 0],
        vae=["decoder", 1],
        mask=["mask", 0],
        grow_mask_by=0,
    )
    graph["by_latent"] = kandinsky.sampler(latent_image=["erased", 0])
    original, by_conditioning, erased, by_latent = latents(
        server, graph, "original", "by_conditioning", "erased", "by_latent"
    )
    assert float((outside(by_conditioning) - outside(original)).abs().max()) < 1e-5
    assert float((outside(by_latent) - outside(erased)).abs().max()) < 1e-5
    for out in (by_conditioning, by_latent):
        assert out.isfinite().all()
        assert differ(inside(out), inside(original))


def test_the_inpainting_decoder_sees_what_is_kept(server, files, picture):
    """From an empty latent, the conditioning is all that knows the picture."""
    graph = inpainting(files, picture) | kandinsky.canvas()
    graph["other"] = node("ImageInvert", image=["picture", 0])
    graph["inpaint_other"] = node(
        "InpaintModelConditioning", **graph["inpaint"]["inputs"] | {"pixels": ["other", 0]}
    )
    other = {"positive": ["inpaint_other", 0], "negative": ["inpaint_other", 1]}
    graph |= {"seen": kandinsky.sampler(**INPAINT), "seen_other": kandinsky.sampler(**other)}
    one, another = latents(server, graph, "seen", "seen_other")
    assert differ(inside(one), inside(another))


# --- LoRA, merging and storage --------------------------------------------------------------------


def lora_pairs(weights: dict[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """Layer -> (down, up), as strong as the weights that they change."""
    generator = torch.Generator().manual_seed(1)
    found = {}
    for layer in LAYERS:
        outputs, inputs = weights[f"{layer}.weight"].shape
        down = torch.randn(RANK, inputs, generator=generator) * (RANK * inputs) ** -0.5
        found[layer] = down, torch.randn(outputs, RANK, generator=generator)
    return found


def test_a_lora_of_any_naming_is_what_merging_its_weights_is(server, files):
    pairs, merged = lora_pairs(files.weights), dict(files.weights)
    for layer, (down, up) in pairs.items():
        merged[f"{layer}.weight"] = merged[f"{layer}.weight"] + STRENGTH * up @ down
    files.save("merged", merged)

    graph = kandinsky.text_to_image(files)
    # Unclipped, or the latents would only say where they reach the clip.
    graph["decoder"]["inputs"]["clip_x0"] = False
    (graph["merged"],) = kandinsky.decoder(files, "merged", clip_x0=False).values()
    graph["by_file"] = kandinsky.sampler(model=["merged", 0])
    runs = {}
    for number, (naming, names) in enumerate(NAMINGS.items()):
        tensors = {}
        for layer, pair in pairs.items():
            tensors |= dict(zip(names(layer), pair, strict=True))
        lora = {
            "lora_name": files.save(f"lora_{number}", tensors, "loras"),
            "strength_model": STRENGTH,
        }
        graph[f"lora_{number}"] = node("LoraLoaderModelOnly", model=["decoder", 0], **lora)
        runs[naming] = f"by_lora_{number}"
        graph[runs[naming]] = kandinsky.sampler(model=[f"lora_{number}", 0])
    lora["strength_model"] = 0.0
    graph["off"] = node("LoraLoaderModelOnly", model=["decoder", 0], **lora)
    graph["by_none"] = kandinsky.sampler(model=["off", 0], denoise=0.99995)

    found = latents(server, graph, "sample", "by_file", "by_none", *runs.values())
    plain, by_file, by_none, *by_lora = found
    assert torch.equal(by_none, plain)
    effect = relative(by_file, plain)
    print(f"effect of the LoRA: {effect:.2f} of the latents' largest")
    assert effect > 0.05
    for naming, out in zip(runs, by_lora, strict=True):
        print(f"{naming}: {relative(out, by_file):.1e} from the merged file")
        assert relative(out, by_file) < 1e-3


def test_core_merges_and_saves_the_model(server, files):
    """Model Merge at 0.25 is the file of the weights' mean, 0.25 of the first; Model Save writes
    it, under the hub's names, so that the loader takes it again."""
    other = {name: w.flip(0) for name, w in files.weights.items()}
    mean = {name: 0.25 * w + 0.75 * other[name] for name, w in files.weights.items()}
    files.save("other", other)
    files.save("mean", mean)
    graph = kandinsky.text_to_image(files)
    for name in ("other", "mean"):
        (graph[name],) = kandinsky.decoder(files, name).values()
    graph["merge"] = node(
        "ModelMergeSimple", model1=["decoder", 0], model2=["other", 0], ratio=0.25
    )
    graph["by_merging"] = kandinsky.sampler(model=["merge", 0])
    graph["by_file"] = kandinsky.sampler(model=["mean", 0])
    graph["saved"] = node("ModelSave", model=["merge", 0], filename_prefix="k22/merged")
    plain, by_merging, by_file = latents(server, graph, "sample", "by_merging", "by_file")
    assert relative(by_merging, by_file) < 1e-3
    assert differ(by_merging, plain)
    (written,) = (server.output_dir / "k22").glob("merged*.safetensors")
    saved = load(written.read_bytes())
    assert saved.keys() == mean.keys()
    for name, weight in saved.items():
        assert (weight.float() - mean[name]).abs().max() < 1e-5
    files.save("saved", saved)
    (graph["again"],) = kandinsky.decoder(files, "saved").values()
    graph["by_saving"] = kandinsky.sampler(model=["again", 0])
    by_saving, by_merging = latents(server, graph, "by_saving", "by_merging")
    assert relative(by_saving, by_merging) < 1e-3


STORED = {
    "fp8_e4m3fn": torch.float8_e4m3fn,
    "fp8_e4m3fn_fast": torch.float8_e4m3fn,
    "fp8_e5m2": torch.float8_e5m2,
}


def test_smaller_weights_are_close(server, files):
    """In one step from noise alone what differs is one prediction, guided.

    That the pack computes with just these rounded weights, and that a model which is kept off a GPU
    in parts gives the same image, is tested in ComfyUI's process (test_kandinsky22_decoder.py): a
    server without a GPU never splits a model, whatever options it is started with.
    """
    files.save("half", {name: w.half() for name, w in files.weights.items()})
    graph = kandinsky.text_to_image(files, steps=1, cfg=1.0)
    graph["decoder"]["inputs"]["clip_x0"] = False
    loaders = {name: {"weight_dtype": name} for name in STORED}
    loaders["half"] = {"unet_name": files.choice("half")}
    for name, settings in loaders.items():
        (graph[f"load_{name}"],) = kandinsky.decoder(files, clip_x0=False, **settings).values()
        graph[name] = kandinsky.sampler(model=[f"load_{name}", 0], steps=1, cfg=1.0)
    plain, *others = latents(server, graph, "sample", *loaders)
    for name, out in zip(loaders, others, strict=True):
        difference = relative(out, plain)
        print(f"{name}: {difference:.1e} from float32")
        assert out.isfinite().all()
        assert 0 < difference < CLOSE[STORED.get(name, torch.float16)]


# --- The VAE --------------------------------------------------------------------------------------


def shown(server, graph: dict, *names: str) -> list[Tensor]:
    """Decoded pictures (h, w, 3) in 0..255, as Preview Image shows them."""
    views = {f"view_{name}": node("PreviewImage", images=[name, 0]) for name in names}
    outputs = server.run(graph | views, timeout=300)["outputs"]
    found = []
    for view in views:
        (file,) = outputs[view]["images"]
        image = Image.open(io.BytesIO(server.view(**file)))
        found.append(torch.tensor(list(image.tobytes())).view(image.height, image.width, 3).float())
    return found


def test_decoding_whole_and_in_tiles(server, files, encoded):
    graph = dict(encoded)
    given = {"samples": ["latent", 0], "vae": ["decoder", 1]}
    graph["whole"] = node("VAEDecode", **given)
    tiles = {"overlap": 32, "temporal_size": 64, "temporal_overlap": 8}
    for size in (512, 64):
        graph[f"tiles_{size}"] = node("VAEDecodeTiled", **given, tile_size=size, **tiles)
    whole, one, many = shown(server, graph, "whole", "tiles_512", "tiles_64")
    assert whole.shape == (64, 96, 3)
    assert whole.std() > 10
    assert (one - whole).abs().max() <= 1  # a single tile, but its rounding
    # Tiles see less around them, but it is the same picture.
    difference = float((many - whole).abs().mean())
    print(f"tiles of 64 against the whole: {difference:.1f} of 255 on average")
    assert many.shape == whole.shape
    assert 0 < difference < float(whole.std())


# --- A frame loop, moved by a real clip -----------------------------------------------------------

FRAMES = 4


@pytest.fixture(scope="module")
def loop(server, files, sample_clip) -> dict:
    """A clip's drift, in the embedding's own space, rotates the prior's embedding: ["walk", 0]."""
    graph = prompts.rotation(server.upload(sample_clip), FRAMES)
    graph |= kandinsky.decoder(files) | kandinsky.embeddings(files) | kandinsky.canvas(FRAMES)
    graph["walk"] = node(
        "ClipDriftRotateConditioning",
        conditioning=["prior", 0],
        rotation=["rotation", 0],
        method="rotate",
        strength=1.0,
        preserve_norm=True,
        rotate_pooled=True,
    )
    return graph


@pytest.fixture(scope="module")
def batch(server, loop) -> Tensor:
    return latent(server, loop | {"sample": kandinsky.sampler(positive=["walk", 0], cfg=2.0)})


def listed(loop: dict, start: int = 0, count: int = 0) -> dict:
    frames = {"conditioning": ["walk", 0], "latent": ["canvas", 0], "start": start, "count": count}
    sampling = kandinsky.sampler(positive=["frames", 0], latent_image=["frames", 1], cfg=2.0)
    return loop | {"frames": node("ClipDriftFrames", **frames), "sample": sampling}


def test_the_clip_moves_the_frames(server, loop, batch):
    """Also where all start from the same noise."""
    assert batch.shape == (FRAMES, 4, 8, 12)
    assert batch.isfinite().all()
    graph = loop | kandinsky.canvas()
    frames = latent(server, listed(graph))
    assert frames.shape == batch.shape
    changes = (frames[1:] - frames[:-1]).abs().amax(dim=(1, 2, 3))
    print(f"largest change from frame to frame, same noise: {changes.tolist()}")
    assert changes.min() > 100 * SAME


def test_list_and_chunks_give_the_frames_of_the_batch(server, loop, batch):
    whole = latent(server, listed(loop))
    chunks = torch.cat([latent(server, listed(loop, *cut)) for cut in ((0, 1), (1, 2), (3, 9))])
    differences = [float((frames - batch).abs().max()) for frames in (whole, chunks)]
    print(f"list and chunks against batch: {differences}")
    assert max(differences) < SAME


def test_the_frame_loop_gives_the_frames_of_the_batch(server, loop, batch):
    given = {"conditioning": ["walk", 0], "latent": ["canvas", 0], "feedback": 0.0}
    body = kandinsky.sampler(positive=["start", 1], latent_image=["start", 2], cfg=2.0)
    graph = loop | {"start": node("ClipDriftLoopStart", **given), "body": body}
    graph["sample"] = node("ClipDriftLoopEnd", loop=["start", 0], latent=["body", 0])
    difference = float((latent(server, graph) - batch).abs().max())
    print(f"frame loop against batch: {difference:.1e}")
    assert difference < SAME


# --- Bad input ------------------------------------------------------------------------------------


def refusal(server, graph: dict, node_type: str) -> str:
    """The one sentence of the node that refuses; the server answers afterwards."""
    with pytest.raises(NodeError) as caught:
        server.run(graph, timeout=300)
    assert caught.value.node_type == node_type, caught.value
    assert server.object_info()
    message = caught.value.message
    print(f"{node_type}: {message}")
    assert message.endswith(".")
    assert ". " not in message.replace("2.2", "")
    assert "\n" not in message
    return message


@pytest.fixture(scope="module")
def wrong(files, models_dir) -> dict[str, str]:
    """What a file is -> its name. The checkpoint of 2 GB is the one that others load."""
    unet = UNet2DConditionModel(
        block_out_channels=(32, 64), layers_per_block=1, cross_attention_dim=32, norm_num_groups=8,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), attention_head_dim=8,
    )  # fmt: skip
    vaes = {
        name: AutoencoderKL(
            block_out_channels=(32,), latent_channels=channels, norm_num_groups=8
        ).state_dict()
        for name, channels in (("sd_vae", 4), ("flux_vae", 16))
    }
    whole = {DECODER: files.path(DECODER), PRIOR: files.path(PRIOR), MOVQ: files.path(MOVQ, "vae")}
    for kind in ("diffusion_models", "vae"):
        files.save("sd_unet", unet.state_dict(), kind)
        for name, tensors in vaes.items():
            files.save(name, tensors, kind)
        checkpoint = files.path("checkpoint", kind)
        checkpoint.symlink_to(models_dir / "checkpoints" / prompts.CHECKPOINT)
        for name, path in whole.items():
            content = path.read_bytes()
            files.path(f"cut_{name}", kind).write_bytes(content[: len(content) // 2])
            if not files.path(name, kind).exists():
                files.path(name, kind).write_bytes(content)
        torch.save({"weight": torch.zeros(9)}, files.path("pickle.safetensors", kind))


REFUSED = [
    # the input, the file in it, what was found, what is needed
    ("unet_name", "sd_unet", "an SD UNet", "a Kandinsky 2.2 decoder"),
    ("unet_name", "checkpoint", "an SD checkpoint", "a Kandinsky 2.2 decoder"),
    ("unet_name", PRIOR, "a Kandinsky 2.2 prior", "a Kandinsky 2.2 decoder"),
    ("unet_name", f"cut_{DECODER}", "is cut short", "download it again"),
    ("unet_name", "pickle", "is a pickle", ".safetensors"),
    ("movq_name", "sd_vae", "an SD VAE", "MoVQ"),
    ("movq_name", "flux_vae", "a VAE of 16 latent channels", "MoVQ"),
    ("movq_name", "checkpoint", "an SD checkpoint", "MoVQ"),
    ("movq_name", DECODER, "a Kandinsky 2.2 decoder", "MoVQ"),
    ("movq_name", f"cut_{MOVQ}", "is cut short", "download it again"),
    ("movq_name", "pickle", "is a pickle", ".safetensors"),
    ("prior_name", DECODER, "a Kandinsky 2.2 decoder", "a Kandinsky 2.2 prior"),
    ("prior_name", "sd_unet", "an SD UNet", "a Kandinsky 2.2 prior"),
    ("prior_name", "checkpoint", "an SD checkpoint", "a Kandinsky 2.2 prior"),
    ("prior_name", f"cut_{PRIOR}", "is cut short", "download it again"),
    ("prior_name", "pickle", "is a pickle", ".safetensors"),
]


def loading(files: Files, input_name: str, name: str) -> tuple[dict, str]:
    """A prompt that loads a file, and the loader's id."""
    if input_name == "prior_name":
        graph = kandinsky.embeddings(files)
        graph["prior_file"]["inputs"]["prior_name"] = files.choice(name)
        return graph | {"shown": node("PreviewAny", source=["prior", 0])}, "Kandinsky22LoadPrior"
    kind = "vae" if input_name == "movq_name" else "diffusion_models"
    graph = kandinsky.text_to_image(files)
    graph["decoder"]["inputs"][input_name] = files.choice(name, kind)
    return graph | prompts.saved_latents(["sample", 0]), "Kandinsky22LoadDecoder"


@pytest.mark.usefixtures("wrong")
def test_wrong_files_are_told_before_anything_large_is_allocated(server, files):
    latent(server, kandinsky.text_to_image(files))  # what right files take is taken by now
    server.forget_peak_memory()
    before = server.peak_memory()
    for input_name, name, found, needed in REFUSED:
        message = refusal(server, *loading(files, input_name, name))
        assert found in message
        assert needed in message
    rise = server.peak_memory() - before
    print(f"memory rose by {rise / 2**20:.0f} MiB at most; the checkpoint has 2,000")
    assert rise < 100 * 2**20
    assert latent(server, kandinsky.text_to_image(files)).isfinite().all()


def test_a_text_encoder_without_big_g(server, files):
    graph = kandinsky.embeddings(files)
    graph["checkpoint"] = node("CheckpointLoaderSimple", ckpt_name=prompts.CHECKPOINT)
    graph["prior"]["inputs"]["clip"] = ["checkpoint", 1]
    graph["shown"] = node("PreviewAny", source=["prior", 0])
    message = refusal(server, graph, "Kandinsky22Encode")
    assert "clip_l" in message
    assert "bigG" in message
    assert "load Kandinsky 2.2's own text_encoder" in message


def test_a_plain_text_for_the_decoder(server, files):
    graph = kandinsky.text_to_image(files, positive=["text", 0])
    graph["checkpoint"] = node("CheckpointLoaderSimple", ckpt_name=prompts.CHECKPOINT)
    graph["text"] = node("CLIPTextEncode", clip=["checkpoint", 1], text=prompts.TEXT)
    graph |= prompts.saved_latents(["sample", 0])
    message = refusal(server, graph, "KSampler")
    assert "positive conditioning holds 77 tokens of width 768" in message
    assert "Kandinsky 2.2 Prior" in message


def test_embeddings_of_another_width(server, files, picture):
    """For the prior, of pictures; for the decoder, of a prior that belongs to another one."""
    kandinsky.small_unet(files.path("wide"))
    graph = kandinsky.text_to_image(files)
    graph["decoder"]["inputs"]["unet_name"] = files.choice("wide")
    graph |= prompts.saved_latents(["sample", 0])
    message = refusal(server, graph, "KSampler")
    assert "1 token of width 768" in message
    assert "one image embedding of width 1280" in message

    kandinsky.small_prior(files.path("wide_prior"), text_width=64, pooled_width=768)
    graph = kandinsky.embeddings(files) | picture
    graph["prior_file"]["inputs"]["prior_name"] = files.choice("wide_prior")
    graph["vision"] = node("CLIPVisionLoader", clip_name="random_vit_l.safetensors")
    graph["seen"] = node(
        "CLIPVisionEncode", clip_vision=["vision", 0], image=["picture", 0], crop="center"
    )
    graph["prior"]["inputs"] |= {"image": ["seen", 0], "image_weight": 0.5}
    graph["shown"] = node("PreviewAny", source=["prior", 0])
    message = refusal(server, graph, "Kandinsky22Encode")
    assert "image embeddings of width 768" in message
    assert "1280" in message
