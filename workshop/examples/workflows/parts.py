"""What the workflows share: models and prompts, a clip's motion, drawing, saving, the page.

A page is a note and up to four groups, whose nodes stand in columns. The front end fits it into the
window as it opens, and draws no text where a node is then seen at less than 8/14 of its size: hence
the size of a page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..ui_graph import WIDE, Fold, Graph, Group, Node, Output, Stack, column, row
from . import models

VIDEO, IMAGE = "clip-drift-round.mp4", "example.png"
"""The pack's own clip, which it offers among the input files; a picture of ComfyUI's."""
FRAMES, FPS, SIZE, SEED = 16, 8, 512, 7901
NEGATIVE = "blurry, low quality, text, watermark"
BLUE, PURPLE, GREEN, GOLD, TEAL = "#3f789e", "#7a4b9a", "#4f8a5b", "#a9822a", "#3f8f8f"
PAGE_WIDTH = 1830
"""Three quarters of a window 1400 pixels wide, of which an open page takes no more, at 8/14."""


class Sampling(NamedTuple):
    """How a family of models is sampled."""

    steps: int
    cfg: float
    sampler: str
    scheduler: str


STABLE_DIFFUSION = Sampling(25, 7.0, "dpmpp_2m", "karras")
KANDINSKY = Sampling(35, 4.0, "ddim", "normal")


class Subject(NamedTuple):
    """What is drawn, and the model that draws it."""

    model: Output
    clip: Output
    vae: Output
    encoder: Output
    """The CLIP that looks at the clip."""
    positive: Output
    negative: Output
    canvas: Node
    loaders: tuple[Node, ...]
    says: tuple[Node, ...]
    """What holds the prompt, and what of it leads to the conditioning."""
    sampling: Sampling


MODELS = "1 Choose clip and models"


def stable_diffusion(add: Graph, prompt: str) -> Subject:
    """Load Checkpoint → prompt and negative prompt."""
    checkpoint = add(
        "CheckpointLoaderSimple", models.CHECKPOINT, ckpt_name=models.CHECKPOINT["name"]
    )
    encoder = add("CLIPVisionLoader", models.VIT_L, clip_name=models.VIT_L["name"])
    said = texts(add, checkpoint["CLIP"], prompt)
    canvas = add("EmptyLatentImage", width=SIZE, height=SIZE)
    return Subject(
        checkpoint["MODEL"],
        checkpoint["CLIP"],
        checkpoint["VAE"],
        Output(encoder, 0),
        said.positive,
        said.negative,
        canvas,
        (checkpoint, encoder),
        (said.place,),
        STABLE_DIFFUSION,
    )


class Texts(NamedTuple):
    """Prompt and negative prompt, and the one node that holds both."""

    positive: Output
    negative: Output
    place: Fold


def texts(add: Graph, clip: Output, prompt: str) -> Texts:
    """Prompt and negative prompt."""
    positive = add.titled("Prompt", "CLIPTextEncode", clip=clip, text=prompt)
    negative = add.titled("Negative prompt", "CLIPTextEncode", clip=clip, text=NEGATIVE)
    both = add.fold(
        "Prompts",
        column(positive, negative),
        shows=[(positive, "text", "prompt"), (negative, "text", "negative prompt")],
        gives=[(positive, "positive"), (negative, "negative")],
    )
    both.least_size = (WIDE, 240)
    return Texts(Output(positive, 0), Output(negative, 0), both)


class Motion(NamedTuple):
    """A clip's motion, and the nodes that read it."""

    rotation: Output
    video: Node
    nodes: tuple[Node, ...]
    shaped: Output
    """The drift with as many frames as are drawn."""
    fps: Output
    """Frames per second at which the result lasts as long as the motion did."""


def read_clip(add: Graph, subject: Subject) -> tuple[Node, Node]:
    """Load Video, and the drift of its first frames."""
    video = add("LoadVideo", file=VIDEO)
    return video, add(
        "ClipDriftFromVideo",
        frames=video,
        encoder=subject.encoder,
        sample_fps=FPS,
        max_frames=FRAMES,
    )


def motion(add: Graph, subject: Subject, frames: int = FRAMES) -> Motion:
    """Load Video → drift → rotations of so many frames."""
    video, drift = read_clip(add, subject)
    shape = add("ClipDriftShape", drift=drift, frames=frames)
    rotation = add("ClipDriftRotation", start=shape, pairing="from_first", centered=False)
    turned = add.fold(
        "Drift to Rotations",
        row(shape, rotation),
        shows=[
            (shape, "frames", "frames"),
            (shape, "smooth", "smooth"),
            (shape, "direction", "direction"),
            (rotation, "pairing", "pairing"),
            (rotation, "centered", "centered"),
        ],
    )
    return Motion(
        rotation["rotation"],
        video,
        (drift, turned),
        Output(shape, 0),
        shape["fps"],
    )


def rotate(add: Graph, subject: Subject, read: Motion, **settings) -> Node:
    """Rotate Conditioning on the positive prompt; by carry, which text tokens of any width take."""
    return add(
        "ClipDriftRotateConditioning",
        conditioning=subject.positive,
        rotation=read.rotation,
        **{"method": "carry"} | settings,
    )


class Drawing(NamedTuple):
    """A video of what was drawn, what moved it, and the nodes that drew it."""

    video: Output
    before: tuple[Node, ...]
    nodes: tuple[Node, ...]
    first: tuple[Node, ...] = ()
    """What stands with the models."""


def draw(
    add: Graph,
    subject: Subject,
    read: Motion,
    moved: Node | None,
    drift: float = 0.0,
    each: bool = False,
    apart: bool = False,
) -> Drawing:
    """Core's custom sampling, which takes noise from outside, in a subgraph.

    Args:
        moved: Rotate Conditioning; None leaves the prompt as it is.
        drift: how far the noise follows the clip; 0 is the same noise for all frames.
        each: one call of the sampler per frame, in the memory of one, not one for all.
        apart: the noise, and what hands it on, stand outside of the subgraph.
    """
    noise = drifting_noise(add, subject, read.rotation, drift)
    positive, latent = moved or subject.positive, noise["latent"]
    handed, shows = [], []
    if not apart:
        shows = [
            (subject.canvas, "width", "width"),
            (subject.canvas, "height", "height"),
            (noise, "noise_seed", "noise_seed"),
            (noise, "strength", "noise_strength"),
        ]
    if each:
        frames = add("ClipDriftFrames", conditioning=positive, latent=latent)
        positive, latent = frames["conditioning"], frames["latent"]
        handed = [frames]
    steps = sample(add, subject, positive, noise["noise"], latent)
    shows += [(steps.sigmas, "steps", "steps"), (steps.guider, "cfg", "cfg")]
    after = [steps.decoded]
    if each:
        after.append(add("RebatchImages", images=steps.decoded, batch_size=4096))
    video = add("CreateVideo", images=after[-1], fps=read.fps)
    inside = [*steps.columns, *after, video]
    before = [moved] if moved else []
    if apart:
        before.append(noise)
    else:
        inside, handed = [subject.canvas, noise, *handed, *inside], []
    fold = add.fold("Draw", row(*inside), shows, gives=[(video, "video"), (after[-1], "images")])
    first = (subject.canvas,) if apart else ()
    return Drawing(Output(video, 0), tuple(before), (*handed, fold), first)


class Sampled(NamedTuple):
    """The nodes that sample, of which some are shown outside."""

    guider: Node
    sigmas: Node
    decoded: Node
    columns: tuple[Stack, Stack]


def sample(add: Graph, subject: Subject, positive: Any, noise: Output, latent: Output) -> Sampled:
    """Guider, sampler, sigmas → SamplerCustomAdvanced → VAE Decode."""
    how = subject.sampling
    guider = add(
        "CFGGuider",
        model=subject.model,
        positive=positive,
        negative=subject.negative,
        cfg=how.cfg,
    )
    sampler = add("KSamplerSelect", sampler_name=how.sampler)
    sigmas = add("BasicScheduler", model=subject.model, scheduler=how.scheduler, steps=how.steps)
    sampled = add(
        "SamplerCustomAdvanced",
        noise=noise,
        guider=guider,
        sampler=sampler,
        sigmas=sigmas,
        latent_image=latent,
    )
    decoded = add("VAEDecode", samples=sampled["output"], vae=subject.vae)
    columns = column(guider, sampler, sigmas), column(sampled)
    return Sampled(guider, sigmas, decoded, columns)


def drifting_noise(add: Graph, subject: Subject, rotation: Output, drift: float) -> Node:
    """The noise of all frames; strength 0 is the same one for all."""
    return add(
        "ClipDriftRotateNoise",
        latent=subject.canvas,
        rotation=rotation,
        noise_seed=SEED,
        strength=drift,
    )


def save(add: Graph, video: Output, name: str, height: int = 0) -> Node:
    """A video file; its picture is wider than the nodes beside it, and as high as usual at 0."""
    saved = add("SaveVideo", video=video, filename_prefix=f"clip-drift/{name}")
    saved.share, saved.least_size = 1.2, (0, height or saved.least_size[1])
    return saved


def page(text: Node, subject: Subject, read: Motion, *rest: Group, first: Sequence = ()) -> Stack:
    """All groups of a workflow that draws, from left to right.

    Load Video is the last in its column: it grows with its clip. Above it stands what comes first.
    """
    sources = Group(MODELS, GREEN, column(*subject.loaders, *first, read.video))
    reading = Group("2 Read the motion", BLUE, column(*read.nodes))
    return row(text, sources, reading, *rest).widen(PAGE_WIDTH)


def drawn_page(
    add: Graph, text: Node, subject: Subject, read: Motion, drawn: Drawing, title: str, name: str
) -> Stack:
    """The usual page: what is drawn is saved, and that is all."""
    moving = column(*subject.says, *drawn.before)
    drawing = column(*drawn.nodes, save(add, drawn.video, name))
    group = Group(f"3 {title}", GOLD, row(moving, drawing))
    return page(text, subject, read, group, first=drawn.first)
