"""The toy world and the training of Mini Kandinsky: what it draws, says, learns from and writes."""

from __future__ import annotations

import re
import signal
import time
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from pack.clip_drift.video import open_frames
from pack.tests.paths import normalised
from pack.workshop.mini import begin, export, exported, pairs, runs, train, unet_model
from pack.workshop.mini.clip_model import (
    CONFIG,
    build_tokenizer,
    embed_all,
    text_states,
    trained_clip,
    trim,
)
from pack.workshop.mini.whitening import whitening_of
from pack.workshop.world import captions, motions, vocabulary
from pack.workshop.world import scenes as world
from torch import nn

SEED = world.HELD_OUT + 77


@pytest.fixture(scope="module")
def scenes() -> world.Scenes:
    return world.draw_scenes(200, SEED)


def test_a_drawn_shape_is_where_and_what_the_scene_says(scenes):
    pictures = world.render(scenes)
    assert pictures.shape == (200, 3, 64, 64)
    found = world.measure(pictures, scenes.shape)
    pixel = 1 / 64
    assert (found.x - scenes.x).abs().max() < pixel / 2
    assert (found.y - scenes.y).abs().max() < pixel / 2
    assert (world.nearest_colour(found.rgb) == scenes.colour).all()
    for number, name in enumerate(world.SHAPES):
        rows = scenes.shape == number
        ratio = found.radius[rows] / scenes.radius[rows]
        assert ratio.std() < 0.01 * ratio.mean(), f"the area of a {name} does not follow its radius"
        if name == "circle":
            assert found.turn[rows].isnan().all()
        else:
            assert (found.turn[rows] - scenes.turn[rows]).abs().rad2deg().max() < 3


def test_shapes_stay_inside_the_picture():
    """At every limit of place, size and turn at once."""
    low, high = world.CENTRE
    for shape in range(len(world.SHAPES)):
        for x, y in ((low, low), (low, high), (high, low), (high, high)):
            scene = world.draw_scenes(13, 1)
            scene = scene.but(
                shape=torch.full_like(scene.shape, shape),
                x=torch.full_like(scene.x, x),
                y=torch.full_like(scene.y, y),
                radius=torch.full_like(scene.radius, world.RADIUS[1]),
                turn=torch.linspace(*world.TURN, 13),
            )
            whole = world.measure(world.render(scene.but(x=scene.x * 0 + 0.5, y=scene.y * 0 + 0.5)))
            there = world.measure(world.render(scene))
            assert (there.area > 0.93 * whole.area).all()


def test_nothing_is_found_where_nothing_stands_out():
    plain = torch.full((2, 3, 64, 64), 0.2)
    plain[1] += 0.01 * torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert world.measure(plain).x.isnan().all()


def test_a_seed_draws_one_world(scenes):
    again = world.draw_scenes(200, SEED)
    assert all(torch.equal(getattr(again, name), value) for name, value in vars(scenes).items())
    assert not torch.equal(world.draw_scenes(200, SEED + 1).x, scenes.x)


def test_training_never_sees_a_held_out_seed():
    """Every seed a run can take, and those of the pairs, lie below the held-out ones, apart."""
    longest = 10_000_000 - 1
    taken = []
    for part in train.PARTS:
        plan = runs.Plan(part, steps=longest, batch=1, rate=1.0, seed=9)
        taken.append(range(plan.seed_of(0), plan.seed_of(longest) + 1))
    taken.append(range(pairs.FIRST_SEED, pairs.FIRST_SEED + pairs.COUNT))
    taken.sort(key=lambda seeds: seeds.start)
    for one, following in pairwise(taken):
        assert one.stop <= following.start
    assert taken[-1].stop <= world.HELD_OUT


def test_captions_name_the_shape_the_colour_and_the_place(scenes):
    texts = captions.write_captions(scenes, SEED, complete=1.0)
    assert len(set(texts)) > 190
    for text, shape, colour in zip(texts, scenes.shape, scenes.colour, strict=True):
        name = world.SHAPES[shape]
        assert re.search("circle|disc|ball" if name == "circle" else f"{name}|box", text)
        assert re.search(
            {"cyan": "cyan|turquoise", "pink": "pink|magenta"}.get(
                list(world.COLOURS)[colour], list(world.COLOURS)[colour]
            ),
            text,
        )
    assert captions.write_captions(scenes, SEED, complete=1.0) == texts
    # A caption that leaves things out keeps shape and colour.
    assert min(map(len, captions.write_captions(scenes, SEED, complete=0.0))) < 20


def test_degrees_of_place_rise_with_the_place():
    low, high = world.CENTRE
    places = torch.linspace(low, high, 50)
    degrees = [captions.degree(float(x), world.CENTRE, 9) for x in places]
    assert degrees == sorted(degrees)
    assert set(degrees) == set(range(9))
    assert captions.degree(-5.0, world.CENTRE, 9) == 0
    # Between two degrees either is said, and no third one.
    between = low + (high - low) * 3.5 / 8
    scene = world.draw_scenes(400, 3).but(x=torch.full((400,), between))
    texts = captions.write_captions(scene, 3, complete=1.0)
    said = {
        word
        for word in ("left of the centre", "in the centre", "halfway across", "right")
        for text in texts
        if re.search(rf"\b{word}\b", text)
    }
    assert {"left of the centre", "in the centre"} <= said


def test_every_word_of_a_caption_is_one_token(scenes, tmp_path):
    tokenize = build_tokenizer(tmp_path)
    text_cfg = CONFIG["model_cfg"]["text_cfg"]
    assert tokenize.vocab_size == text_cfg["vocab_size"]
    for word in captions.all_words():
        assert len(tokenize.encode(word)) == 1, word
    texts = captions.write_captions(scenes, SEED)
    tokens = tokenize(texts)
    end = tokenize.eot_token_id
    assert (tokens == end).sum(1).eq(1).all(), "a caption is longer than the window"
    assert tokens[:, -1].eq(0).all()
    decoded = tokenize.decode([int(t) for t in tokens[0, 1:].tolist() if t not in (0, end)])
    assert re.findall(r"\w+", decoded) == re.findall(r"\w+", texts[0])
    # A word of no caption is spelt, in tokens that there are.
    assert max(tokenize.encode("zeppelin über")) < text_cfg["vocab_size"]


def test_the_vocabulary_is_the_same_each_time(tmp_path):
    vocabulary.write_merges(tmp_path / "a")
    time.sleep(1.1)  # gzip's own time stamp counts seconds
    vocabulary.write_merges(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("motion", motions.MOTIONS)
def test_a_clip_changes_what_its_motion_names_and_nothing_else(motion):
    clip = motions.draw_clip(motion, SEED)
    changing = {
        name
        for name, value in vars(clip).items()
        if (value != value[:1]).reshape(len(value), -1).any()
    }
    assert changing == set(motions.MOTIONS[motion])


def test_a_clip_is_a_real_file_that_shows_the_motion(tmp_path):
    scenes = motions.write_motion(tmp_path / "clip.mp4", "diagonal", SEED)
    frames = stream_frames(tmp_path / "clip.mp4", 64)
    assert len(frames) == motions.FRAMES
    found = world.measure(frames)
    # Half a pixel of the picture as the CLIP takes it.
    assert (found.x - scenes.x).abs().max() < 0.5 / 64
    assert (found.y - scenes.y).abs().max() < 0.5 / 64


class Line(nn.Module):
    """Something to fit: a matrix and a bias."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.layer = nn.Linear(3, 2)


def learn(steps: int, folder: Path, stop_at: int | None = None) -> nn.Module:
    plan = runs.Plan("clip", steps=20, batch=4, rate=0.1, warmup=3, average=0.5).but(steps=steps)
    module = Line()

    def loss_of(step: int):
        if step == stop_at:
            signal.raise_signal(signal.SIGTERM)
        x = torch.randn(4, 3, generator=torch.Generator().manual_seed(plan.seed_of(step)))
        return (module.layer(x) - x[:, :2] * 3).square().mean(), {"size": 4}

    return runs.fit(plan, module, loss_of, runs=folder)


def test_a_stopped_run_goes_on_as_if_it_had_not_been_stopped(tmp_path):
    straight = learn(20, tmp_path / "straight")
    with pytest.raises(SystemExit):
        learn(20, tmp_path / "stopped", stop_at=7)
    done = runs.progress_of("clip", tmp_path / "stopped")
    assert done["step"] == 8  # the step in hand is finished first
    resumed = learn(20, tmp_path / "stopped")
    for name, value in straight.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value)
    log = (tmp_path / "stopped" / "clip" / "log.txt").read_text().splitlines()
    assert '"step": 20' in log[-1]
    again = learn(20, tmp_path / "stopped")  # nothing left to do
    assert torch.equal(again.layer.weight, straight.layer.weight)


def test_a_learning_rate_rises_then_falls():
    plan = runs.Plan("clip", steps=100, batch=1, rate=2.0, warmup=10)
    rates = [plan.rate_at(step) for step in range(100)]
    assert max(rates) == pytest.approx(2.0)
    assert rates.index(max(rates)) in (9, 10)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.02, rel=0.1)  # a hundredth


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """Every part trained for two steps by the one command, on few pairs, and exported."""
    folder = tmp_path_factory.mktemp("training")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "CHUNK", 32)
        patch.setattr(pairs, "COUNT", 64)
        train.main(["all", "--steps", "2", "--device", "cpu", "--runs", str(folder)])
        export.export(folder / "export", folder)
    return folder


def test_the_files_fit_the_pack_and_its_library_draws_with_them(trained):
    folder = trained / "export"
    files = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert {name for name in files if name.endswith(".safetensors")} == set(export.FILES.values())
    assert sum((folder / name).stat().st_size for name in files) <= 24e6
    mini = exported.load_mini(folder)
    scenes = world.draw_scenes(2, SEED)
    embeddings = mini.embed(world.render(scenes))
    assert embeddings.shape == (2, CONFIG["model_cfg"]["embed_dim"])
    imagined = mini.imagine(["a red star", "a blue square on black"], steps=2, cfg=2.0)
    assert imagined.shape == embeddings.shape
    drawn = mini.draw(torch.cat((embeddings, imagined)), steps=2)
    assert drawn.shape == (4, 3, 64, 64)
    assert drawn.isfinite().all()


def test_the_exported_clip_is_the_trained_one(trained):
    mini = exported.load_mini(trained / "export")
    clip = trained_clip(trained)
    pictures = world.render(world.draw_scenes(4, SEED))
    pictures = (pictures * 255).round() / 255
    ours = normalised(embed_all(clip, pictures))
    theirs = normalised(mini.embed(pictures))
    assert (ours - theirs).abs().max() < 5e-3  # weights in fp16: 2⁻¹¹ of each, over ten layers
    texts = captions.write_captions(world.draw_scenes(4, SEED), SEED)
    tokens = trim(build_tokenizer(trained)(texts))
    states, pooled = text_states(clip, tokens)
    told = mini.clip.encode_text(texts)
    assert torch.equal(told.mask.sum(1), (tokens != 0).sum(1))
    assert (normalised(pooled) - normalised(told.pooled)).abs().max() < 5e-3
    assert (states - told.states[:, : states.shape[1]])[tokens != 0].abs().max() < 2e-2


def test_the_unet_learns_on_white_embeddings_and_is_used_on_plain_ones(trained):
    embeddings = torch.randn(500, 16) * torch.logspace(-1, 2, 16) + 3
    whitening = whitening_of(embeddings, 0.0)
    white = embeddings @ whitening
    assert (white.T @ white / 500 - torch.eye(16)).abs().max() < 1e-3
    noisy = torch.linalg.eigvalsh(whitening_of(embeddings, 10.0))
    assert noisy.max() <= 0.1 * (1 + 1e-4)  # what drowns in noise is not blown up beyond it

    learning = unet_model.learn_as_of_white(
        unet_model.build_unet(), torch.eye(unet_model.EMBEDDING)
    )
    learning.load_state_dict(
        torch.load(runs.state_file("unet", trained), weights_only=True)["average"]
    )
    used = unet_model.trained_unet(trained)
    assert used.state_dict().keys() == unet_model.build_unet().state_dict().keys()
    x, given = torch.randn(2, 4, 8, 8), torch.randn(2, 1, unet_model.EMBEDDING)
    with torch.no_grad():
        told = [unet(x, torch.tensor([500.0, 20.0]), given) for unet in (learning, used)]
    assert torch.allclose(*told, atol=1e-5)


def stream_frames(path: Path, size: int) -> torch.Tensor:
    """(F, 3, size, size) in 0..1, as Video → CLIP Drift gets them."""
    with open_frames(path, size) as stream:
        frames = torch.cat([batch.frames for batch in stream])
    return frames.permute(0, 3, 1, 2).float() / 255


def test_a_run_begins_with_exported_weights(trained, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "CHUNK", 256)
        patch.setattr(pairs, "COUNT", 256)
        for part in begin.BUILDERS:
            begin.begin(part, trained / "export", tmp_path)
        shipped = exported.load_mini(trained / "export").unet
        begun = unet_model.trained_unet(tmp_path)
        x, given = torch.randn(2, 4, 8, 8), torch.randn(2, 1, unet_model.EMBEDDING)
        with torch.no_grad():
            told = [unet(x, torch.tensor([500.0, 20.0]), given) for unet in (shipped, begun)]
        assert torch.allclose(*told, atol=1e-4)  # float32, to the white embeddings and back
        with pytest.raises(SystemExit, match="is there already"):
            begin.begin("unet", trained / "export", tmp_path)
        train.main(["unet", "--steps", "1", "--rate", "1e-4", "--runs", str(tmp_path)])
    assert runs.progress_of("unet", tmp_path)["step"] == 1
    assert runs.progress_of("unet", tmp_path)["plan"]["rate"] == 1e-4
