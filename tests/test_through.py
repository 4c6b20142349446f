"""The way through a text encoder: tower, inversion, end token, captions."""

import itertools

import pytest
import torch
from open_clip import CLIP
from pack.clip_drift.errors import DriftError
from pack.clip_drift.through import inversion
from pack.clip_drift.through.bank import BANK, read_bank
from pack.clip_drift.through.captions import caption_path, shortest_path
from pack.clip_drift.through.end_token import end_token_shifts
from pack.clip_drift.through.inversion import invert
from pack.clip_drift.through.layouts import tower_from_state
from pack.clip_drift.through.report import reading
from torch.nn import functional

WIDTH, DIM, WINDOW, VOCABULARY, END = 32, 24, 16, 64, 9
TEXT_CFG = {
    "context_length": WINDOW,
    "vocab_size": VOCABULARY,
    "width": WIDTH,
    "heads": 4,
    "layers": 3,
}
VISION_CFG = {"image_size": 8, "patch_size": 8, "width": 8, "head_width": 8, "layers": 1}


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = CLIP(DIM, VISION_CFG, TEXT_CFG).train(False).requires_grad_(False)
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):  # open_clip begins with zeros, which would hide mistakes
                parameter.normal_(std=0.1)
    return model


@pytest.fixture(scope="module")
def tower(model):
    return tower_from_state(model.state_dict(), activation="gelu", heads=4)


@pytest.fixture(scope="module")
def prompt(tower):
    """(1, 10, W): a start, eight words, and the end."""
    tokens = torch.randint(1, VOCABULARY - 1, (1, END + 1), generator=_seeded(1))
    tokens[0, -1] = VOCABULARY - 1
    return tower.embed(tokens)


@pytest.fixture(scope="module")
def targets(tower, prompt):
    """Text vectors of six prompts on the straight way to one with other free words."""
    other = prompt.clone()
    other[:, FREE > 0] = tower.embed(torch.tensor([[11, 22, 33]]))
    with torch.no_grad():
        return tower.text_vector(
            torch.lerp(prompt, other, torch.linspace(0, 1, 6)[:, None, None]), END
        )


FREE = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 1, 0.0])


def _seeded(seed):
    return torch.Generator().manual_seed(seed)


# --- The tower ------------------------------------------------------------------------------------


def test_the_tower_gives_what_open_clip_gives(model, tower):
    tokens = torch.randint(1, VOCABULARY - 1, (3, WINDOW), generator=_seeded(4))
    ends = torch.tensor([5, 9, WINDOW - 1])
    tokens[torch.arange(3), ends] = VOCABULARY - 1  # open_clip takes the largest number as the end
    with torch.no_grad():
        expected = functional.normalize(model.encode_text(tokens), dim=-1)
        vectors = tower.text_vector(tower.embed(tokens), ends)
    torch.testing.assert_close(vectors, expected, rtol=0, atol=1e-6)


def test_both_layouts_are_one_tower(model, tower, prompt):
    state = _as_hugging_face(model.state_dict())
    other = tower_from_state(state, activation="gelu", heads=4)
    vector = other.text_vector(prompt, END)
    torch.testing.assert_close(vector, tower.text_vector(prompt, END), rtol=0, atol=1e-6)


def test_what_stands_behind_the_end_and_in_half_precision_changes_nothing_much(
    model, tower, prompt
):
    longer = torch.cat((prompt, torch.randn(1, 4, WIDTH, generator=_seeded(5))), dim=1)
    alone = tower.text_vector(prompt, END)
    # Other lengths are other kernels: equal to round-off.
    torch.testing.assert_close(tower.text_vector(longer, END), alone, rtol=0, atol=1e-6)
    half = {name: tensor.half() for name, tensor in model.state_dict().items()}
    small = tower_from_state(half, activation="gelu", heads=4)
    rounded = tower_from_state({n: t.float() for n, t in half.items()}, activation="gelu", heads=4)
    assert torch.equal(small.text_vector(prompt, END), rounded.text_vector(prompt, END))


def test_a_prefix_run_once_is_the_same_as_run_again(tower, prompt):
    prefix = tower.prefix(prompt[:, :6])
    vector = tower.text_vector(prompt[:, 6:], END - 6, prefix)
    torch.testing.assert_close(vector, tower.text_vector(prompt, END), rtol=0, atol=1e-6)


def test_the_gradient_is_the_slope(tower, prompt, targets):
    doubled = prompt.double().requires_grad_()

    def cosine(x):
        return (tower.text_vector(x, END).double() * targets[-1].double()).sum()

    (gradient,) = torch.autograd.grad(cosine(doubled), doubled)
    direction = torch.randn(prompt.shape, generator=_seeded(6), dtype=torch.float64)
    step = 1e-6
    with torch.no_grad():
        slope = (cosine(doubled + step * direction) - cosine(doubled - step * direction)) / (
            2 * step
        )
    # Central differences are off by step² times the third derivative.
    assert float((gradient * direction).sum()) == pytest.approx(float(slope), rel=1e-6)


def test_a_model_without_a_text_tower_is_an_error():
    with pytest.raises(DriftError, match="holds no CLIP text tower"):
        tower_from_state({"visual.proj": torch.zeros(2, 2)})


# --- Inversion ------------------------------------------------------------------------------------


def test_the_motion_arrives_and_only_free_words_move(tower, prompt, targets):
    moved = invert(tower, prompt, targets, FREE, keep=0.0, steps=100)
    assert torch.equal(moved.deltas[:, FREE == 0], torch.zeros(6, 7, WIDTH))
    assert moved.before[-1] < 0.97
    assert moved.reached.min() > 0.9  # Adam's steps are of one length: it circles near the end
    with torch.no_grad():  # and the vectors are there when the whole prompt is run
        there = tower.text_vector(prompt + moved.deltas, END)
    torch.testing.assert_close((there * targets).sum(-1), moved.after, rtol=0, atol=1e-5)


def test_a_frame_at_its_target_stays(tower, prompt, targets):
    moved = invert(tower, prompt, targets, FREE, smooth=0.1, steps=5)
    assert not moved.deltas[0].any()
    assert moved.reached[0] == 1
    assert all(frame.any() for frame in moved.deltas[1:])


def test_the_same_twice_and_in_inference_mode(tower, model, prompt, targets):
    once = invert(tower, prompt, targets, FREE, steps=5)
    with torch.inference_mode():
        state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        other = tower_from_state(state, activation="gelu", heads=4)
        again = invert(other, prompt.clone(), targets.clone(), FREE.clone(), steps=5)
    assert torch.equal(once.deltas, again.deltas)


def test_it_descends_the_objective(tower, prompt, targets):
    keep, smooth = 0.02, 0.05

    def objective(deltas):
        cosines = (tower.text_vector(prompt + deltas, END) * targets).sum(-1)
        steps = deltas.diff(dim=0)
        return float(
            (1 - cosines).sum() + keep * deltas.square().sum() + smooth * steps.square().sum()
        )

    values = [
        objective(
            invert(tower, prompt, targets, FREE, keep=keep, smooth=smooth, steps=n, rate=0.1).deltas
        )
        for n in (0, 5, 60)
    ]
    assert values == sorted(values, reverse=True)
    # Its first step goes along the signs of the objective's slope, taken here by autograd.
    deltas = torch.zeros(6, *prompt.shape[1:], requires_grad=True)
    start = torch.randn(deltas.shape, generator=_seeded(7)) * FREE[:, None] * 0.01
    start[0] = 0
    with torch.no_grad():
        deltas += start
    cosines = (tower.text_vector(prompt + deltas, END) * targets).sum(-1)
    total = (1 - cosines).sum() + keep * deltas.square().sum()
    total = total + smooth * deltas.diff(dim=0).square().sum()
    (slope,) = torch.autograd.grad(total, deltas)
    one = invert(
        tower, prompt, targets, FREE, keep=keep, smooth=smooth, steps=1, start=start, rate=0.01
    ).deltas
    free = FREE > 0
    clear = slope[1:, free].abs() > 1e-5
    assert torch.equal((start - one)[1:, free].sign()[clear], slope[1:, free].sign()[clear])


def test_smoothness_brings_neighbours_together(tower, prompt, targets):
    rough = invert(tower, prompt, targets, FREE, smooth=0.0)
    smooth = invert(tower, prompt, targets, FREE, smooth=1.0)
    assert smooth.deltas.diff(dim=0).norm() < 0.7 * rough.deltas.diff(dim=0).norm()


def test_a_word_that_is_half_free_moves_less(tower, prompt, targets):
    half = FREE.clone()
    half[7] = 0.5
    whole_way = invert(tower, prompt, targets, FREE, steps=3, rate=0.1).per_token[1:]
    half_way = invert(tower, prompt, targets, half, steps=3, rate=0.1).per_token[1:]
    # Adam's steps are about as long for every entry, whatever its slope: half of a word's is left.
    ratio = (half_way / whole_way)[:, 7]
    assert ((ratio > 0.4) & (ratio < 0.6)).all()


def test_it_stops_early_and_tells_the_steps(tower, prompt, targets):
    seen = []
    moved = invert(
        tower, prompt, targets, FREE, keep=0.0, steps=200, tolerance=0.005,
        on_step=lambda step, steps, cosine: seen.append((step, steps, cosine)),
    )  # fmt: skip
    assert 0 < moved.steps < 200
    assert (1 - moved.after <= 0.005).all()
    assert [step for step, *_ in seen] == list(range(moved.steps))
    assert seen[-1][2] > seen[0][2]


def test_cancelling_ends_it(tower, prompt, targets):
    def cancel(step, *_):
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        invert(tower, prompt, targets, FREE, on_step=cancel)


def test_a_frame_that_breaks_keeps_its_last_good_state(tower, prompt, targets, monkeypatch):
    """Frame 3's numbers are broken from the fourth look at them on."""
    looks = itertools.count()
    true = inversion._Problem.cosines

    def broken(self, deltas, its_targets):
        cosines = true(self, deltas, its_targets)
        if len(cosines) == 6 and next(looks) >= 3 and deltas[3].norm() > good:
            cosines = cosines.clone()
            cosines[3] = torch.nan * cosines[3]
        return cosines

    good = float(invert(tower, prompt, targets, FREE, steps=2, rate=0.1).deltas[3].norm()) + 1e-6
    monkeypatch.setattr(inversion._Problem, "cosines", broken)
    moved = invert(tower, prompt, targets, FREE, steps=10, rate=0.1)
    monkeypatch.undo()
    assert moved.lost == (3,)
    expected = invert(tower, prompt, targets, FREE, steps=10, rate=0.1)
    after_two = invert(tower, prompt, targets, FREE, steps=2, rate=0.1)
    assert torch.equal(moved.deltas[3], after_two.deltas[3])
    assert torch.equal(moved.deltas[5], expected.deltas[5])


def test_too_little_memory_takes_fewer_frames_at_once(tower, prompt, targets, monkeypatch):
    true, sizes = inversion._Problem.cosines, []

    def cramped(self, deltas, its_targets):
        sizes.append(len(deltas))
        if len(deltas) > 2:
            raise torch.OutOfMemoryError
        return true(self, deltas, its_targets)

    expected = invert(tower, prompt, targets, FREE, steps=4, smooth=0.1)
    monkeypatch.setattr(inversion._Problem, "cosines", cramped)
    moved = invert(tower, prompt, targets, FREE, steps=4, smooth=0.1)
    assert sizes[1:4] == [6, 3, 2]
    torch.testing.assert_close(moved.deltas, expected.deltas, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"free": torch.zeros(END + 1)}, "no word may move"),
        ({"targets": torch.ones(2, DIM + 1)}, "25 dimensions, but .* into 24"),
        ({"embeddings": torch.ones(1, END + 1, 7)}, r"not \(1, 10, 7\)"),
        ({"embeddings": torch.full((1, END + 1, WIDTH), torch.nan)}, "NaN or infinity"),
    ],
)
def test_bad_input_is_one_sentence(tower, prompt, targets, change, message):
    given = {"embeddings": prompt, "targets": targets, "free": FREE} | change
    with pytest.raises(DriftError, match=message):
        invert(tower, **given)


def test_a_tower_without_a_projection_names_who_has_one(model, prompt, targets):
    state = {k: v for k, v in model.state_dict().items() if k != "text_projection"}
    with pytest.raises(DriftError, match="connect the OpenCLIP encoder"):
        invert(tower_from_state(state, activation="gelu", heads=4), prompt, targets, FREE)


# --- The end token --------------------------------------------------------------------------------


def test_the_end_token_reaches_its_target_exactly():
    projection = torch.randn(DIM, WIDTH, generator=_seeded(8))
    state = torch.randn(WIDTH, generator=_seeded(9))
    targets = functional.normalize(torch.randn(5, DIM, generator=_seeded(10)), dim=-1)
    vector = projection @ state
    targets[0] = vector / vector.norm()
    shifts = end_token_shifts(projection, state, targets)
    assert not shifts[0].any()
    there = (state + shifts) @ projection.mT
    # λ is a thousandth of the median singular value: exact to about a millionth.
    torch.testing.assert_close(there / vector.norm(), targets, rtol=0, atol=2e-5)
    # And no shorter shift would do: none of it is in what P does not see.
    blind = torch.linalg.svd(projection.double()).Vh[DIM:]
    assert (shifts.double() @ blind.mT).abs().max() < 1e-5


def test_directions_that_the_projection_hardly_sees_are_damped():
    strengths = torch.tensor([1.0, 1.0, 1.0, 1e-6])
    state = torch.tensor([1.0, 0, 0, 0])
    target = functional.normalize(torch.tensor([[1.0, 0, 0, 0.5]]), dim=-1)
    shift = end_token_shifts(torch.diag(strengths), state, target)
    # s / (s² + λ²) with s = 1e-6 and λ = 1e-3 is 1, where the plain inverse is a million.
    assert shift[0, 3] == pytest.approx(float(target[0, 3]), rel=1e-4)


# --- Captions -------------------------------------------------------------------------------------


def test_the_shortest_path_is_the_best_of_all():
    costs = torch.rand(5, 4, generator=_seeded(11), dtype=torch.float64)
    steps = torch.rand(4, 4, generator=_seeded(12), dtype=torch.float64)

    def total(path):
        return sum(costs[i, c] for i, c in enumerate(path)) + sum(
            steps[a, b] for a, b in itertools.pairwise(path)
        )

    best = min(itertools.product(range(4), repeat=5), key=total)
    assert tuple(shortest_path(costs, steps).tolist()) == best


def test_captions_follow_the_targets_and_a_jump_costs():
    bank = torch.eye(3)
    targets = torch.tensor([[1, 0.1, 0], [0.1, 1, 0], [0.9, 1, 0.0], [1, 0.9, 0], [0, 0, 1]])
    free = caption_path(bank, targets, jump=0.0)
    assert free.indices.flatten().tolist() == [0, 1, 1, 0, 2]
    assert free.weights.eq(1).all()
    # Frame 3 prefers caption 0 by 0.1 / 1.35; two jumps there and on cost what one costs.
    steady = caption_path(bank, targets, jump=0.5)
    assert steady.indices.flatten().tolist() == [0, 1, 1, 1, 2]


def test_a_mix_is_nearer_than_one_caption():
    bank = torch.eye(3)
    targets = torch.tensor([[1.0, 1.0, 0.0]])
    one = caption_path(bank, targets)
    two = caption_path(bank, targets, nearest=2)
    assert one.cosines == pytest.approx(0.5**0.5)
    assert two.cosines == pytest.approx(1)
    assert two.weights.flatten().tolist() == [0.5, 0.5]
    assert caption_path(bank, targets, nearest=9).indices.shape == (1, 3)


def test_a_bad_bank_is_an_error():
    with pytest.raises(DriftError, match="bank of captions is empty"):
        caption_path(torch.zeros(0, 3), torch.eye(3))
    with pytest.raises(DriftError, match="2 dimensions and the motion 3"):
        caption_path(torch.eye(2), torch.eye(3))
    with pytest.raises(DriftError, match="give 1 or more"):
        caption_path(torch.eye(3), torch.eye(3), nearest=0)


def test_the_bank_says_much_and_nothing_twice():
    phrases = [phrase for group in BANK.values() for phrase in group]
    assert len(phrases) >= 300
    assert len(set(phrases)) == len(phrases)
    assert "in the middle" in BANK["place"]
    assert read_bank("") == phrases
    assert read_bank(" one \n\n# a remark\ntwo\n") == ["one", "two"]
    with pytest.raises(DriftError, match="captions holds no text"):
        read_bank("# nothing\n")


# --- The report -----------------------------------------------------------------------------------


def test_the_reading_says_what_each_frame_says(tower, prompt, targets):
    moved = invert(tower, prompt, targets, FREE, steps=20)
    bank = torch.cat((targets[:1], targets[-1:]))
    report = reading(moved, targets, bank, ["here", "there"])
    assert report.captions[0] == "here"
    assert report.captions[-1] == "there"
    assert torch.equal(report.per_token, moved.per_token.mean(0))
    lines = report.lines()
    assert len(lines) == 6
    assert lines[0].startswith("frame 0: here")
    assert f"{100 * float(moved.reached[-1]):.0f} %" in lines[-1]


def test_the_reading_says_what_to_change(tower, prompt, targets):
    def advice(free, targets, steps):
        moved = invert(tower, prompt, targets, free, keep=0.0, steps=steps)
        return reading(moved, targets, targets[:1], ["here"]).advice()

    assert advice(FREE, targets, 100) is None
    assert "Try another carrier" in advice(FREE, targets, 0)
    assert "already stands" in advice(FREE, targets[:1].repeat(6, 1), 1)


def _as_hugging_face(state):
    """An open_clip text tower's tensors under Hugging Face's names."""
    names = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "attn.out_proj": "self_attn.out_proj"}
    names |= {"mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
    result = {
        "text_model.embeddings.token_embedding.weight": state["token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": state["positional_embedding"],
        "text_model.final_layer_norm.weight": state["ln_final.weight"],
        "text_model.final_layer_norm.bias": state["ln_final.bias"],
        "text_projection.weight": state["text_projection"].mT.contiguous(),
    }
    for number in range(TEXT_CFG["layers"]):
        old, new = f"transformer.resblocks.{number}", f"text_model.encoder.layers.{number}"
        for part in ("weight", "bias"):
            for theirs, ours in names.items():
                result[f"{new}.{ours}.{part}"] = state[f"{old}.{theirs}.{part}"]
            chunks = state[f"{old}.attn.in_proj_{part}"].chunk(3)
            for letter, chunk in zip("qkv", chunks, strict=True):
                result[f"{new}.self_attn.{letter}_proj.{part}"] = chunk
    return result
