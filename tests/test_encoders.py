"""Preprocessing, encoding and OpenCLIP: the same embeddings as the library itself would make."""

import json
import socket
import sys
import threading

import av
import numpy as np
import pytest
import torch
from pack.clip_drift.encode import drift_from_images, drift_from_video
from pack.clip_drift.errors import DriftError
from pack.clip_drift.openclip import (
    OpenClipEncoder,
    is_pretrained,
    load_openclip_file,
    load_openclip_tag,
    pretrained_names,
)
from pack.clip_drift.preprocess import cut_square, fit_size, normalise, thumbnails, to_square
from pack.clip_drift.video import open_frames
from pack.tests.video_files import numbered, numbered_video
from PIL import Image
from safetensors.torch import save_file

open_clip = pytest.importorskip("open_clip")

TINY = "ViT-S-32-alt"  # 256 values, the smallest of open_clip's own
SIZE = 224


class Squares:
    """An encoder without weights: what it embeds is a coarse copy of the picture."""

    name = "squares"
    size = 64

    def __init__(self):
        self.seen = []

    def encode(self, pixels):
        assert pixels.shape[1:] == (64, 64, 3)
        assert pixels.dtype == torch.uint8
        self.seen.append(len(pixels))
        return torch.nn.functional.avg_pool2d(pixels.movedim(-1, 1) / 255, 8).flatten(1)


@pytest.fixture(scope="module")
def tiny_model():
    torch.manual_seed(0)
    return open_clip.create_model(TINY).eval()


@pytest.fixture(scope="module")
def tiny_weights(tiny_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("open_clip") / "tiny.safetensors"
    save_file({k: v.contiguous().clone() for k, v in tiny_model.state_dict().items()}, path)
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return numbered_video(tmp_path_factory.mktemp("clips") / "clip.mp4", 20)


@pytest.fixture
def no_internet(monkeypatch):
    def refuse(*_):
        raise AssertionError("asked the internet")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def cosines(a, b):
    return torch.nn.functional.cosine_similarity(a, b, dim=-1)


# --- preprocessing ---


def smooth_picture(height, width, seed=0):
    """Random, but with the detail of a photograph rather than noise."""
    coarse = np.random.default_rng(seed).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.BICUBIC))


@pytest.mark.parametrize(
    "size", [(720, 1280), (1280, 720), (480, 640), (241, 321), (224, 224), (225, 224), (100, 90)]
)
@pytest.mark.parametrize(
    ("crop", "mode"), [("center", "shortest"), ("pad", "longest"), ("stretch", "squash")]
)
def test_pictures_are_prepared_as_open_clip_prepares_them(size, crop, mode, tiny_model):
    picture = smooth_picture(*size)
    theirs = open_clip.image_transform(SIZE, is_train=False, resize_mode=mode)
    encoder = OpenClipEncoder("tiny", tiny_model, torch.float32)
    wanted = theirs(Image.fromarray(picture))[None]
    images = torch.tensor(picture)[None].float() / 255
    square = to_square(images, SIZE, crop)
    ours = normalise(square, encoder.mean, encoder.std)
    assert (ours - wanted).abs().mean() * 0.27 * 255 < 0.2  # grey levels
    with torch.inference_mode():
        reference = tiny_model.encode_image(wanted)
    assert cosines(encoder.encode(square.float() / 255), reference).min() > 0.99999


def clips_to_compare(shared_videos):
    names = ["nasa_13013.mp4", "bt709_full_range.mp4", "h265_video.mp4", "av1_video.mkv"]
    return [shared_videos / name for name in [*names, "h264_10bits.mp4"]]


def test_video_frames_are_prepared_as_open_clip_prepares_the_decoded_frame(
    shared_videos, tiny_model
):
    theirs = open_clip.image_transform(SIZE, is_train=False)
    encoder = OpenClipEncoder("tiny", tiny_model, torch.float32)
    for path in clips_to_compare(shared_videos):
        with open_frames(path, SIZE, max_frames=8) as stream:
            ours = next(stream).frames
        wanted = torch.stack([theirs(Image.fromarray(f)) for f in full_frames(path, len(ours))])
        difference = (normalise(ours, encoder.mean, encoder.std) - wanted).abs().mean() * 0.27 * 255
        with torch.inference_mode():
            similar = cosines(
                encoder.encode(ours.float() / 255), tiny_model.encode_image(wanted)
            ).min()
        print(f"{path.name}: {difference:.2f} grey levels, cosine {similar:.6f}")
        # The 200-pixel clip and the 128-pixel one are enlarged, where cubic kernels differ most.
        assert difference < 1.6, path.name
        assert similar > 0.999, path.name


def full_frames(path, count):
    """Frames at full size, converted with float precision as ComfyUI converts them."""
    with av.open(path) as container:
        frames = container.decode(container.streams.best("video"))
        for _, frame in zip(range(count), frames, strict=False):
            pixels = frame.to_ndarray(format="gbrpf32le")
            yield (pixels.clip(0, 1) * 255).round().astype(np.uint8)


def test_fit_covers_or_holds_the_frame():
    for height, width in [(720, 1280), (1280, 720), (3, 1000), (224, 224), (7, 5)]:
        fit = fit_size(height, width, SIZE, "center")
        assert min(fit.height, fit.width) == SIZE
        assert 0 <= fit.top <= fit.height - SIZE
        assert 0 <= fit.left <= fit.width - SIZE
        fit = fit_size(height, width, SIZE, "pad")
        assert max(fit.height, fit.width) == SIZE
        assert fit_size(height, width, SIZE, "stretch") == (SIZE, SIZE, 0, 0)


def test_pad_is_black_all_round():
    fit = fit_size(50, 100, 32, "pad")
    square = cut_square(torch.full((2, fit.height, fit.width, 3), 9, dtype=torch.uint8), fit, 32)
    assert square.shape == (2, 32, 32, 3)
    assert square[:, :8].max() == square[:, 24:].max() == 0
    assert square[:, 8:24].min() == 9


def test_pictures_with_alpha_are_put_over_black():
    images = torch.rand(2, 40, 50, 4)
    images[..., 3] = 0.2  # 51 of 255, so that 8 bits hold it
    seen = (images[..., :3].mul(255).round() * 0.2).round() / 255
    assert torch.equal(to_square(images, 32), to_square(seen, 32))
    images[..., 3] = 1.0
    assert torch.equal(to_square(images, 32), to_square(images[..., :3], 32))


def test_thumbnails_are_antialiased():
    squares = torch.zeros(1, 96, 96, 3, dtype=torch.uint8)
    squares[:, ::2] = 100
    assert thumbnails(squares).shape == (1, 48, 48, 3)
    # Stripes finer than a thumbnail's pixel become their mean, but for the outermost rows.
    assert ((thumbnails(squares)[:, 1:-1].int() - 50).abs() <= 1).all()


# --- drifts ---


def test_drift_of_a_video(clip):
    encoder, calls = Squares(), []
    drift = drift_from_video(
        clip, encoder, batch_size=8, crop="stretch", on_batch=lambda *call: calls.append(call)
    )
    assert len(drift) == 20
    assert drift.encoder == "squares"
    assert drift.source == "clip.mp4"
    assert drift.times.tolist() == pytest.approx([i / 25 for i in range(20)])
    assert drift.thumbnails.shape == (20, 48, 48, 3)
    assert encoder.seen == [8, 8, 4]
    assert [call[:2] for call in calls] == [(8, 20), (16, 20), (20, 20)]
    assert calls[0][2].shape == (48, 48, 3)
    assert torch.nn.functional.normalize(calls[-1][3][-1], dim=0) == pytest.approx(
        drift.embeddings[-1]
    )


def test_a_video_and_its_frames_give_the_same_drift(clip):
    images = torch.stack([torch.from_numpy(numbered(i)) for i in range(20)]).float() / 255
    of_images = drift_from_images(images, Squares(), fps=25, crop="stretch")
    of_video = drift_from_video(clip, Squares(), crop="stretch")
    assert cosines(of_images.embeddings, of_video.embeddings).min() > 0.999
    assert torch.allclose(of_images.times, of_video.times)


def test_cancelling_cleans_up(clip):
    def cancel(done, *_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drift_from_video(clip, Squares(), batch_size=1, on_batch=cancel)
    assert not [t for t in threading.enumerate() if t.name == "clip-drift-video"]


@pytest.mark.parametrize("how", [{"max_frames": 1}, {"sample_fps": 0.1}, {"start": 0.75}])
def test_one_frame_is_too_few(clip, how):
    with pytest.raises(DriftError, match=r"clip\.mp4: one frame was read"):
        drift_from_video(clip, Squares(), **how)


def test_black_and_broken_frames_are_named(clip):
    with pytest.raises(DriftError, match="frame 0 is zero"):
        drift_from_images(torch.zeros(3, 32, 32, 3), Squares())

    class Broken(Squares):
        def encode(self, pixels):
            return super().encode(pixels) * float("nan")

    with pytest.raises(DriftError, match="frame 0 is not finite"):
        drift_from_video(clip, Broken())


def test_total_of_sampled_images():
    totals = []
    drift_from_images(
        torch.rand(30, 16, 16, 3),
        Squares(),
        fps=10,
        sample_fps=5,
        on_batch=lambda done, total, *_: totals.append(total),
    )
    assert totals == [15]


# --- OpenCLIP ---


def test_a_file_is_recognised_by_its_tensors(tiny_weights, tiny_model, no_internet):
    encoder = load_openclip_file(tiny_weights)
    pixels = torch.rand(3, SIZE, SIZE, 3)
    with torch.inference_mode():
        expected = tiny_model.encode_image(normalise(pixels, encoder.mean, encoder.std))
    assert encoder.name == "tiny"
    assert encoder.size == SIZE
    assert isinstance(encoder.model, torch.nn.Module)
    assert next(encoder.model.parameters()).device.type == "cpu"
    assert torch.allclose(encoder.encode(pixels), expected, atol=1e-5)
    with torch.inference_mode():  # the text tower is there too
        tokens = torch.zeros(1, 77, dtype=torch.long)
        assert encoder.model.encode_text(tokens).shape[-1] == expected.shape[-1]


@pytest.mark.parametrize(
    ("precision", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_lower_precision_stays_close(tiny_weights, precision, dtype):
    pixels = torch.rand(2, SIZE, SIZE, 3)
    encoder = load_openclip_file(tiny_weights, precision)
    assert encoder.dtype == dtype
    lower = encoder.encode(pixels)
    assert lower.dtype == torch.float32
    assert cosines(lower, load_openclip_file(tiny_weights).encode(pixels)).min() > 0.995


def test_auto_precision_follows_the_device(tiny_weights):
    assert load_openclip_file(tiny_weights).dtype == torch.float32
    assert load_openclip_file(tiny_weights, device="cuda").dtype == torch.float16
    with pytest.raises(DriftError, match="precision is 'int4'"):
        load_openclip_file(tiny_weights, "int4")


def test_a_config_beside_the_file_decides(tiny_weights, tmp_path):
    weights = tmp_path / "mine.safetensors"
    weights.write_bytes(tiny_weights.read_bytes())
    config = open_clip.get_model_config(TINY)
    config["quick_gelu"] = True
    preprocess = {"mean": [0.1, 0.2, 0.3], "std": [0.5, 0.5, 0.5]}
    content = {"model_cfg": config, "preprocess_cfg": preprocess}
    (tmp_path / "mine.json").write_text(json.dumps(content))
    encoder = load_openclip_file(weights)
    assert encoder.mean == (0.1, 0.2, 0.3)
    pixels = torch.rand(2, SIZE, SIZE, 3)
    assert not torch.allclose(
        encoder.encode(pixels), load_openclip_file(tiny_weights).encode(pixels)
    )

    config["vision_cfg"]["layers"] = 3
    (tmp_path / "mine.json").write_text(json.dumps({"model_cfg": config}))
    with pytest.raises(DriftError, match="does not fit"):
        load_openclip_file(weights)
    (tmp_path / "mine.json").write_text("[]")
    with pytest.raises(DriftError, match=r"mine\.json is not a config"):
        load_openclip_file(weights)


def test_pickled_weights_and_training_checkpoints(tiny_model, tmp_path):
    state = {f"module.{name}": tensor for name, tensor in tiny_model.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "epoch_3.pt")
    assert load_openclip_file(tmp_path / "epoch_3.pt").size == SIZE


class Evil:
    def __reduce__(self):
        return (print, ("this must never run",))


def test_wrong_files_are_named_for_what_they_are(tiny_weights, tmp_path, capsys):
    def tensors(name, *keys):
        save_file({key: torch.zeros(2, 2) for key in keys}, tmp_path / name)

    tensors("sd.safetensors", "model.diffusion_model.out.weight", "first_stage_model.a")
    tensors("vision.safetensors", "vision_model.embeddings.a")
    tensors("lora.safetensors", "lora_unet_a.lora_up.weight")
    tensors("other.safetensors", "a.b")
    tensors("strange.safetensors", "visual.a", "token_embedding.weight")
    (tmp_path / "cut.safetensors").write_bytes(tiny_weights.read_bytes()[:10000])
    (tmp_path / "empty.pt").touch()
    torch.save({"visual.a": Evil()}, tmp_path / "evil.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "script.pt")
    (tmp_path / "a.txt").touch()
    cases = {
        "sd.safetensors": "an SD checkpoint",
        "vision.safetensors": "a CLIP vision encoder",
        "lora.safetensors": "a LoRA",
        "other.safetensors": "1 tensors such as 'a.b'",
        "strange.safetensors": r"fits none.*strange\.json",
        "cut.safetensors": "is cut short",
        "empty.pt": "cannot be read",
        "evil.pt": "holds Python code",
        "list.pt": "holds a list",
        "script.pt": "TorchScript|Python code",
        "a.txt": "not a weight file",
        "missing.safetensors": "there is no file",
    }
    for name, message in cases.items():
        with pytest.raises(DriftError, match=message):
            load_openclip_file(tmp_path / name)
    assert "must never run" not in capsys.readouterr().out


def test_tags_stay_offline_unless_allowed(tmp_path, no_internet):
    with pytest.raises(DriftError, match="is not on this computer"):
        load_openclip_tag("ViT-B-32", "laion2b_s34b_b79k", cache_dir=tmp_path)
    with pytest.raises(DriftError, match="from huggingface"):
        load_openclip_tag("roberta-ViT-B-32", "laion2b_s12b_b32k", cache_dir=tmp_path)
    with pytest.raises(DriftError, match="no pretrained model ViT-B-32/nonsense"):
        load_openclip_tag("ViT-B-32", "nonsense", cache_dir=tmp_path)


def test_a_failed_download_is_told(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(open_clip, "download_pretrained", fail)
    with pytest.raises(DriftError, match="could not be downloaded"):
        load_openclip_tag("ViT-B-32", "openai", cache_dir=tmp_path, allow_download=True)


def test_a_tag_is_found_in_the_cache(tiny_weights, tmp_path, monkeypatch, no_internet):
    pretrained = {"hf_hub": "someone/tiny/", "mean": (0.5,) * 3, "std": (0.5,) * 3}
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda *_: pretrained)
    repository = tmp_path / "models--someone--tiny"
    snapshot = repository / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    (snapshot / "open_clip_model.safetensors").write_bytes(tiny_weights.read_bytes())
    encoder = load_openclip_tag(TINY, "mine", cache_dir=tmp_path)
    assert encoder.name == f"{TINY}/mine"
    assert encoder.mean == (0.5, 0.5, 0.5)
    assert encoder.encode(torch.rand(1, SIZE, SIZE, 3)).shape == (1, 256)


def test_pretrained_names_are_there():
    """The list that is kept with the pack is open_clip's own; its docstring tells how to renew."""
    assert pretrained_names() == ["/".join(names) for names in open_clip.list_pretrained()]
    assert is_pretrained("ViT-L-14/openai")
    assert not is_pretrained("ViT-L-14/nonsense")
    assert not is_pretrained("nonsense")


def test_without_open_clip_the_remedy_is_told(tiny_weights, monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(DriftError, match="pip install open_clip_torch"):
        load_openclip_file(tiny_weights)
    assert pretrained_names() == []


def test_an_openclip_drift_of_a_video(clip, tiny_weights):
    drift = drift_from_video(clip, load_openclip_file(tiny_weights), max_frames=5)
    assert len(drift) == 5
    assert drift.dim == 256
    assert drift.encoder == "tiny"
