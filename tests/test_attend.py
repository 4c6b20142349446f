"""Attend to First Frame: what it computes, in which models it works, and in how many calls.

Models are core's classes at a small size with random weights (core_models.py), and the small
Kandinsky 2.2 decoder of the pack's own tests.
"""

import importlib

import pytest
import torch
from pack.clip_drift.attend import MODES, attend, from_rows, source_rows
from pack.clip_drift.errors import DriftError
from torch.nn.functional import scaled_dot_product_attention

F = 4
SAME = 5e-4  # of the largest number


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


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# --- The mathematics, against attention written out frame by frame --------------------------------


def written_out(q, k, v, chunks: int, mode: str, own: int) -> torch.Tensor:
    """Each row's attention alone, keys and values picked by hand."""
    count = len(q) // chunks
    out = []
    for row in range(len(q)):
        first, frame = row // count * count, row % count
        others = {
            "first": [first],
            "first and own": [first, row],
            "first and previous": [first, max(row - 1, first)],
        }[mode]
        keys = torch.cat([torch.cat([k[row, :own], k[other, own:]]) for other in others])
        values = torch.cat([torch.cat([v[row, :own], v[other, own:]]) for other in others])
        shares = torch.softmax(q[row] @ keys.T / q.shape[-1] ** 0.5, -1)
        out.append(shares @ values)
        if frame == 0:  # in every mode frame 0 is drawn as if alone
            alone = torch.softmax(q[row] @ k[row].T / q.shape[-1] ** 0.5, -1) @ v[row]
            torch.testing.assert_close(out[-1], alone)
    return torch.stack(out)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("chunks", [1, 2])
@pytest.mark.parametrize("own", [0, 3])
def test_each_mode_is_attention_to_those_frames(mode, chunks, own):
    q, k, v = (randn(chunks * F, 12 + own * (i > 0), 8, seed=i).double() for i in range(3))
    rows = source_rows(range(F), chunks, mode)
    got = attend(scaled_dot_product_attention, q, k, v, rows, own=own)
    torch.testing.assert_close(got, written_out(q, k, v, chunks, mode, own))


def test_strength_mixes_results():
    q, k, v = (randn(F, 12, 8, seed=i) for i in range(3))
    rows = source_rows(range(F), 1, "first and own")
    own = scaled_dot_product_attention(q, k, v)
    there = attend(scaled_dot_product_attention, q, k, v, rows)
    got = attend(scaled_dot_product_attention, q, k, v, rows, strength=0.25)
    torch.testing.assert_close(got, 0.75 * own + 0.25 * there)


def test_rows_are_found_by_their_numbers():
    """In a window the first row need not be frame 0, nor the row before the frame before."""
    first, previous = source_rows([7, 0, 3, 4], 2, "first and previous")
    assert first.tolist() == [1, 1, 1, 1, 5, 5, 5, 5]
    assert previous.tolist() == [1, 1, 1, 2, 5, 5, 5, 6]  # 6 and 2 are missing: frame 0's instead


def test_tokens_may_lie_in_another_dimension():
    x = randn(4, 2, 6, 8)
    rows = source_rows(range(4), 1, "first and own")
    got = from_rows(x, rows, own=2, dim=2)
    assert got.shape == (4, 2, 12, 8)
    torch.testing.assert_close(got[3], torch.cat([x[3, :, :2], x[0, :, 2:], x[3]], 1))


def test_what_cannot_be_is_refused():
    with pytest.raises(DriftError, match="frame 3 is sampled without frame 0"):
        source_rows([3], 1, "first")
    with pytest.raises(DriftError, match="choose one of first"):
        source_rows([0], 1, "last")


# --- In real models ------------------------------------------------------------------------------

WIDTHS = {"sd15": (77, 768, None), "sdxl": (77, 2048, 1280), "flux": (16, 4096, 768)}
CHANNELS = {"sd15": 4, "sdxl": 4, "flux": 16}


def prompts(name: str, frames: int = F, seed: int = 1) -> list:
    count, width, pooled = WIDTHS[name]
    extra = {} if pooled is None else {"pooled_output": randn(frames, pooled, seed=seed + 1)}
    return [[randn(frames, count, width, seed=seed), extra]]


def canvas(name: str, frames: int = F) -> dict:
    return {"samples": torch.zeros(frames, CHANNELS[name], 8, 8), "batch_index": [*range(frames)]}


@pytest.fixture(scope="module")
def attending(pack, models):
    """`attending(name, mode, …)`: a small model that attends to the first frame."""

    def make(name, mode="first and own", strength=1.0, start=0.0, end=1.0, blocks="all"):
        node = pack.nodes.consistency.ClipDriftAttendFirst
        model = getattr(models, name)()
        return node.execute(model, mode, strength, start, end, blocks).args[0]

    return make


@pytest.fixture(scope="module")
def drawn(models):
    """Core's KSampler with a negative of its own: `drawn(model, name, prompts, latent)`."""

    def run(model, name, positive=None, latent=None, **options):
        positive = prompts(name) if positive is None else positive
        latent = canvas(name) if latent is None else latent
        negative = prompts(name, 1, seed=9)
        return models.sample(model, positive, latent, negative, **options)[0]

    return run


def apart(a: torch.Tensor, b: torch.Tensor) -> float:
    """The largest difference, of the largest number."""
    return float((a - b).abs().max() / b.abs().max())


@pytest.mark.parametrize("name", WIDTHS)
def test_it_changes_every_frame_but_the_first(models, attending, drawn, name):
    plain = drawn(getattr(models, name)(), name)
    assert torch.equal(drawn(attending(name, strength=0.0), name), plain)
    for mode in MODES:
        changed = drawn(attending(name, mode), name)
        steps = [apart(a, b) for a, b in zip(changed, plain, strict=True)]
        print(f"{name}, {mode}: frame 0 {steps[0]:.1e}, the others from {min(steps[1:]):.1e}")
        assert steps[0] < SAME
        assert min(steps[1:]) > 20 * SAME


@pytest.mark.parametrize(
    ("name", "mode", "strength"),
    [
        ("sd15", "first", 1.0),
        ("sd15", "first and own", 0.4),
        ("sdxl", "first and own", 1.0),
        ("flux", "first", 1.0),
        ("flux", "first and own", 0.4),
    ],
)
def test_list_and_chunks_give_the_frames_of_the_batch(pack, attending, drawn, name, mode, strength):
    model = attending(name, mode, strength)
    batch = drawn(model, name)
    split = pack.nodes.frames.ClipDriftFrames.execute
    listed = []
    for start, count in ((0, 2), (2, 0)):
        parts = split(prompts(name), canvas(name), start, count, anchor=True).args
        for positive, latent in zip(*parts, strict=True):
            # As Latent From Batch with batch_index -1 does.
            listed.append(drawn(model, name, positive, latent)[-1:])
    difference = apart(torch.cat(listed), batch)
    print(f"{name}, {mode}, {strength}: list against batch {difference:.1e}")
    assert difference < SAME


def test_a_loop_gives_the_frames_of_the_batch(pack, attending, drawn):
    """Frame Loop's nodes one after another, as its end expands them."""
    loop, model = pack.nodes.loop, attending("sd15")
    given = prompts("sd15"), canvas("sd15"), 0.0
    length, positive, latent, _ = loop.ClipDriftLoopStart.execute(*given, anchor=True).args
    assert length == (F, True)
    results = [{**latent, "samples": drawn(model, "sd15", positive, latent)}]
    for i in range(1, F):
        step = loop.ClipDriftLoopStep.execute(*given, results[-1], i, anchor=True)
        _, positive, latent, _ = step.args
        results.append({**latent, "samples": drawn(model, "sd15", positive, latent)})
    frames = {f"frame_{i}": result for i, result in enumerate(results)}
    (joined,) = loop.ClipDriftLoopCollect.execute(anchor=True, **frames).args
    assert joined["batch_index"] == list(range(F))
    assert apart(joined["samples"], drawn(model, "sd15")) < SAME


def test_feedback_reaches_the_frame_and_not_its_anchor(pack):
    loop, latent = pack.nodes.loop, canvas("sd15")
    before = {"samples": torch.ones(2, 4, 8, 8)}
    given = prompts("sd15"), latent, 0.25, before, 2
    _, _, begun, _ = loop.ClipDriftLoopStep.execute(*given, anchor=True).args
    assert begun["samples"][0].eq(0).all()
    assert begun["samples"][1].eq(0.25).all()


def test_without_its_anchor_a_frame_is_not_drawn(pack, attending, drawn):
    """It would attend to itself, and nothing would tell."""
    parts = pack.nodes.frames.ClipDriftFrames.execute(prompts("sd15"), canvas("sd15"), 2, 1).args
    with pytest.raises(ValueError, match="frame 2 is sampled without frame 0"):
        drawn(attending("sd15"), "sd15", parts[0][0], parts[1][0])


def test_first_and_previous_needs_all_frames_at_once(pack, attending, drawn):
    split = pack.nodes.frames.ClipDriftFrames.execute
    parts = split(prompts("sd15"), canvas("sd15"), 2, 1, anchor=True).args
    with pytest.raises(ValueError, match="needs frame 1 beside frame 2"):
        drawn(attending("sd15", "first and previous"), "sd15", parts[0][0], parts[1][0])


@pytest.mark.parametrize("blocks", ["down", "middle", "up"])
def test_blocks_and_percents_limit_it(attending, drawn, blocks):
    whole = drawn(attending("sd15"), "sd15", steps=1)
    part = drawn(attending("sd15", blocks=blocks), "sd15", steps=1)
    never = drawn(attending("sd15", start=0.99), "sd15", steps=1)
    plain = drawn(attending("sd15", strength=0.0), "sd15", steps=1)
    assert apart(never, plain) == 0
    assert apart(part, plain) > 20 * SAME
    assert apart(part, whole) > 20 * SAME


def test_areas_and_regions_are_chunks_of_their_own(attending, drawn):
    """An area has fewer pixels, and a second prompt for the positive is one more chunk."""
    whole, area = prompts("sd15"), prompts("sd15", seed=3)
    area[0][1] = {**area[0][1], "area": (8, 4, 0, 0), "strength": 1.0}
    both = whole + area + prompts("sd15", seed=5)
    model = attending("sd15")
    batch = drawn(model, "sd15", both)
    one = [[tokens[[0, 3]], extra | {"clip_drift_frames": [0, 3]}] for tokens, extra in both]
    latent = {"samples": torch.zeros(2, 4, 8, 8), "batch_index": [0, 3]}
    assert apart(drawn(model, "sd15", one, latent), batch[[0, 3]]) < SAME


def test_models_without_such_attention_are_refused(models, attending):
    with pytest.raises(ValueError, match="Kandinsky5, whose self-attention core lets no patch"):
        attending("kandinsky5_image")
    with pytest.raises(ValueError, match="WanModel, whose self-attention core lets no patch"):
        attending("wan")
    with pytest.raises(ValueError, match="Flux has one resolution"):
        attending("flux", blocks="up")
    with pytest.raises(ValueError, match="let it end after it starts"):
        attending("sd15", start=0.5, end=0.4)


# --- Core's context windows ----------------------------------------------------------------------

LONG = 9


@pytest.fixture(scope="module")
def windowed(pack):
    """`windowed(model, …)`: core's Context Windows (Manual) over image batches."""
    node = importlib.import_module("comfy_extras.nodes_context_windows").ContextWindowsManualNode

    def make(model, length=4, overlap=1, schedule="standard_static", **options):
        given = {"context_stride": 1, "closed_loop": False, "fuse_method": "pyramid", "dim": 0}
        given |= {"freenoise": False} | options
        return node.execute(model, length, overlap, schedule, **given).args[0]

    return make


@pytest.mark.parametrize("mode", [None, "first", "first and own"])
@pytest.mark.parametrize("fix", [True, False])
def test_windows_give_the_frames_of_the_whole_batch(models, attending, drawn, windowed, mode, fix):
    model = models.sd15() if mode is None else attending("sd15", mode)
    given = prompts("sd15", LONG), canvas("sd15", LONG)
    whole = drawn(model, "sd15", *given)
    split = drawn(windowed(model, causal_window_fix=fix), "sd15", *given)
    difference = apart(split, whole)
    print(f"{mode}, causal_window_fix {fix}: windows against whole {difference:.1e}")
    assert difference < SAME


def test_looped_windows_too(attending, drawn, windowed):
    """Their frames do not come in order."""
    model = attending("sd15", "first and own")
    given = prompts("sd15", LONG), canvas("sd15", LONG)
    options = {"schedule": "looped_uniform", "closed_loop": True, "context_stride": 2}
    split = drawn(windowed(model, **options), "sd15", *given)
    assert apart(split, drawn(model, "sd15", *given)) < SAME


def test_the_order_of_the_two_nodes_does_not_matter(pack, models, attending, drawn, windowed):
    given = prompts("sd15", LONG), canvas("sd15", LONG)
    node = pack.nodes.consistency.ClipDriftAttendFirst
    before = node.execute(windowed(models.sd15()), "first", 1.0, 0.0, 1.0, "all").args[0]
    after = windowed(attending("sd15", "first"))
    assert torch.equal(drawn(before, "sd15", *given), drawn(after, "sd15", *given))


def test_previous_frames_in_windows_are_close_but_not_the_same(attending, drawn, windowed):
    """What the frame before attended to lies outside of the window."""
    model = attending("sd15", "first and previous")
    given = prompts("sd15", LONG), canvas("sd15", LONG)
    difference = apart(drawn(windowed(model), "sd15", *given), drawn(model, "sd15", *given))
    print(f"first and previous: windows against whole {difference:.1e}")
    assert difference > SAME


def test_a_shorter_walk_than_the_batch_is_refused(attending, drawn):
    """Core repeats the prompts from the first, or in windows takes the first ones for each."""
    with pytest.raises(ValueError, match="3 frames but the latent 4"):
        drawn(attending("sd15"), "sd15", prompts("sd15", 3))


# --- Kandinsky 2.2, whose pixels and image tokens share keys --------------------------------------


@pytest.fixture(scope="module")
def decoder(pack, tmp_path_factory):
    from pack.workshop.rig.kandinsky_sampling import Decoder

    return Decoder(pack, tmp_path_factory.mktemp("decoder"))


def test_kandinsky_keeps_each_frames_own_image_tokens(pack, models, decoder):
    """Frame 0 stays, the others change; and with all pixels the same their images still count."""
    from pack.workshop.rig.kandinsky_sampling import conditioning, embedding

    def run(model, frames: list[int]) -> torch.Tensor:
        positive = conditioning(embedding(4, F)[frames])
        positive[0][1]["clip_drift_frames"] = frames
        latent = {"samples": torch.zeros(len(frames), 4, 8, 8), "batch_index": frames}
        return models.sample(model, positive, latent, conditioning(embedding(5)))[0]

    plain = decoder.model(clip_x0=True)
    node = pack.nodes.consistency.ClipDriftAttendFirst
    for mode in ("first", "first and own"):
        model = node.execute(plain, mode, 1.0, 0.0, 1.0, "all").args[0]
        batch = run(model, [*range(F)])
        steps = [apart(a, b) for a, b in zip(batch, run(plain, [*range(F)]), strict=True)]
        pair = apart(run(model, [0, 2]), batch[[0, 2]])
        print(f"{mode}: frame 0 {steps[0]:.1e}, the others {min(steps[1:]):.1e}, pair {pair:.1e}")
        assert steps[0] < SAME
        assert min(steps[1:]) > 20 * SAME
        assert pair < SAME
    for blocks in ("down", "middle", "up"):
        part = node.execute(plain, "first", 1.0, 0.0, 1.0, blocks).args[0]
        assert apart(run(part, [*range(F)]), run(plain, [*range(F)])) > 4 * SAME
