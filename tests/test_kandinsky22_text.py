"""Texts for the prior: bigG in core's CLIP against transformers, and OpenCLIP's text towers."""

import gzip
import json
import logging

import open_clip
import pytest
import torch
from pack.clip_drift.errors import DriftError
from pack.clip_drift.openclip import load_openclip_file
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer

TEXTS = ["", "a photo of a cat", "A tiny RED cube, on grass!", "snow (2020) and a [cat]"]
LONG = "one two three four five six seven eight nine ten " * 12

NARROW = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4}


# --- core's CLIP ---


def big_g(seed=0, **sizes):
    """bigG's text tower in transformers, of its full depth but narrow, unless sizes differ."""
    torch.manual_seed(seed)
    config = CLIPTextConfig(
        num_hidden_layers=32,
        vocab_size=49408,
        hidden_act="gelu",
        projection_dim=sizes.get("hidden_size", 1280),
        eos_token_id=49407,
        **sizes,
    )
    model = CLIPTextModelWithProjection(config).eval().requires_grad_(False)
    for name, weight in model.named_parameters():
        if weight.ndim == 1:  # a forgotten norm or bias is to show
            weight.add_(torch.randn_like(weight), alpha=0.1)
        elif "embedding" not in name:
            torch.nn.init.normal_(weight, std=weight.shape[1] ** -0.5)
        weight.copy_(weight.half())  # which is how core keeps text encoders, also on the CPU
    return model


@pytest.fixture(scope="module")
def reference():
    return big_g(**NARROW)


@pytest.fixture(scope="module")
def pack_text(pack):
    from pack.kandinsky22.nodes.text import text_states

    return text_states


def clip_l():
    config = CLIPTextConfig(projection_dim=64, **NARROW)
    return CLIPTextModelWithProjection(config).state_dict()


def core_clip(kind, reference):
    """The CLIP that core's loaders make of a text_encoder file of the hub's layout."""
    from comfy.sd import CLIPType, load_text_encoder_state_dicts

    dicts = [reference.state_dict()]
    if kind in ("sdxl", "sd3"):
        dicts.insert(0, clip_l())
    types = {"cascade": CLIPType.STABLE_CASCADE, "sd3": CLIPType.SD3}
    kind = types.get(kind, CLIPType.STABLE_DIFFUSION)
    return load_text_encoder_state_dicts(
        dicts, clip_type=kind, model_options={"model_config": {**NARROW}}
    )


def official_states(reference, text):
    """As diffusers' prior pipeline asks transformers: states, pooled, mask."""
    import comfy.sd1_clip

    folder = comfy.sd1_clip.__file__.replace("sd1_clip.py", "sd1_tokenizer")
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    inputs = tokenizer(
        text, padding="max_length", max_length=77, truncation=True, return_tensors="pt"
    )
    with torch.no_grad():
        output = reference(inputs.input_ids)
    return output.last_hidden_state, output.text_embeds, inputs.attention_mask.bool()


def relative(ours, theirs):
    return float((ours - theirs).abs().max() / theirs.abs().max())


KINDS = ["alone", "cascade", "sdxl", "sd3"]


@pytest.mark.parametrize("kind", KINDS)
def test_big_g_of_any_clip_is_transformers(kind, reference, pack_text):
    clip = core_clip(kind, reference)
    for text in [*TEXTS, LONG]:
        found = pack_text(clip, text)
        states, pooled, mask = official_states(reference, text)
        assert torch.equal(found.mask, mask)
        assert relative(found.states[mask], states[mask]) < 1e-5, text
        assert relative(found.pooled, pooled) < 1e-5, text


def test_padding_is_as_transformers_pads_where_it_can_be_seen(reference, pack_text):
    """The prior is told not to look there, so core's own padding does for it."""
    found = pack_text(core_clip("alone", reference), TEXTS[1])
    assert found.states.shape == (1, 77, 64)
    assert found.states.dtype == found.pooled.dtype == torch.float32
    assert found.mask.dtype == torch.bool
    assert found.mask.sum() == 7  # start, five words, end


@pytest.mark.parametrize("kind", KINDS)
def test_the_clip_is_as_it_was(kind, reference, pack_text):
    clip = core_clip(kind, reference)

    def as_others_see_it():
        return clip.encode_from_tokens(clip.tokenize(TEXTS[1]), return_pooled=True)

    before = as_others_see_it()
    options = [vars(clip).copy(), clip.cond_stage_model.clip_g.layer]
    pack_text(clip, TEXTS[2])
    assert [vars(clip), clip.cond_stage_model.clip_g.layer] == options
    assert all(torch.equal(a, b) for a, b in zip(before, as_others_see_it(), strict=True))


def test_the_layer_that_a_clip_is_set_to_does_not_matter(reference, pack_text):
    clip = core_clip("sdxl", reference)
    wanted = pack_text(clip, TEXTS[1])
    skipping = clip.clone()
    skipping.clip_layer(-3)
    assert torch.equal(pack_text(skipping, TEXTS[1]).states, wanted.states)


def test_a_lora_on_the_clip_counts(reference, pack_text):
    clip = core_clip("alone", reference)
    patched = clip.clone()
    key = "clip_g.transformer.text_model.encoder.layers.31.mlp.fc2.weight"
    patched.add_patches({key: (torch.randn(64, 128),)}, 1.0)
    assert relative(pack_text(patched, TEXTS[1]).states, pack_text(clip, TEXTS[1]).states) > 0.01


def test_a_text_beyond_the_window_is_cut_with_a_warning(reference, pack_text, caplog):
    clip = core_clip("alone", reference)
    with caplog.at_level(logging.WARNING):
        pack_text(clip, TEXTS[1])
        assert "longer" not in caplog.text
        assert pack_text(clip, LONG).mask.all()
    assert "longer than the prior's window of 77 tokens" in caplog.text


def test_a_clip_without_big_g_says_what_it_has(pack, pack_text):
    from comfy.sd import load_text_encoder_state_dicts

    options = {"model_config": {**NARROW}}
    clip = load_text_encoder_state_dicts([clip_l()], model_options=options)
    with pytest.raises(DriftError, match=r"clip holds clip_l and no bigG.*SDXL"):
        pack_text(clip, "a cat")


# --- OpenCLIP ---


def open_clip_config(**text):
    vision = {"image_size": 32, "patch_size": 16, "width": 32, "head_width": 16, "layers": 1}
    text = {"context_length": 24, "width": 48, "heads": 3, "layers": 2, **text}
    return {"model_cfg": {"embed_dim": 40, "vision_cfg": vision, "text_cfg": text}}


def save_open_clip(folder, config):
    """A model of random weights and its config, as a user has them."""
    torch.manual_seed(0)
    kinds = open_clip.CustomTextCLIP if config["model_cfg"].get("custom_text") else open_clip.CLIP
    sizes = {k: v for k, v in config["model_cfg"].items() if k != "custom_text"}
    model = kinds(**sizes).eval()
    for weight in model.parameters():
        if weight.ndim == 1:
            weight.data.add_(torch.randn_like(weight), alpha=0.1)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()},
              folder / "small.safetensors")  # fmt: skip
    (folder / "small.json").write_text(json.dumps(config))
    return model


@pytest.mark.parametrize("custom", [False, True])
def test_open_clips_states_are_those_that_it_pools(custom, tmp_path):
    config = open_clip_config()
    config["model_cfg"]["custom_text"] = custom
    model = save_open_clip(tmp_path, config)
    found = load_openclip_file(tmp_path / "small.safetensors").encode_text(TEXTS)
    tokens = open_clip.SimpleTokenizer(context_length=24)(TEXTS)
    with torch.no_grad():
        pooled = model.encode_text(tokens)
    assert found.states.shape == (4, 24, 48)
    assert relative(found.pooled, pooled) < 1e-6
    # The end token's state under the projection is the pooled vector, so these are the states
    # after the last norm; and the mask ends there.
    ends = found.mask.sum(1) - 1
    assert torch.equal(tokens[torch.arange(4), ends], torch.full((4,), 49407))
    projection = (model.text if custom else model).text_projection
    at_end = found.states[torch.arange(4), ends]
    assert relative(at_end @ projection.detach(), pooled) < 1e-5


def test_open_clips_states_are_transformers(tmp_path):
    """The same weights in transformers' layout, all tokens compared."""
    model = save_open_clip(tmp_path, open_clip_config())
    config = CLIPTextConfig(
        hidden_size=48, intermediate_size=192, num_attention_heads=3, num_hidden_layers=2,
        vocab_size=49408, max_position_embeddings=24, hidden_act="gelu", projection_dim=40,
        eos_token_id=49407,
    )  # fmt: skip
    theirs = CLIPTextModelWithProjection(config).eval()
    theirs.load_state_dict(in_transformers_words(model), strict=False)
    found = load_openclip_file(tmp_path / "small.safetensors").encode_text(TEXTS)
    tokens = open_clip.SimpleTokenizer(context_length=24)(TEXTS)
    with torch.no_grad():
        wanted = theirs(tokens)
    assert relative(found.states, wanted.last_hidden_state) < 1e-5
    assert relative(found.pooled, wanted.text_embeds) < 1e-5


def in_transformers_words(model):
    weights, prefix = {}, "text_model"
    weights[f"{prefix}.embeddings.token_embedding.weight"] = model.token_embedding.weight
    weights[f"{prefix}.embeddings.position_embedding.weight"] = model.positional_embedding
    for index, block in enumerate(model.transformer.resblocks):
        layer = f"{prefix}.encoder.layers.{index}"
        parts = {"layer_norm1": block.ln_1, "layer_norm2": block.ln_2,
                 "self_attn.out_proj": block.attn.out_proj,
                 "mlp.fc1": block.mlp.c_fc, "mlp.fc2": block.mlp.c_proj}  # fmt: skip
        for name, part in parts.items():
            weights[f"{layer}.{name}.weight"] = part.weight
            weights[f"{layer}.{name}.bias"] = part.bias
        for kind in ("weight", "bias"):
            three = getattr(block.attn, f"in_proj_{kind}").chunk(3)
            for name, part in zip("qkv", three, strict=True):
                weights[f"{layer}.self_attn.{name}_proj.{kind}"] = part
    weights[f"{prefix}.final_layer_norm.weight"] = model.ln_final.weight
    weights[f"{prefix}.final_layer_norm.bias"] = model.ln_final.bias
    weights["text_projection.weight"] = model.text_projection.T
    return {name: tensor.detach() for name, tensor in weights.items()}


MERGES = ["r e", "re d</w>", "c u", "cu b", "cub e</w>"]
OWN_VOCABULARY = 2 * 256 + len(MERGES) + 2  # bytes, bytes that end a word, merges, start and end


def test_a_vocabulary_of_its_own_beside_the_weights(tmp_path):
    with gzip.open(tmp_path / "words.txt.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(["#version: 0.2", *MERGES]))
    save_open_clip(
        tmp_path,
        open_clip_config(vocab_size=OWN_VOCABULARY, tokenizer_kwargs={"bpe_path": "words.txt.gz"}),
    )
    encoder = load_openclip_file(tmp_path / "small.safetensors")
    assert encoder.encode_text(["red cube"]).mask.sum() == 4  # start, two words, end
    assert encoder.encode_text(["red cubes"]).mask.sum() == 6  # its last word is cub, e and s


def test_a_tokenizer_of_the_hubs_kind_beside_the_weights(pack, tmp_path):
    import comfy.sd1_clip

    folder = comfy.sd1_clip.__file__.replace("sd1_clip.py", "sd1_tokenizer")
    CLIPTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "words")
    save_open_clip(tmp_path, open_clip_config(hf_tokenizer_name="words"))
    found = load_openclip_file(tmp_path / "small.safetensors").encode_text(TEXTS[1:2])
    (tmp_path / "small.json").write_text(json.dumps(open_clip_config()))
    wanted = load_openclip_file(tmp_path / "small.safetensors").encode_text(TEXTS[1:2])
    assert torch.equal(found.mask, wanted.mask)
    assert torch.equal(found.states[found.mask], wanted.states[wanted.mask])


@pytest.mark.parametrize(
    "asked",
    [{"hf_tokenizer_name": "nobody/nothing"}, {"tokenizer_kwargs": {"bpe_path": "none.gz"}}],
)
def test_a_tokenizer_that_is_not_here_is_never_fetched(asked, tmp_path, monkeypatch):
    import socket

    def refuse(*_):
        raise AssertionError("asked the internet")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    save_open_clip(tmp_path, open_clip_config(**asked))
    encoder = load_openclip_file(tmp_path / "small.safetensors")  # pictures do without it
    with pytest.raises(DriftError, match=r"small needs the tokenizer (nobody|none)"):
        encoder.encode_text(["a cat"])


def test_another_models_tokenizer_is_noticed(tmp_path):
    save_open_clip(tmp_path, open_clip_config(vocab_size=600))
    encoder = load_openclip_file(tmp_path / "small.safetensors")
    with pytest.raises(DriftError, match=r"knows 600 tokens.*49407.*text_cfg"):
        encoder.encode_text(["a cat"])


def test_open_clip_warns_of_a_text_beyond_its_window(tmp_path, caplog):
    save_open_clip(tmp_path, open_clip_config())
    encoder = load_openclip_file(tmp_path / "small.safetensors")
    exact = "cat " * 22  # with start and end just the window of 24
    with caplog.at_level(logging.WARNING):
        assert encoder.encode_text([exact]).mask.all()
        assert "longer" not in caplog.text
        assert encoder.encode_text([f"{exact} cat"]).mask.all()
    assert "longer than the window of 24 tokens" in caplog.text
