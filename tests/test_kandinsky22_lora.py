"""LoRA files of every naming, through ComfyUI's own loader, against merged weights."""

from __future__ import annotations

import logging

import pytest
import torch
from pack.workshop.rig.kandinsky_oracle import reference_noise, reference_of
from pack.workshop.rig.kandinsky_sampling import Decoder, embedding, randn, relative
from safetensors.torch import save_file
from torch import Tensor

STRENGTH = 0.8
RANK = 4
ATTENTIONS = ("down_blocks.1.attentions.0", "mid_block.attentions.0", "up_blocks.0.attentions.1")
PROJECTIONS = ("to_q", "to_k", "to_v", "to_out.0", "add_k_proj", "add_v_proj")
LAYERS = [f"{attention}.{name}" for attention in ATTENTIONS for name in PROJECTIONS]


def plain(prefix: str, down: str, up: str):
    """A naming that puts something before and after the layer's own name."""
    return lambda layer: (f"{prefix}{layer}.{down}.weight", f"{prefix}{layer}.{up}.weight")


def flat(layer: str) -> tuple[str, str]:
    name = f"lora_unet_{layer.replace('.', '_')}"
    return f"{name}.lora_down.weight", f"{name}.lora_up.weight"


def processor(prefix: str):
    """diffusers' attention processors: to_out without the number that the layer has."""

    def name(layer: str) -> tuple[str, str]:
        attention, projection = layer.removesuffix(".0").rsplit(".", 1)
        key = f"{prefix}{attention}.processor.{projection}_lora"
        return f"{key}.down.weight", f"{key}.up.weight"

    return name


NAMINGS = {
    "lora_unet_": flat,
    "diffusion_model.": plain("diffusion_model.", "lora_down", "lora_up"),
    "processors": processor("unet."),
    "processors without unet.": processor(""),
    "PEFT in diffusers": plain("unet.", "lora_A", "lora_B"),
    "PEFT": plain("base_model.model.", "lora_A", "lora_B"),
    "PEFT with its adapter's name": plain("unet.", "lora_A.default", "lora_B.default"),
    "bare": plain("", "lora_A", "lora_B"),
    "diffusers' linear layers": plain("unet.", "lora.down", "lora.up"),
}


@pytest.fixture(scope="module")
def decoder(pack, tmp_path_factory) -> Decoder:
    return Decoder(pack, tmp_path_factory.mktemp("lora"))


@pytest.fixture(scope="module")
def pairs(decoder) -> dict[str, tuple[Tensor, Tensor]]:
    """Layer -> (down, up), as strong as the weights that they change."""
    found = {}
    for seed, layer in enumerate(LAYERS):
        outputs, inputs = decoder.weights[f"{layer}.weight"].shape
        scale = (RANK * inputs) ** -0.5
        found[layer] = randn(seed, RANK, inputs) * scale, randn(100 + seed, outputs, RANK)
    return found


@pytest.fixture(scope="module")
def merged(decoder, pairs) -> dict[str, Tensor]:
    weights = dict(decoder.weights)
    for layer, (down, up) in pairs.items():
        weights[f"{layer}.weight"] = weights[f"{layer}.weight"] + STRENGTH * up @ down
    return weights


@pytest.fixture
def load(tmp_path, monkeypatch):
    """ComfyUI's own node, on a file of its loras folder."""
    import folder_paths

    import nodes

    endings = folder_paths.folder_names_and_paths["loras"][1]
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "loras", ([str(tmp_path)], endings))
    folder_paths.filename_list_cache.pop("loras", None)

    def run(model, tensors: dict[str, Tensor]):
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()},
                  tmp_path / "style.safetensors")  # fmt: skip
        loader = nodes.LoraLoaderModelOnly()
        return loader.load_lora_model_only(model, "style.safetensors", STRENGTH)[0]

    return run


def predict(model) -> Tensor:
    """The noise in one x; through the model with its patches applied."""
    import comfy.model_management

    comfy.model_management.load_models_gpu([model])
    x = randn(1, 1, 4, 16, 16)
    with torch.no_grad():
        denoised = model.model.apply_model(
            x, torch.tensor([1.0]), c_crossattn=embedding(2)[:, None]
        )
    return x - denoised


def expected(weights: dict[str, Tensor], model) -> Tensor:
    x = randn(1, 1, 4, 16, 16) / 2**0.5
    timestep = model.get_model_object("model_sampling").timestep(torch.tensor([1.0]))
    return reference_noise(reference_of(weights), x, timestep, embedding(2))


@pytest.mark.parametrize("naming", NAMINGS.values(), ids=NAMINGS.keys())
def test_a_lora_is_what_merging_its_weights_is(decoder, pairs, merged, load, caplog, naming):
    tensors = {}
    for layer, (down, up) in pairs.items():
        tensors |= dict(zip(naming(layer), (down, up), strict=True))
    model = decoder.model()
    with caplog.at_level(logging.WARNING):
        patched = load(model, tensors)
    assert not [line for line in caplog.messages if "not loaded" in line.lower()]
    assert set(patched.patches) == {f"diffusion_model.{layer}.weight" for layer in LAYERS}

    plain_noise, noise = expected(decoder.weights, model), expected(merged, model)
    assert relative(noise, plain_noise) > 0.05  # the effect is to be seen
    assert relative(predict(patched), noise) < 1e-4
    assert relative(predict(model), plain_noise) < 1e-4  # and it can be taken off again


def test_one_naming_is_as_good_as_another_when_offloaded_in_parts(
    decoder, pairs, merged, load, monkeypatch
):
    """Weights that stay off the GPU are patched as they are used. Without a GPU ComfyUI is told
    that a third fits."""
    import comfy.model_management

    def a_third(loaded, *_args, **_kwargs):
        return loaded.model.partially_load(loaded.device, loaded.model.model_size() // 3)

    monkeypatch.setattr(comfy.model_management.LoadedModel, "model_use_more_vram", a_third)
    naming = NAMINGS["processors"]
    tensors = {}
    for layer, (down, up) in pairs.items():
        tensors |= dict(zip(naming(layer), (down, up), strict=True))
    patched = load(decoder.model(), tensors)
    noise = predict(patched)
    assert patched.model.model_lowvram
    assert relative(noise, expected(merged, patched)) < 1e-4


def test_convolutions_and_the_time_embedding_take_one_too(decoder, load):
    """LoRA on whole models: PEFT and kohya also train what is no attention."""
    layers = ("conv_in", "down_blocks.2.resnets.0.conv1", "time_embedding.linear_1",
              "encoder_hid_proj.image_embeds", "add_embedding.image_proj")  # fmt: skip
    weights, tensors = dict(decoder.weights), {}
    for seed, layer in enumerate(layers):
        weight = weights[f"{layer}.weight"]
        down = randn(seed, RANK, *weight.shape[1:]) * (RANK * weight[0].numel()) ** -0.5
        up = randn(50 + seed, len(weight), RANK, *[1] * (weight.ndim - 2))
        tensors |= {f"unet.{layer}.lora_A.weight": down, f"unet.{layer}.lora_B.weight": up}
        change = (up.flatten(1) @ down.flatten(1)).view_as(weight)
        weights[f"{layer}.weight"] = weight + STRENGTH * change
    patched = load(decoder.model(), tensors)
    noise = expected(weights, patched)
    assert relative(noise, expected(decoder.weights, patched)) > 0.05
    assert relative(predict(patched), noise) < 1e-4


def test_keys_of_no_layer_are_warned_of(decoder, load, caplog):
    tensors = {
        "unet.no.such.layer.lora_A.weight": torch.zeros(4, 8),
        "unet.no.such.layer.lora_B.weight": torch.zeros(8, 4),
    }
    with caplog.at_level(logging.WARNING):
        patched = load(decoder.model(), tensors)
    assert not patched.patches
    assert any("lora key not loaded: unet.no.such.layer" in line for line in caplog.messages)


def test_core_is_taught_once_and_other_models_notice_nothing(pack):
    import comfy.lora
    import comfy.model_base
    import comfy.supported_models

    taught = comfy.lora.model_lora_keys_unet
    pack.kandinsky22.nodes.lora.teach_core()
    assert comfy.lora.model_lora_keys_unet is taught
    assert not hasattr(taught.__wrapped__, "asks_the_model")

    config = comfy.supported_models.SD15({"disable_unet_model_creation": True, "in_channels": 4})
    other = comfy.model_base.BaseModel(config)
    other.diffusion_model = torch.nn.Sequential(torch.nn.Linear(2, 2))
    found = taught(other, {})
    assert found == taught.__wrapped__(other, {})
    assert "lora_unet_0" in found
