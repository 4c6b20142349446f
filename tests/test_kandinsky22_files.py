"""Weight files of Kandinsky 2.2: what headers tell, and what every wrong file is called."""

from __future__ import annotations

import contextlib
import json
import pickle
import struct
import tracemalloc
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, PriorTransformer, UNet2DConditionModel, VQModel
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pack.clip_drift.errors import DriftError
from pack.clip_drift.weight_files import read_header
from pack.kandinsky22.files import NEEDED, config_beside, require_kind, require_tensors
from pack.workshop.rig.kandinsky_weights import small_movq
from pack.workshop.rig.random_tensors import sd15_shapes, vit_l_shapes
from safetensors.torch import save_file

BYTES = {"F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1}


def write(path: Path, shapes: dict[str, tuple[int, ...]], dtype: str = "F32") -> Path:
    """A safetensors file of these tensors, whole in its length but with a hole for numbers."""
    header, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + torch.Size(shape).numel() * BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    return path


def shapes_of(model: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def layout(prefix: str = "") -> dict[str, tuple[int, ...]]:
    """An SD 1.5 checkpoint's tensors below a prefix, or all of them."""
    every = sd15_shapes().items()
    return {name.removeprefix(prefix): shape for name, shape in every if name.startswith(prefix)}


def unet(**options) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return shapes_of(UNet2DConditionModel(**options))


def kandinsky_unet(**options) -> dict[str, tuple[int, ...]]:
    """The hub's UNet, with two of its resolutions."""
    official = {
        "out_channels": 8,
        "block_out_channels": (384, 768),
        "down_block_types": ("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
        "up_block_types": ("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        "attention_head_dim": 64,
        "cross_attention_dim": 768,
        "encoder_hid_dim": 1280,
        "encoder_hid_dim_type": "image_proj",
        "addition_embed_type": "image",
        "resnet_time_scale_shift": "scale_shift",
    }
    return unet(**{**official, **options})


def sdxl() -> dict[str, tuple[int, ...]]:
    return unet(
        block_out_channels=(320, 640),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=10,
        cross_attention_dim=2048,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
    )


def prior() -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return shapes_of(PriorTransformer(embedding_dim=1280, num_layers=2))


def movq() -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return shapes_of(VQModel(block_out_channels=(128,), norm_type="spatial", latent_channels=4))


def vae(channels: int) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return shapes_of(AutoencoderKL(latent_channels=channels, block_out_channels=(32,)))


TEXT = "cond_stage_model.transformer."
FILES = {
    "SD UNet as ComfyUI keeps it": (lambda: layout("model.diffusion_model."), "an SD UNet"),
    "SD UNet of the hub": (unet, "an SD UNet"),
    "SD checkpoint": (layout, "an SD checkpoint"),
    "SDXL UNet": (sdxl, "an SDXL UNet"),
    "decoder": (kandinsky_unet, "a Kandinsky 2.2 decoder"),
    "inpainting decoder": (lambda: kandinsky_unet(in_channels=9), "a Kandinsky 2.2 decoder"),
    "depth decoder": (
        lambda: kandinsky_unet(in_channels=8, addition_embed_type="image_hint"),
        "a Kandinsky 2.2 decoder with depth control",
    ),
    "2.1 decoder": (
        lambda: kandinsky_unet(
            encoder_hid_dim_type="text_image_proj", addition_embed_type="text_image"
        ),
        "a Kandinsky 2.1 decoder",
    ),
    "prior": (prior, "a Kandinsky 2.2 prior"),
    "movq": (movq, "Kandinsky 2.2's MoVQ"),
    "SD VAE as ComfyUI keeps it": (lambda: layout("first_stage_model."), "an SD VAE"),
    "SD VAE of the hub": (lambda: vae(4), "an SD VAE"),
    "Flux's VAE": (lambda: vae(16), "a VAE of 16 latent channels"),
    "text encoder": (lambda: layout(TEXT), "a text encoder"),
    "vision encoder": (vit_l_shapes, "a CLIP vision encoder"),
    "LoRA": (
        lambda: {
            "lora_unet_mid_block_attentions_0_to_q.lora_down.weight": (4, 1536),
            "lora_unet_mid_block_attentions_0_to_q.lora_up.weight": (1536, 4),
        },
        "a LoRA",
    ),
    "something": (
        lambda: {"weights": (3,), "more": ()},
        "something unknown with 2 tensors such as 'more'",
    ),
    "nothing": (dict, "empty"),
}
OURS = {"decoder": "decoder", "inpainting decoder": "decoder", "prior": "prior", "movq": "movq"}


def is_one_sentence(message: str) -> bool:
    return message.endswith(".") and ". " not in message and "\n" not in message


# --- kinds ------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", FILES)
def test_a_file_is_called_what_it_is(file, tmp_path):
    shapes, called = FILES[file]
    header = read_header(write(tmp_path / "chosen.safetensors", shapes()))
    for kind, needed in NEEDED.items():
        if OURS.get(file) == kind:
            require_kind(header, kind)
            continue
        with pytest.raises(DriftError) as error:
            require_kind(header, kind)
        message = str(error.value)
        assert message.startswith(f"chosen.safetensors is {called}, where ")
        assert needed in message
        assert is_one_sentence(message)


def test_in_a_hub_folder_the_file_is_named_with_its_folders(tmp_path):
    path = tmp_path / "kandinsky-2-2-prior" / "prior" / "diffusion_pytorch_model.safetensors"
    header = read_header(write(path, prior()))
    with pytest.raises(DriftError, match=r"kandinsky-2-2-prior/prior/diffusion_pytorch_model\."):
        require_kind(header, "decoder")


def test_a_tensor_that_is_missing_or_of_another_shape_is_named(tmp_path):
    header = read_header(write(tmp_path / "a.safetensors", {"x": (2, 3), "more": (1,)}))
    require_tensors(header, {"x": torch.Size([2, 3])})
    with pytest.raises(DriftError, match=r"lacks the tensor y, where the model needs \[4\]"):
        require_tensors(header, {"x": (2, 3), "y": (4,)})
    with pytest.raises(DriftError, match=r"holds \[2, 3\] as x, where the model needs \[3, 2\]"):
        require_tensors(header, {"x": (3, 2)})


# --- headers ----------------------------------------------------------------------------------


def test_a_header_tells_shapes_types_and_counts(tmp_path):
    path = tmp_path / "mixed.safetensors"
    tensors = {
        "a": torch.zeros(2, 3),
        "b": torch.zeros(5, dtype=torch.float16),
        "c": torch.zeros((), dtype=torch.bfloat16),
        "d": torch.zeros(7, 1, dtype=torch.float8_e4m3fn),
        "e": torch.zeros(4, dtype=torch.int64),
        "f": torch.zeros(0, 9),
        "g": torch.zeros(3, dtype=torch.bool),
    }
    save_file(tensors, path, {"format": "pt"})
    header = read_header(path)
    assert header.shapes == {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    assert header.dtypes["d"] == "F8_E4M3"
    assert header.parameters == 6 + 5 + 1 + 7 + 4 + 0 + 3
    assert [*header.dtypes.values()] == ["F32", "F16", "BF16", "F8_E4M3", "I64", "F32", "BOOL"]


def test_of_a_large_file_only_the_header_is_read(tmp_path):
    shapes = {f"layer.{index}.weight": (1024, 1024, 16) for index in range(64)}
    path = write(tmp_path / "four_gigabytes.safetensors", shapes)
    assert path.stat().st_size > 4 * 2**30
    tracemalloc.start()
    header = read_header(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert header.parameters == 64 * 2**24
    assert peak < 2**20


@pytest.mark.parametrize("length", [0x0280, 0x0480])
def test_a_header_whose_length_looks_like_a_pickles_beginning_is_read(length, tmp_path):
    header = {"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    text = json.dumps(header).encode().ljust(length)
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", length) + text + bytes(4))
    assert path.read_bytes()[:2] in (b"\x80\x02", b"\x80\x04")
    assert read_header(path).shapes == {"x": (1,)}


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 9, 300, -1, -4000])
def test_a_file_that_is_cut_short_is_refused(keep, tmp_path):
    path = tmp_path / "part.safetensors"
    small_movq(path, channels=(32,), attends=(True,), codes=8)
    whole = path.read_bytes()
    path.write_bytes(whole[:keep])
    with pytest.raises(DriftError, match=r"part\.safetensors is") as error:
        read_header(path)
    assert is_one_sentence(str(error.value))
    assert "download" in str(error.value)
    if not 0 <= keep <= 8:  # shorter ones do not even begin like safetensors
        assert f"is cut short or damaged, its {len(whole[:keep]):,} bytes" in str(error.value)


@pytest.mark.parametrize("name", ["model.safetensors", "model.bin", "model.ckpt", "model.pt"])
@pytest.mark.parametrize("legacy", [False, True, None])
def test_a_pickle_is_refused_by_content_and_by_ending(name, legacy, tmp_path):
    path = tmp_path / name
    if legacy is None:
        path.write_bytes(pickle.dumps({"x": "y" * 300}, protocol=4))
    else:
        torch.save({"x": torch.zeros(3)}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(DriftError, match=r"use the same weights as a \.safetensors file") as error:
        read_header(path)
    assert is_one_sentence(str(error.value))
    if path.suffix == ".safetensors":
        assert "is a pickle" in str(error.value)


@pytest.mark.parametrize(
    "content",
    [
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 271331196\n",
        b"<!DOCTYPE html><html>log in</html>",
        b"{" + b" " * 40,
        struct.pack("<Q", 2**62) + b"{}",
        struct.pack("<Q", 5) + b"{nope",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 10) + b'{"a": [1]}',
        struct.pack("<Q", 200_000) + b"{" + b'"a":[' * 39_999 + b"    ",
    ],
)
def test_anything_else_is_no_safetensors_file(content, tmp_path):
    path = tmp_path / "renamed.safetensors"
    path.write_bytes(content)
    with pytest.raises(DriftError, match=r"renamed\.safetensors is not a safetensors") as error:
        read_header(path)
    assert is_one_sentence(str(error.value))


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]},
        {"dtype": "F32", "shape": [1], "data_offsets": [0]},
        {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": "1", "data_offsets": [0, 4]},
        {"dtype": 32, "shape": [1], "data_offsets": [0, 4]},
        {"dtype": "FISH", "shape": [1], "data_offsets": [0, 4]},
        {"shape": [1], "data_offsets": [0, 4]},
        None,
    ],
)
def test_a_header_that_contradicts_itself_is_refused(entry, tmp_path):
    text = json.dumps({"x": entry}).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(64))
    with pytest.raises(DriftError, match="not a safetensors file"):
        read_header(path)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_brings_anything_but_a_plain_error(data, tmp_path):
    path = tmp_path / "a.safetensors"
    good = write(path, {"a": (2, 3), "b": (4,)}).read_bytes()
    damaged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged[: data.draw(st.integers(0, len(good)))])
    with contextlib.suppress(DriftError):
        header = read_header(path)
        assert header.shapes.keys() == header.dtypes.keys()


def test_a_file_that_is_not_there_is_named(tmp_path):
    for path in (tmp_path / "gone.safetensors", tmp_path):
        with pytest.raises(DriftError, match=f"no file {path.name}: choose another"):
            read_header(path)


# --- the .json beside a file ------------------------------------------------------------------


def test_the_json_is_looked_for_where_files_of_that_name_have_it(tmp_path):
    hub = tmp_path / "movq" / "diffusion_pytorch_model.fp16.safetensors"
    own = tmp_path / "my_movq.safetensors"
    hub.parent.mkdir()
    assert config_beside(hub) == config_beside(own) == {}
    (hub.parent / "config.json").write_text('{"norm_num_groups": 8}')
    (tmp_path / "config.json").write_text('{"norm_num_groups": 4}')
    (tmp_path / "my_movq.json").write_text('{"norm_num_groups": 16}')
    assert config_beside(hub) == {"norm_num_groups": 8}
    assert config_beside(own) == {"norm_num_groups": 16}


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff\xfe\x00", b"", b"[" * 100_000])
def test_a_damaged_json_is_an_error(content, tmp_path):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(DriftError, match=r"a\.json beside a\.safetensors") as error:
        config_beside(tmp_path / "a.safetensors")
    assert is_one_sentence(str(error.value))


# --- the combos -------------------------------------------------------------------------------


@pytest.fixture
def combos(pack, tmp_path, monkeypatch):
    """The module under test and two models folders of its own."""
    import folder_paths

    folders = [tmp_path / "models", tmp_path / "elsewhere"]
    for kind in ("diffusion_models", "vae", "diffusers"):
        paths = [str(folder / kind) for folder in folders]
        endings = folder_paths.folder_names_and_paths[kind][1]
        monkeypatch.setitem(folder_paths.folder_names_and_paths, kind, (paths, endings))
        for path in paths:
            Path(path).mkdir(parents=True)
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    return pack.kandinsky22.nodes.files, *folders


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


HUB = "diffusion_pytorch_model.safetensors"
HUB_FP16 = "diffusion_pytorch_model.fp16.safetensors"


def test_combos_offer_safetensors_and_hub_folders_of_every_models_folder(combos):
    files, models, elsewhere = combos
    decoder = models / "diffusers/kandinsky-2-2-decoder"
    touch(
        models / "vae/movq.safetensors",
        models / "vae/movq.ckpt",
        elsewhere / "vae/sub/other.safetensors",
        models / "diffusion_models/unet.safetensors",
        decoder / "unet" / HUB,
        decoder / "movq" / HUB,
        decoder / "movq" / HUB_FP16,
        models / "diffusers/half/movq" / HUB_FP16,
        models / "diffusers/pickled/movq/diffusion_pytorch_model.bin",
        elsewhere / "diffusers/kandinsky-community/kandinsky-2-2-prior/prior" / HUB,
        elsewhere / "diffusers/kandinsky-2-2-decoder/movq" / HUB,
    )
    own = [Path("sub/other.safetensors")]
    assert files.choices("movq") == [
        "movq.safetensors",
        *map(str, own),
        "diffusers/half",
        "diffusers/kandinsky-2-2-decoder",
    ]
    assert files.choices("unet") == ["unet.safetensors", "diffusers/kandinsky-2-2-decoder"]
    assert files.choices("prior") == [
        "unet.safetensors",
        "diffusers/kandinsky-community/kandinsky-2-2-prior",
    ]
    where = {choice: files.resolve(choice, "movq", "movq_name") for choice in files.choices("movq")}
    assert where["movq.safetensors"] == models / "vae/movq.safetensors"
    assert where["diffusers/kandinsky-2-2-decoder"] == decoder / "movq" / HUB  # the first folder's
    assert where["diffusers/half"] == models / "diffusers/half/movq" / HUB_FP16
    assert (
        files.resolve("diffusers/kandinsky-2-2-decoder", "unet", "unet_name").parent.name == "unet"
    )


def test_a_choice_that_is_gone_is_named(combos):
    files, *_ = combos
    for choice in ("gone.safetensors", "diffusers/gone", "../secret.safetensors"):
        with pytest.raises(ValueError, match=r"movq_name .* is in neither models/vae nor") as error:
            files.resolve(choice, "movq", "movq_name")
        assert is_one_sentence(str(error.value).replace("../", ""))


def test_the_fingerprint_changes_with_the_file(pack, tmp_path):
    from pack.nodes.core.folders import fingerprint

    path = tmp_path / "a.safetensors"
    path.write_bytes(b"1")
    before = fingerprint(path)
    assert fingerprint(path) == before
    path.write_bytes(b"12")
    assert fingerprint(path) != before


@pytest.mark.parametrize("file", [name for name in FILES if name != "movq"])
def test_the_movq_loader_refuses_every_other_file_unread(file, pack, tmp_path, monkeypatch):
    import comfy.utils

    path = write(tmp_path / "wrong.safetensors", FILES[file][0]())
    monkeypatch.setattr(comfy.utils, "load_torch_file", lambda *_: pytest.fail("read the weights"))
    vae = pack.kandinsky22.nodes.vae
    with pytest.raises(ValueError, match=r"movq_name: wrong\.safetensors is ") as error:
        vae.load_movq(path)
    assert type(error.value).__name__ == "DriftError"
    assert is_one_sentence(str(error.value))
