"""The prior against diffusers': one prediction, the schedule, a whole run; loading its files."""

import json
import math

import pytest
import torch
from diffusers import PriorTransformer, UnCLIPScheduler
from pack.clip_drift.errors import DriftError
from pack.clip_drift.text import TextStates, until_end
from pack.kandinsky22.prior import HEAD_WIDTH, Prior, prior_config
from pack.kandinsky22.prior_sampling import (
    CLIP,
    TIMES,
    sample_prior,
    schedule,
    signal_power,
)
from pack.workshop.rig.kandinsky_weights import randomise, small_prior
from safetensors.torch import load_file, save_file

SIZES = {
    "official heads": {"num_attention_heads": 2, "num_layers": 2, "embedding_dim": 1280},
    "small": {
        "num_attention_heads": 3,
        "attention_head_dim": 16,
        "num_layers": 3,
        "embedding_dim": 48,
        "num_embeddings": 11,
    },
    "other pooled width": {
        "num_attention_heads": 4,
        "attention_head_dim": 8,
        "num_layers": 1,
        "embedding_dim": 40,
        "num_embeddings": 5,
        "embedding_proj_dim": 56,
    },
    "other text width": {
        "num_attention_heads": 2,
        "attention_head_dim": 32,
        "num_layers": 2,
        "embedding_dim": 64,
        "num_embeddings": 16,
        "text_width": 24,
    },
}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def reference_prior(text_width=None, seed=0, **sizes):
    """diffusers' prior with random weights. It has one width for texts and for embeddings, so a
    text of another width gets a layer put in by hand."""
    sizes = {"num_embeddings": 77, "attention_head_dim": HEAD_WIDTH, **sizes}
    prior = PriorTransformer(**sizes).eval()
    if text_width:
        prior.encoder_hidden_states_proj = torch.nn.Linear(text_width, prior.proj_in.out_features)
    randomise(prior, seed)
    torch.manual_seed(seed)
    with torch.no_grad():
        for name in ("positional_embedding", "prd_embedding", "clip_mean", "clip_std"):
            torch.nn.init.normal_(getattr(prior, name), std=0.5)
        prior.clip_std.abs_().add_(0.1)
    return prior


def shapes_of(model):
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def our_prior(reference):
    config = {"attention_head_dim": reference.config.attention_head_dim}
    prior = Prior(**prior_config(shapes_of(reference), config))
    prior.load_state_dict(reference.state_dict())
    return prior


def random_text(prior, lengths, seed=1):
    """Texts of so many tokens, the rest of the window being padding with noise in it."""
    generator = torch.Generator().manual_seed(seed)
    count, window = len(lengths), prior.text_length
    return TextStates(
        torch.randn(count, window, prior.text_width, generator=generator),
        torch.randn(count, prior.pooled_width, generator=generator),
        torch.arange(window) < torch.tensor(lengths)[:, None],
    )


def relative(ours, theirs):
    return float((ours - theirs).abs().max() / theirs.abs().max())


# --- one prediction ---


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES.keys())
@pytest.mark.parametrize("time", [0, 517, 999])
def test_a_prediction_is_diffusers(sizes, time):
    reference = reference_prior(**sizes)
    prior = our_prior(reference)
    text = random_text(prior, [2, prior.text_length, 4])
    x = torch.randn(3, prior.embedding)
    with torch.no_grad():
        wanted = reference(x, torch.tensor(time), text.pooled, text.states, text.mask)
        found = prior(x, torch.tensor(time), *text)
    assert relative(found, wanted.predicted_image_embedding) < 1e-5


def test_each_row_has_its_own_time():
    prior = our_prior(reference_prior(**SIZES["small"]))
    text, x = random_text(prior, [3, 3]), torch.randn(2, prior.embedding)
    with torch.no_grad():
        together = prior(x, torch.tensor([10, 900]), *text)
        alone = prior(x[1:], torch.tensor(900), *(part[1:] for part in text))
    assert relative(together[1:], alone) < 1e-5


def test_padding_is_not_looked_at_and_the_text_is():
    prior = our_prior(reference_prior(**SIZES["small"]))
    text, x = random_text(prior, [4]), torch.randn(1, prior.embedding)

    def predict(states):
        with torch.no_grad():
            return prior(x, torch.tensor(5), states, text.pooled, text.mask)

    def changed(token):
        states = text.states.clone()
        states[:, token] += 1
        return states

    assert torch.equal(predict(changed(4)), predict(text.states))
    assert not torch.allclose(predict(changed(3)), predict(text.states))


def test_the_official_size():
    prior = Prior(device="meta")
    assert sum(t.numel() for t in prior.state_dict().values()) == 1_026_225_920
    assert prior_config(shapes_of(prior), {}) == {
        "width": 2048,
        "heads": 32,
        "layers": 20,
        "hidden": 8192,
        "embedding": 1280,
        "text_width": 1280,
        "pooled_width": 1280,
        "text_length": 77,
    }


def test_it_can_be_trained():
    prior = Prior(width=32, heads=2, layers=2, hidden=64, embedding=8, text_width=6, pooled_width=8,
                  text_length=5)  # fmt: skip
    text = random_text(prior, [3] * 4)
    embeds = torch.randn(4, 8)
    optimizer = torch.optim.Adam(prior.parameters(), 1e-2)
    losses = []
    for _ in range(30):
        predicted = prior(torch.zeros(4, 8), torch.full((4,), 999), *text)
        losses.append(torch.nn.functional.mse_loss(predicted, embeds))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0] / 4
    assert all(p.grad is not None for p in prior.parameters())


def test_embeddings_are_normalised_and_back():
    prior = our_prior(reference_prior(**SIZES["small"]))
    embedding = torch.randn(3, prior.embedding)
    there = prior.normalise(embedding)
    assert not torch.allclose(there, embedding)
    assert torch.allclose(prior.denormalise(there), embedding, atol=1e-5)


def test_weights_that_cannot_be_split_into_heads():
    reference = reference_prior(**SIZES["small"])  # 3 heads of 16
    with pytest.raises(DriftError, match=r"width 48 and has no heads of 64.*config\.json"):
        prior_config(shapes_of(reference), {})
    with pytest.raises(DriftError, match="attention_head_dim is 'wide'"):
        prior_config(shapes_of(reference), {"attention_head_dim": "wide"})


def test_weights_that_are_no_whole_prior():
    shapes = shapes_of(Prior(device="meta", layers=1))
    del shapes["embedding_proj.weight"]
    with pytest.raises(DriftError, match=r"embedding_proj\.weight.*missing"):
        prior_config(shapes, {})


def test_the_mask_ends_with_the_first_end_token():
    tokens = torch.tensor([[9, 1, 9, 9, 9], [9, 2, 2, 7, 2], [1, 1, 1, 1, 1]])
    wanted = [[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 1, 1]]
    ends = torch.tensor([[1], [2], [7]])
    assert until_end(tokens, ends).int().tolist() == wanted


# --- sampling ---


def official_scheduler(exact=False):
    """diffusers' scheduler with the settings of kandinsky-2-2-prior.

    `exact` gives it ā in float64. In its own float32 it takes 1 - ā of an ā of 0.99996 in the last
    step, and so scales its result by 1 ± 5e-4.
    """
    scheduler = UnCLIPScheduler(
        variance_type="fixed_small_log", prediction_type="sample", clip_sample=True,
        clip_sample_range=10.0, num_train_timesteps=1000,
    )  # fmt: skip
    if exact:

        def cosine(time):
            return math.cos((time / TIMES + 0.008) / 1.008 * math.pi / 2) ** 2

        betas = [min(1 - cosine(t + 1) / cosine(t), 0.999) for t in range(TIMES)]
        scheduler.betas = torch.tensor(betas, dtype=torch.float64)
        scheduler.alphas = 1 - scheduler.betas
        scheduler.alphas_cumprod = scheduler.alphas.cumprod(0)
        scheduler.one = torch.tensor(1.0, dtype=torch.float64)
    return scheduler


@torch.no_grad()
def official_run(reference, text, negative, steps, cfg, seed, exact=False):
    """The loop of diffusers' pipeline, by its scheduler."""
    scheduler = official_scheduler(exact)
    scheduler.set_timesteps(steps)
    times = scheduler.timesteps
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(len(text.states), reference.config.embedding_dim, generator=generator)
    both = [torch.cat(pair) for pair in zip(negative, text, strict=True)]
    for time, earlier in zip(times, [*times[1:], None], strict=True):
        clean = reference(torch.cat([x, x]), time, both[1], both[0], both[2])
        no, yes = clean.predicted_image_embedding.chunk(2)
        x = scheduler.step(
            no + cfg * (yes - no), time, x, prev_timestep=earlier, generator=generator
        ).prev_sample.float()
    return reference.post_process_latents(x)


@pytest.mark.parametrize("steps", [2, 3, 25, 40, 333, 1000])
def test_the_times_are_diffusers(steps):
    scheduler = official_scheduler()
    scheduler.set_timesteps(steps)
    assert [step.time for step in schedule(steps)] == scheduler.timesteps.tolist()


def test_the_signals_power_is_diffusers():
    wanted = official_scheduler().alphas_cumprod
    assert torch.allclose(torch.tensor(signal_power()), wanted, rtol=1e-4, atol=0)


@pytest.mark.parametrize("steps", [2, 25, 1000])
def test_the_coefficients_are_diffusers(steps):
    scheduler = official_scheduler(exact=True)
    scheduler.set_timesteps(steps)
    times = scheduler.timesteps
    one, nothing = torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)
    plan = schedule(steps)
    for step, time, earlier in zip(plan, times, [*times[1:], None], strict=True):

        def moved(clean, x, seed, time=time, earlier=earlier):
            generator = torch.Generator().manual_seed(seed)
            return float(scheduler.step(clean, time, x, earlier, generator=generator).prev_sample)

        noise = float(torch.randn(1, 1, generator=torch.Generator().manual_seed(3),
                                  dtype=torch.float64))  # fmt: skip
        drawn = step.noise * noise
        assert moved(one, nothing, 3) == pytest.approx(step.clean + drawn, rel=1e-9, abs=1e-12)
        assert moved(nothing, one, 3) == pytest.approx(step.kept + drawn, rel=1e-9, abs=1e-12)
    assert plan[-1] == (0, 1.0, 0.0, 0.0)


@pytest.mark.parametrize(("exact", "tolerance"), [(False, 1e-3), (True, 1e-5)])
@pytest.mark.parametrize("sizes", ["small", "official heads"])
def test_a_run_of_25_steps_is_diffusers(sizes, exact, tolerance):
    reference = reference_prior(**SIZES[sizes])
    prior = our_prior(reference)
    text, negative = random_text(prior, [7, 11]), random_text(prior, [2, 3], seed=2)
    wanted = official_run(reference, text, negative, 25, 4.0, seed=5, exact=exact)
    found = sample_prior(prior, text, negative, steps=25, cfg=4.0, seed=5)
    print(f"25 steps, {sizes}, {exact=}: {relative(found, wanted):.1e}")
    assert relative(found, wanted) < tolerance


def test_what_is_predicted_is_clipped():
    reference = reference_prior(**SIZES["small"])
    with torch.no_grad():
        reference.proj_to_clip_embeddings.bias[:] = 3 * CLIP
    prior = our_prior(reference)
    text, negative = random_text(prior, [7]), random_text(prior, [2])
    found = sample_prior(prior, text, negative, steps=4, seed=1)
    assert torch.allclose(prior.normalise(found), torch.tensor(CLIP), atol=1e-3)
    wanted = official_run(reference, text, negative, 4, 4.0, seed=1, exact=True)
    assert relative(found, wanted) < 1e-5


@pytest.fixture(scope="module")
def prior():
    return our_prior(reference_prior(**SIZES["small"]))


def test_a_seed_draws_the_same_and_another_draws_another(prior):
    text, negative = random_text(prior, [7]), random_text(prior, [2])
    first = sample_prior(prior, text, negative, steps=5, seed=1)
    assert torch.equal(first, sample_prior(prior, text, negative, steps=5, seed=1))
    assert relative(first, sample_prior(prior, text, negative, steps=5, seed=2)) > 1e-3


def test_without_guidance_the_negative_counts_for_nothing(prior):
    text, negative = random_text(prior, [7]), random_text(prior, [2])
    alone = sample_prior(prior, text, steps=5)
    assert torch.equal(alone, sample_prior(prior, text, negative, cfg=1.0, steps=5))
    assert relative(alone, sample_prior(prior, text, negative, cfg=2.0, steps=5)) > 0.01


def test_one_negative_serves_several_texts(prior):
    text, negative = random_text(prior, [7, 4]), random_text(prior, [2])
    repeated = TextStates(*(torch.cat([part, part]) for part in negative))
    found = sample_prior(prior, text, negative, steps=3)
    assert torch.equal(found, sample_prior(prior, text, repeated, steps=3))


def test_a_single_step_is_the_prediction(prior):
    text = random_text(prior, [7])
    noise = torch.randn(1, prior.embedding, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        predicted = prior.denormalise(prior(noise, torch.tensor(TIMES - 1), *text))
    assert torch.allclose(sample_prior(prior, text, steps=1, seed=9), predicted, atol=1e-6)


def test_each_step_is_told_and_may_be_the_last(prior):
    told = []
    sample_prior(prior, random_text(prior, [7]), steps=4, on_step=lambda *at: told.append(at))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]

    def cancel(done, _steps):
        told.append(done)
        raise InterruptedError

    told.clear()
    with pytest.raises(InterruptedError):
        sample_prior(prior, random_text(prior, [7]), steps=4, on_step=cancel)
    assert told == [1]


# --- loading ---


@pytest.fixture(scope="module")
def small_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("prior") / "small.safetensors"
    small_prior(path, text_length=16, embedding=96, text_width=80, pooled_width=96)
    return path


@pytest.fixture(scope="module")
def load(pack):
    from pack.kandinsky22.nodes.prior_model import load_prior

    return load_prior


def plain(path):
    """The prior of a file in plain torch, float32."""
    weights = {name: tensor.float() for name, tensor in load_file(path).items()}
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    prior = Prior(**prior_config(shapes, {}))
    prior.load_state_dict(weights)
    return prior


def drawn_by(managed, prior):
    text, negative = random_text(prior, [7]), random_text(prior, [2])
    return managed.draw(text, negative, steps=4, cfg=4.0, seed=1)


def drawn_plainly(prior):
    text, negative = random_text(prior, [7]), random_text(prior, [2])
    return sample_prior(prior, text, negative, steps=4, cfg=4.0, seed=1)


STORED = [torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2]


@pytest.mark.parametrize("dtype", STORED, ids=str)
def test_files_of_any_type_draw_what_their_numbers_say(dtype, small_file, load, tmp_path):
    path = tmp_path / "prior.safetensors"
    save_file({name: tensor.to(dtype) for name, tensor in load_file(small_file).items()}, path)
    prior = plain(path)
    assert relative(drawn_by(load(path), prior), drawn_plainly(prior)) < 1e-5


@pytest.mark.parametrize("dtype", ["fp16", "bf16", "fp8_e4m3fn"])
def test_weights_can_be_kept_in_less_memory(dtype, small_file, load, monkeypatch):
    from comfy.cli_args import args

    monkeypatch.setattr(args, f"{dtype}_unet", True)
    managed = load(small_file)
    prior = plain(small_file)
    stored = managed.patcher.model.proj_in.weight
    assert stored.element_size() < 4
    prior.load_state_dict({n: t.float() for n, t in managed.patcher.model.state_dict().items()})
    found, wanted = drawn_by(managed, prior), drawn_plainly(prior)
    assert relative(found, wanted) < (0.1 if managed._compute_dtype == stored.dtype else 1e-5)


def test_the_json_beside_tells_the_head_width(load, tmp_path):
    path = tmp_path / "narrow.safetensors"
    small_prior(path, width=48, heads=3, hidden=96, embedding=16, text_width=16, pooled_width=16)
    with pytest.raises(DriftError, match="width 48 and has no heads of 64"):
        load(path)
    path.with_suffix(".json").write_text(json.dumps({"attention_head_dim": 16}))
    assert load(path).patcher.model.transformer_blocks[0].attn1.heads == 3


def test_more_tensors_do_no_harm_and_fewer_do(load, small_file, tmp_path):
    weights = load_file(small_file)
    save_file({**weights, "causal_attention_mask": torch.zeros(1)}, tmp_path / "more.safetensors")
    load(tmp_path / "more.safetensors")
    del weights["transformer_blocks.1.ff.net.2.bias"]
    save_file(weights, tmp_path / "fewer.safetensors")
    with pytest.raises(DriftError, match=r"prior_name: fewer.*transformer_blocks\.1\.ff\.net\.2"):
        load(tmp_path / "fewer.safetensors")


def test_another_models_file_is_named(load, models_dir, tmp_path):
    with pytest.raises(DriftError, match=r"prior_name: random_sd15.*SD checkpoint.*2\.2 prior"):
        load(models_dir / "checkpoints" / "random_sd15.safetensors")
    torch.save({"a": torch.zeros(1)}, tmp_path / "prior.ckpt")
    with pytest.raises(DriftError, match=r"prior\.ckpt is a pickle"):
        load(tmp_path / "prior.ckpt")
