"""What the workflows share: models and prompts, a clip's motion, drawing, saving, the page."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..ui_graph import Graph, Group, Node, Output, Space, Stack, column, row
from . import models

VIDEO, IMAGE = "video.mp4", "example.png"
FRAMES, FPS, SIZE, SEED = 16, 8, 512, 7901
NEGATIVE = "blurry, low quality, text, watermark"
BLUE, PURPLE, GREEN, GOLD, TEAL = "#3f789e", "#7a4b9a", "#4f8a5b", "#a9822a", "#3f8f8f"
OVER = 70
"""Room above nodes for the wires of model and VAE."""
LOW = 320
"""Where what moves the prompt and the noise begins."""


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
    group: Group
    sampling: Sampling
    eye: Node | None = None
    """The encoder's loader where it is not in that group."""


MODELS = "1 Choose models and prompt"


def stable_diffusion(add: Graph, prompt: str | Node, *extra: Node) -> Subject:
    """Load Checkpoint → prompt and negative prompt; extra nodes stand before the prompts."""
    checkpoint = add(
        "CheckpointLoaderSimple", models.CHECKPOINT, ckpt_name=models.CHECKPOINT["name"]
    )
    encoder = add("CLIPVisionLoader", models.VIT_L, clip_name=models.VIT_L["name"])
    positive, negative = texts(add, checkpoint["CLIP"], prompt)
    canvas = add("EmptyLatentImage", width=SIZE, height=SIZE)
    content = row(
        column(checkpoint, Space(0, OVER), *extra), column(Space(0, OVER), negative, positive)
    )
    return Subject(
        checkpoint["MODEL"],
        checkpoint["CLIP"],
        checkpoint["VAE"],
        Output(encoder, 0),
        Output(positive, 0),
        Output(negative, 0),
        canvas,
        Group(MODELS, GREEN, content),
        STABLE_DIFFUSION,
        encoder,
    )


def texts(add: Graph, clip: Output, prompt: str | Node) -> tuple[Node, Node]:
    """Prompt and negative prompt."""
    positive = add.titled("Prompt", "CLIPTextEncode", clip=clip, text=prompt)
    return positive, add.titled("Negative prompt", "CLIPTextEncode", clip=clip, text=NEGATIVE)


class Motion(NamedTuple):
    """A clip's motion, and where its nodes are."""

    drift: Output
    rotation: Output
    place: Stack
    frames: Output | None = None
    """The clip's own pictures."""


def motion(add: Graph, subject: Subject, clip: str = VIDEO, frames: bool = False) -> Motion:
    """Load Video → drift, with its report → rotations; the clip's frames where asked for."""
    video = add("LoadVideo", file=clip)
    drift = add(
        "ClipDriftFromVideo",
        frames=video,
        encoder=subject.encoder,
        sample_fps=FPS,
        max_frames=FRAMES,
    )
    report = add("ClipDriftReport", drift=drift)
    shape = add("ClipDriftShape", drift=drift, frames=FRAMES)
    rotation = add("ClipDriftRotation", start=shape, pairing="from_first", centered=False)
    pictures = add("GetVideoComponents", video=video) if frames else None
    sources = column(video, subject.eye) if subject.eye else video
    reading = column(drift, pictures) if pictures else drift
    turn = Group("3 Turn it into rotations", PURPLE, row(shape, rotation))
    return Motion(
        Output(shape, 0),
        rotation["rotation"],
        row(
            Group("2 Read the motion", BLUE, row(sources, reading)),
            column(turn, Group("See what was read", TEAL, report)),
        ),
        pictures and pictures["images"],
    )


def rotate(add: Graph, subject: Subject, read: Motion, **settings) -> Node:
    """Rotate Conditioning on the positive prompt."""
    return add(
        "ClipDriftRotateConditioning",
        conditioning=subject.positive,
        rotation=read.rotation,
        **settings,
    )


class Drawing(NamedTuple):
    """Pictures, and the columns of nodes that drew them."""

    images: Output
    place: Stack


def draw_batch(
    add: Graph, subject: Subject, read: Motion, moved: Node | None, drift: float
) -> Drawing:
    """All frames in one call of the sampler; `drift` is how far the noise follows the clip."""
    noise = drifting_noise(add, subject, read, drift)
    drawn = draw(add, subject, moved or subject.positive, noise, noise["latent"])
    moving = column(Space(0, LOW), *([moved] if moved else []), subject.canvas)
    return Drawing(drawn.images, row(moving, drawn.place))


def draw_frames(add: Graph, subject: Subject, read: Motion, moved: Node, drift: float) -> Drawing:
    """One call of the sampler per frame, in the memory of one."""
    noise = drifting_noise(add, subject, read, drift)
    frames = add("ClipDriftFrames", conditioning=moved, latent=noise["latent"])
    drawn = draw(add, subject, frames["conditioning"], noise, frames["latent"], frames)
    together = add("RebatchImages", images=drawn.images, batch_size=4096)
    moving = row(column(Space(0, LOW), moved, subject.canvas), column(Space(0, 2 * LOW), noise))
    return Drawing(Output(together, 0), row(moving, drawn.place, together))


def draw(
    add: Graph,
    subject: Subject,
    positive: Any,
    noise: Node,
    latent: Output,
    frames: Node | None = None,
) -> Drawing:
    """Core's custom sampling, which takes noise from outside, and VAE Decode."""
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
    sample = add(
        "SamplerCustomAdvanced",
        noise=noise["noise"],
        guider=guider,
        sampler=sampler,
        sigmas=sigmas,
        latent_image=latent,
    )
    decoded = add("VAEDecode", samples=sample["output"], vae=subject.vae)
    steps = [Space(0, OVER), sigmas, guider, Space(0, OVER), sampler]
    if frames:
        before = row(column(Space(0, LOW - OVER), frames), column(*steps))
    else:
        before = column(*steps, noise)
    place = row(before, column(Space(0, LOW if frames else 3 * OVER), sample), decoded)
    return Drawing(Output(decoded, 0), place)


def drifting_noise(add: Graph, subject: Subject, read: Motion, drift: float) -> Node:
    """The noise of all frames; strength 0 is the same one for all."""
    return add(
        "ClipDriftRotateNoise",
        latent=subject.canvas,
        rotation=read.rotation,
        noise_seed=SEED,
        strength=drift,
    )


def save(add: Graph, images: Any, name: str, *before: Stack, title: str = "Save") -> Group:
    """Frames → a video file; `before` stands what made the frames ready."""
    video = add("CreateVideo", images=images, fps=FPS)
    saved = add("SaveVideo", video=video, filename_prefix=f"clip-drift/{name}")
    return Group(f"5 {title}", TEAL, row(*before, video, saved))


def page(
    text: Node,
    subject: Subject,
    read: Motion,
    *rest: Stack | Group,
    beside: Group | None = None,
) -> Stack:
    """All groups of a workflow that draws: sources on the left, results on the right.

    `beside` stands between the models and what draws.
    """
    top = row(subject.group, column(Space(0, LOW), beside)) if beside else subject.group
    return row(text, column(top, read.place), *rest)


def group(title: str, drawing: Drawing) -> Group:
    """The box around what draws."""
    return Group(f"4 {title}", GOLD, drawing.place)


def drawn_page(
    add: Graph, text: Node, subject: Subject, read: Motion, drawn: Drawing, title: str, name: str
) -> Stack:
    """The usual page: what is drawn is saved, and that is all."""
    return page(text, subject, read, group(title, drawn), save(add, drawn.images, name))
