"""A loaded CLIP's own towers, and moved prompts through its own encode."""

from types import SimpleNamespace

import pytest
import torch
from pack.clip_drift.errors import DriftError
from pack.tests.small_clips import WIDTHS, small_clip
from torch.nn import functional

TEXT = "a (red:1.3) star on the left of a dark room"


@pytest.fixture(scope="module")
def core(pack):
    """The pack's functions that need ComfyUI's modules."""
    from pack.nodes.core import caption_prompts, moved_prompt, prompt_frames, text_towers

    found = SimpleNamespace()
    for module in (caption_prompts, moved_prompt, prompt_frames, text_towers):
        vars(found).update({k: v for k, v in vars(module).items() if not k.startswith("__")})
    return found


def text_encode(clip, text):
    """CLIPTextEncode."""
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))


def relative(ours, theirs):
    return float((ours - theirs).norm() / theirs.norm())


def rows_of(core, tower, window):
    return core.input_embeddings(window, tower.embed)


def core_output(encoder, window):
    """What core's module gives for a window: last states, projected vector."""
    with torch.no_grad():
        embeds, _, num_tokens, _ = encoder.process_tokens([[t for t, *_ in window]], "cpu")
        states, _, projected, _ = encoder.transformer(None, embeds=embeds, num_tokens=num_tokens)
    return states, projected


# --- Agreement ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sd15", "sd2", "sdxl", "sd3"])
def test_a_tower_gives_what_core_gives(core, tmp_path, kind):
    clip = small_clip(kind, tmp_path, ("clip_l", "clip_g", "clip_h"))
    clip.load_model()
    for key, windows in clip.tokenize(TEXT, return_word_ids=True).items():
        tower, window = core.text_tower(clip, key), windows[0]
        if tower is None:
            assert key == "t5xxl"
            continue
        states, projected = core_output(core.encoder_of(clip, key), window)
        rows = rows_of(core, tower, window)
        with torch.no_grad():
            assert relative(tower.states(rows), states) < 1e-5
            vector = tower.text_vector(rows, core.end_of(window))
        assert relative(vector, functional.normalize(projected, dim=-1)) < 1e-5
        assert tower.dim == WIDTHS[f"clip_{key}"]


def test_a_full_size_clip_l_in_half_precision_gives_what_core_gives(core, models_dir):
    import comfy.sd

    path = models_dir / "checkpoints" / "random_sd15.safetensors"
    clip = comfy.sd.load_checkpoint_guess_config(str(path), output_vae=False, output_model=False)[1]
    clip.load_model()
    tower = core.text_tower(clip, "l")
    assert tower.projection is None  # the checkpoint holds none, whatever core's layer holds
    window = clip.tokenize(TEXT, return_word_ids=True)["l"][0]
    states, _ = core_output(core.encoder_of(clip, "l"), window)
    end = core.end_of(window)
    with torch.no_grad():
        ours = tower.states(rows_of(core, tower, window)[:, : end + 1])
    assert relative(ours, states[:, : end + 1]) < 1e-5


def test_a_lora_moves_the_tower_as_it_moves_core(core, tmp_path):
    clip = small_clip("sd15", tmp_path)
    before = text_encode(clip, TEXT)[0][0]
    lora = clip.clone()
    key = "clip_l.transformer.text_model.encoder.layers.1.mlp.fc1.weight"
    change = torch.randn(256, 64, generator=torch.Generator().manual_seed(1)) * 0.1
    lora.add_patches({key: ("diff", (change,))}, 1.0)
    after = text_encode(lora, TEXT)[0][0]
    assert relative(after, before) > 0.01
    lora.load_model()
    tower = core.text_tower(lora, "l")
    plain = clip.tokenize("a red star", return_word_ids=True)["l"][0]
    states, _ = core_output(core.encoder_of(lora, "l"), plain)
    with torch.no_grad():
        assert relative(tower.states(rows_of(core, tower, plain)), states) < 1e-5


# --- The projection -------------------------------------------------------------------------------


def test_a_projection_counts_only_if_the_file_holds_it(core, tmp_path):
    clip = small_clip("sdxl", tmp_path, ("clip_g",))
    clip.load_model()
    assert core.own_projection(clip, "l") is None
    held = clip.cond_stage_model.clip_g.transformer.text_projection.weight
    assert torch.equal(core.own_projection(clip, "g"), held)
    # The file has one of that size, but core could not place it: its layer holds something else.
    with torch.no_grad():
        held.copy_(torch.eye(len(held)))
    assert core.own_projection(clip, "g") is None
    clip.patcher.cached_patcher_init = None
    assert core.own_projection(clip, "g") is None


def test_a_missing_projection_is_one_sentence(core, tmp_path):
    clip = small_clip("sd15", tmp_path)
    prompt = clip.tokenize(TEXT, return_word_ids=True)
    with pytest.raises(DriftError, match="CLIP-L comes without its text_projection"):
        core.towers_for(clip, prompt, 64)
    projection = torch.randn(64, 64)
    assert core.towers_for(clip, prompt, 64, projection=projection)["l"].dim == 64


def test_other_families_are_named(core, tmp_path):
    clip = small_clip("flux", tmp_path, ("clip_l",))
    prompt = clip.tokenize(TEXT, return_word_ids=True)
    assert list(core.towers_for(clip, prompt, 64)) == ["l"]
    with pytest.raises(DriftError, match=r"CLIP-L points into 64 .* t5xxl has no joint space"):
        core.towers_for(clip, prompt, 128, "ViT-bigG")


# --- The native road ------------------------------------------------------------------------------

LONG = TEXT + ", one of very many words" * 15  # two windows


@pytest.mark.parametrize("kind", ["sd15", "sdxl", "sd3", "flux"])
def test_embeddings_in_place_of_numbers_come_out_bit_equal(core, tmp_path, kind):
    clip = small_clip(kind, tmp_path)
    check_bit_equal(core, clip, TEXT)
    check_bit_equal(core, clip, LONG)
    clip.clip_layer(-3)
    check_bit_equal(core, clip, TEXT)


def check_bit_equal(core, clip, text):
    expected = text_encode(clip, text)
    prompt = clip.tokenize(text, return_word_ids=True)
    keys = [key for key in prompt if core.text_tower(clip, key) is not None]
    nothing = {key: [torch.zeros(2, len(w), 1) for w in prompt[key]] for key in keys}
    embed = {key: core.text_tower(clip, key).embed for key in keys}
    still = core.moved_frames(prompt, nothing, embed)
    assert all(frame is prompt for frame in still)
    replaced = {
        key: [
            [
                (row, *token[1:]) if token[2] > 0 else token
                for token, row in zip(w, core.input_embeddings(w, embed[key])[0], strict=True)
            ]
            for w in prompt[key]
        ]
        for key in keys
    }
    for frames in (still, [{**prompt, **replaced}] * 2):
        result = core.encode_frames(clip, frames)
        assert len(result) == len(expected) == 1
        (tokens, extra), (one, its) = result[0], expected[0]
        assert torch.equal(tokens, one.repeat(2, 1, 1))
        assert extra.keys() == its.keys()
        assert torch.equal(extra["pooled_output"], its["pooled_output"].repeat(2, 1))


def test_a_prompt_moves_and_comes_back(core, tmp_path):
    clip = small_clip("sdxl", tmp_path, ("clip_l", "clip_g"))
    clip.load_model()

    def tokenize(text):
        return clip.tokenize(text, return_word_ids=True)

    text, whole = "a red star", "a red star, in the middle"
    prompt = tokenize(whole)
    free = core.free_words(prompt, tokenize, "", text)
    # start, a, red, star, ",", in, the, middle: the comma is the carrier's.
    assert free["l"][0].nonzero().flatten().tolist() == [4, 5, 6, 7]
    towers = core.towers_for(clip, prompt, WIDTHS["clip_g"])
    assert list(towers) == ["g"]

    def walk(start):
        aside = torch.randn(1, start.shape[1], generator=torch.Generator().manual_seed(2)) * 0.03
        return functional.normalize(
            start + torch.tensor([[0.0], [0.5], [1.0]]) * aside.to(start), dim=-1
        )

    with torch.inference_mode():  # as nodes run
        moved = core.invert_prompt(clip, prompt, towers, free, walk, steps=40, keep=0.0)
        conditioning = core.encode_frames(clip, moved.frames)
    assert moved.moved["g"][0].after.min() > moved.moved["g"][0].before.min()
    assert moved.notes[0].startswith("CLIP-bigG moved") or moved.notes[1].startswith("CLIP-bigG")
    assert "CLIP-L stayed" in moved.notes
    tokens, extra = conditioning[0]
    still = text_encode(clip, whole)[0]
    assert torch.equal(tokens[0], still[0][0])
    assert torch.equal(tokens[:, :, :64], still[0][:, :, :64].repeat(3, 1, 1))  # CLIP-L's block
    assert torch.equal(tokens[:, :4], still[0][:, :4].repeat(3, 1, 1))  # words before the carrier
    assert not torch.equal(tokens[2], still[0][0])
    # bigG's pooled vector is its text vector: it arrived.
    pooled = functional.normalize(extra["pooled_output"], dim=-1)
    cosines = (pooled * moved.targets["g"][0]).sum(-1)
    torch.testing.assert_close(cosines, moved.moved["g"][0].after, rtol=0, atol=1e-5)


def test_words_choose_what_moves(core, tmp_path):
    clip = small_clip("sd15", tmp_path)

    def tokenize(text):
        return clip.tokenize(text, return_word_ids=True)

    prompt = tokenize("a red star")
    chosen = core.free_words(prompt, tokenize, "(star:0.5)")["l"][0]
    assert chosen.nonzero().flatten().tolist() == [3]
    assert chosen[3] == 0.5
    everything = core.free_words(prompt, tokenize, "", "a red star")["l"][0]
    assert everything.nonzero().flatten().tolist() == [1, 2, 3]
    with pytest.raises(DriftError, match="'moon' is not in the text"):
        core.free_words(prompt, tokenize, "moon")


def test_the_end_token_moves_exactly(core, tmp_path):
    clip = small_clip("sd15", tmp_path, ("clip_l",))
    clip.load_model()
    prompt = clip.tokenize("a red star", return_word_ids=True)
    tower = core.text_tower(clip, "l")
    target = functional.normalize(
        torch.randn(2, 64, generator=torch.Generator().manual_seed(3)), dim=-1
    )

    def walk(start):
        return torch.cat((start.to(target), target))

    still = text_encode(clip, "a red star")
    moved = core.shifted_end_token(clip, prompt, still, tower, walk)
    tokens, extra = moved[0]
    assert torch.equal(tokens[0], still[0][0][0])
    assert torch.equal(tokens[:, [0, 1, 2, 3, 5]], still[0][0][:, [0, 1, 2, 3, 5]].repeat(3, 1, 1))
    assert torch.equal(extra["pooled_output"], tokens[:, 4])
    there = functional.normalize(tokens[1:, 4] @ tower.projection.mT, dim=-1)
    assert (there * target).sum(-1).min() > 1 - 1e-4
    clip.clip_layer(-2)
    with pytest.raises(DriftError, match="use through inversion"):
        core.shifted_end_token(clip, prompt, still, tower, walk)


# --- Carriers and captions ------------------------------------------------------------------------


def towards(clip, core, key, text):
    """A walk to where another text stands, in four frames."""
    tower = core.text_tower(clip, key)
    window = clip.tokenize(text, return_word_ids=True)[key][0]
    with torch.no_grad():
        goal = tower.text_vector(rows_of(core, tower, window), core.end_of(window))
    return lambda start: functional.normalize(
        torch.lerp(start, goal, torch.linspace(0, 1, 4)[:, None]), dim=-1
    )


def test_the_carrier_whose_words_lead_there_is_picked(core, tmp_path):
    clip = small_clip("sd15", tmp_path, ("clip_l",))
    clip.load_model()
    tower = core.text_tower(clip, "l")
    walk = towards(clip, core, "l", "a red star, far away on the right side")
    # One word is not enough to say six; the words themselves need not move at all.
    phrases = ["here", "far away on the right side", "now"]
    assert core.pick_carrier(clip, "l", tower, "a red star", phrases, walk) == phrases[1]


def test_chosen_captions_come_out_as_core_encodes_them(core, tmp_path):
    clip = small_clip("flux", tmp_path, ("clip_l",))
    clip.load_model()
    tower = core.text_tower(clip, "l")
    long = "a red star " + "very " * 260 + "far"  # beyond T5's shortest window of 256
    texts = ["a red star on the left", "a red star in the middle", "a red star at night", long]
    bank = core.tower_vectors(clip, "l", tower, texts)
    for row, text in zip(bank[:3], texts[:3], strict=True):
        pooled = text_encode(clip, text)[0][1]["pooled_output"][0]  # Flux's is not projected
        expected = functional.normalize(tower.projection @ pooled, dim=0)
        torch.testing.assert_close(row, expected, rtol=0, atol=1e-5)
    again = core.tower_vectors(clip, "l", tower, texts[::-1])
    assert torch.equal(again, bank.flip(0))

    path = core.CaptionPath(torch.tensor([[0], [2], [0]]), torch.ones(3, 1), torch.ones(3))
    ((tokens, extra),) = core.encode_captions(clip, texts, path)
    for frame, index in enumerate((0, 2, 0)):
        one, its = text_encode(clip, texts[index])[0]
        assert torch.equal(tokens[frame], one[0])
        assert torch.equal(extra["pooled_output"][frame], its["pooled_output"][0])

    half = core.CaptionPath(torch.tensor([[0, 1]]), torch.tensor([[0.25, 0.75]]), torch.ones(1))
    ((tokens, _),) = core.encode_captions(clip, texts, half)
    first, second = (text_encode(clip, text)[0][0] for text in texts[:2])
    torch.testing.assert_close(tokens, 0.25 * first + 0.75 * second)

    ((tokens, _),) = core.encode_captions(
        clip, texts, core.CaptionPath(torch.tensor([[0], [3]]), torch.ones(2, 1), torch.ones(2))
    )
    assert len(tokens) == 2
    assert torch.equal(tokens[1], text_encode(clip, long)[0][0][0])
