"""Write `example_workflows/*.json` from the descriptions below.

    python tools/build_workflows.py [FOLDER]

Sockets, widgets and their order are asked of a running server, so that the files always fit the
nodes.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from comfy_server import REPO, ComfyServer
from ui_graph import Graph, Group, Node, Output, Stack, column, row
from ui_to_api import Info

FOLDER = REPO / "example_workflows"

VIDEO = "video.mp4"
CHECKPOINT = {
    "name": "v1-5-pruned-emaonly-fp16.safetensors",
    "url": "https://huggingface.co/Comfy-Org/stable-diffusion-v1-5-archive/resolve/main/"
    "v1-5-pruned-emaonly-fp16.safetensors",
    "directory": "checkpoints",
}
ENCODER = {
    "name": "clip-vit-large-patch14.safetensors",
    "url": "https://huggingface.co/openai/clip-vit-large-patch14/resolve/main/model.safetensors",
    "directory": "clip_vision",
}
FRAMES, FPS, SIZE = 16, 8, 512
STEPS, CFG, SAMPLER, SCHEDULER, SEED = 25, 7.0, "dpmpp_2m", "karras", 7901
NEGATIVE = "blurry, low quality, text, watermark"

BLUE, PURPLE, GREEN, GOLD, TEAL = "#3f789e", "#7a4b9a", "#4f8a5b", "#a9822a", "#3f8f8f"


# --- What the workflows share ---------------------------------------------------------------------


class Motion(NamedTuple):
    """A clip's motion as rotations, and the groups that read it."""

    rotation: Output
    read: Group
    turn: Group


def motion(add: Graph) -> Motion:
    """Load Video → drift, with its report → rotations."""
    video = add("LoadVideo", file=VIDEO)
    encoder = add("CLIPVisionLoader", ENCODER, clip_name=ENCODER["name"])
    drift = add(
        "ClipDriftFromVideo", frames=video, encoder=encoder, sample_fps=FPS, max_frames=FRAMES
    )
    report = add("ClipDriftReport", drift=drift)
    shape = add("ClipDriftShape", drift=drift, frames=FRAMES)
    rotation = add("ClipDriftRotation", start=shape, pairing="from_first", centered=False)
    return Motion(
        rotation["rotation"],
        Group("1 Read the motion", BLUE, row(column(video, encoder), column(drift, report))),
        Group("2 Turn it into rotations", PURPLE, column(shape, rotation)),
    )


class Texts(NamedTuple):
    """A checkpoint and two encoded texts."""

    checkpoint: Node
    positive: Node
    negative: Node


def texts(add: Graph, prompt: str | Node) -> Texts:
    """Load Checkpoint → prompt and negative prompt."""
    checkpoint = add("CheckpointLoaderSimple", CHECKPOINT, ckpt_name=CHECKPOINT["name"])
    clip = checkpoint["CLIP"]
    positive = add.titled("Prompt", "CLIPTextEncode", clip=clip, text=prompt)
    negative = add.titled("Negative prompt", "CLIPTextEncode", clip=clip, text=NEGATIVE)
    return Texts(checkpoint, positive, negative)


class Drawing(NamedTuple):
    """Latents that have been sampled, and the nodes that did it."""

    latent: Output
    nodes: Stack


def draw(add: Graph, texts: Texts, positive: Any, noise: Output, latent: Output) -> Drawing:
    """Core's custom sampling, which takes noise from outside."""
    model = texts.checkpoint["MODEL"]
    guider = add("CFGGuider", model=model, positive=positive, negative=texts.negative, cfg=CFG)
    sampler = add("KSamplerSelect", sampler_name=SAMPLER)
    sigmas = add("BasicScheduler", model=model, scheduler=SCHEDULER, steps=STEPS)
    sample = add(
        "SamplerCustomAdvanced",
        noise=noise,
        guider=guider,
        sampler=sampler,
        sigmas=sigmas,
        latent_image=latent,
    )
    return Drawing(sample["output"], column(guider, sampler, sigmas, sample))


def save(add: Graph, images: Any, name: str) -> Group:
    """Frames → a video file."""
    video = add("CreateVideo", images=images, fps=FPS)
    saved = add("SaveVideo", video=video, filename_prefix=f"clip-drift/{name}")
    return Group("5 Save", TEAL, row(video, saved))


def prompt_group(words: Texts, canvas: Node) -> Group:
    """The checkpoint, both texts and the empty latent."""
    content = row(column(words.checkpoint, canvas), column(words.positive, words.negative))
    return Group("3 Choose model, prompt and size", GREEN, content)


def page(text: Node, motion: Motion, prompts: Group, drawing: Group, saving: Group) -> Stack:
    """All groups of a workflow that draws: sources on the left, results on the right."""
    sources = column(row(motion.read, motion.turn), prompts)
    return row(text, sources, column(drawing, saving))


FIRST_STEPS = f"""
## First

1. **Load Video**: choose your clip, best one clear movement. Its first {FRAMES // FPS} seconds are
   used, at {FPS} frames a second: `sample_fps` and `max_frames` change that.
2. **Load Checkpoint**: any Stable Diffusion 1.5 model.
3. **Load CLIP Vision**: CLIP ViT-L/14. Save
   [model.safetensors]({ENCODER["url"]}) as
   `models/clip_vision/{ENCODER["name"]}`.
4. Write your prompt, and run.
"""

CENTERED = """
*Rotation*: leave `centered` off here. Centred rotations turn by much larger angles, which a text
prompt does not survive at strength 1; with them, start at 0.1 to 0.3.
"""


# --- The workflows --------------------------------------------------------------------------------


def rotate_prompt(add: Graph) -> Stack:
    """(a) Rotate the prompt from a video, all frames in one batch."""
    text = add.note(
        f"""
# Rotate the prompt

A clip's motion, read as rotations in CLIP space, moves the **prompt**. All frames start from the
same noise, so what changes between them is the prompt alone.
{FIRST_STEPS}
## Then

- **Rotate Conditioning** `strength`: 1 is the clip's own motion. More is wilder; 0 is a still.
- `method`: try *tangent* and the article's *perturb* against *carry*.
- **Rotate Latent Noise** has strength 0: the same noise for all frames. Raise it a little to let
  the noise drift as well.
- Out of memory? Open *text and noise, frame by frame*, which needs the memory of one frame.

{CENTERED}
**Drift Report** shows what was read from the clip: look there first.
""",
        height=620,
    )
    read = motion(add)
    words = texts(add, "a lighthouse on a cliff above a stormy sea, oil painting")
    moved = add("ClipDriftRotateConditioning", conditioning=words.positive, rotation=read.rotation)
    return batch_layout(add, text, read, words, moved, 0.0, "rotate-prompt")


def noise_only(add: Graph) -> Stack:
    """(b) The prompt stays, the noise drifts."""
    text = add.note(
        f"""
# Noise only

The prompt is fixed. The **noise** that each frame is drawn from drifts as the clip does: two frames
that look alike to CLIP get noises as much alike. The article's first experiment.
{FIRST_STEPS}
## Then

- **Rotate Latent Noise** `strength`: 0 gives every frame the same noise, 1 follows the clip. If the
  picture jumps, lower it.
- `method`: *correlate* forms the noise from CLIP space's correlation matrix (the article's drift
  tensor), *rotate* turns it as one vector, *near_identity* multiplies it by a matrix close to the
  identity, frame after frame.
- `noise_seed`: another picture, the same motion.

Each frame's noise is exactly standard normal in every method, so the model sees nothing unusual.
""",
        height=620,
    )
    read = motion(add)
    words = texts(add, "a campfire in a pine forest at night, sparks, photograph")
    return batch_layout(add, text, read, words, None, 1.0, "noise-only")


def batch_layout(
    add: Graph, text: Node, read: Motion, words: Texts, moved: Node | None, drift: float, name: str
) -> Stack:
    """Draw all frames in one batch and save them."""
    canvas = add("EmptyLatentImage", width=SIZE, height=SIZE)
    noise = add(
        "ClipDriftRotateNoise",
        latent=canvas,
        rotation=read.rotation,
        noise_seed=SEED,
        strength=drift,
    )
    drawn = draw(add, words, moved or words.positive, noise["noise"], noise["latent"])
    decoded = add("VAEDecode", samples=drawn.latent, vae=words.checkpoint["VAE"])
    moving = column(*([moved] if moved else []), noise)
    drawing = row(moving, column(drawn.nodes, decoded))
    return page(
        text,
        read,
        prompt_group(words, canvas),
        Group("4 Move it and draw", GOLD, drawing),
        save(add, decoded, name),
    )


def text_and_noise(add: Graph) -> Stack:
    """(c) Text and noise together, a frame at a time."""
    text = add.note(
        f"""
# Text and noise, frame by frame

The motion moves the **prompt and the noise** together. **Frames to List** hands the frames to the
sampler one by one, so a long clip needs no more memory than one picture. The frames are the same as
in one batch.
{FIRST_STEPS}
## Then

- Longer: raise `max_frames` in *Video → CLIP Drift* and `frames` in *Shape Drift*.
- **Frames to List** `start` and `count` render a part of the clip: chunks give the same frames as
  the whole, also on several machines.
- The two `strength` widgets weigh text against noise.
- **Rebatch Images** collects the finished frames again.

{CENTERED}
""",
        height=620,
    )
    read = motion(add)
    words = texts(add, "a sailing boat on a calm sea at sunset, watercolor")
    moved = add("ClipDriftRotateConditioning", conditioning=words.positive, rotation=read.rotation)
    canvas = add("EmptyLatentImage", width=SIZE, height=SIZE)
    noise = add(
        "ClipDriftRotateNoise", latent=canvas, rotation=read.rotation, noise_seed=SEED, strength=0.5
    )
    frames = add("ClipDriftFrames", conditioning=moved, latent=noise["latent"])
    drawn = draw(add, words, frames["conditioning"], noise["noise"], frames["latent"])
    decoded = add("VAEDecode", samples=drawn.latent, vae=words.checkpoint["VAE"])
    together = add("RebatchImages", images=decoded, batch_size=4096)
    drawing = row(column(moved, noise, frames), column(drawn.nodes, decoded, together))
    return page(
        text,
        read,
        prompt_group(words, canvas),
        Group("4 Move both and draw, frame by frame", GOLD, drawing),
        save(add, together, "text-and-noise"),
    )


def feedback_loop(add: Graph) -> Stack:
    """(d) Every frame starts from the one before."""
    text = add.note(
        f"""
# Feedback loop

The first picture is drawn as usual. Then **Frame Loop Start … End** runs the nodes between them
once a frame: each frame starts from the **previous result**, is noised again (`denoise` below 1)
and drawn with its own moved prompt.
{FIRST_STEPS}
## Then

- `denoise` of the sampler **in the loop**: lower is steadier, higher follows the prompt more.
- **Frame Loop Start** `feedback`: 1 starts from the previous frame alone; less mixes the first
  picture in, which keeps a long clip from wandering off.
- **Repeat Latent Batch** gives each frame its own noise. Without it the same noise is added again
  and again, and burns in.

Frames are drawn one after another, so this is slower than a batch.

{CENTERED}
""",
        height=620,
    )
    read = motion(add)
    words = texts(add, "a garden full of flowers in the wind, impressionist painting")
    model = words.checkpoint["MODEL"]
    drawing = {"steps": STEPS, "cfg": CFG, "sampler_name": SAMPLER, "scheduler": SCHEDULER}
    drawing |= {"model": model, "negative": words.negative, "seed": SEED}
    canvas = add("EmptyLatentImage", width=SIZE, height=SIZE)
    moved = add("ClipDriftRotateConditioning", conditioning=words.positive, rotation=read.rotation)
    first = add.titled(
        "First frame", "KSampler", positive=words.positive, latent_image=canvas, **drawing
    )
    repeated = add("RepeatLatentBatch", samples=first, amount=moved["frame_count"])
    start = add("ClipDriftLoopStart", conditioning=moved, latent=repeated, feedback=1.0)
    frame = add.titled(
        "Each frame",
        "KSampler",
        positive=start["conditioning"],
        latent_image=start["latent"],
        **drawing,
        denoise=0.6,
    )
    end = add("ClipDriftLoopEnd", loop=start["loop"], latent=frame)
    decoded = add("VAEDecode", samples=end, vae=words.checkpoint["VAE"])
    content = row(column(moved, first, repeated), column(start, frame, end, decoded))
    return page(
        text,
        read,
        prompt_group(words, canvas),
        Group("4 Draw the first frame, then each from the one before", GOLD, content),
        save(add, decoded, "feedback-loop"),
    )


def look_first(add: Graph) -> Stack:
    """(e) Nothing is drawn: look at a clip in pixel space and in CLIP space."""
    text = add.note(
        f"""
# Look first

Nothing is drawn here and no checkpoint is needed: see what a clip looks like to CLIP **before** you
let it move anything.

1. **Load Video**: choose your clip.
2. **Load CLIP Vision**: CLIP ViT-L/14. Save
   [model.safetensors]({ENCODER["url"]}) as
   `models/clip_vision/{ENCODER["name"]}`.
3. Run.

## Drift Report

- **Matrices**: how alike every two frames are, in pixels and in CLIP space. Pixels swing widely,
  CLIP changes smoothly.
- **Neighbours**: where both curves dip together, something moved.
- **Step angles**: even steps carry over well. A spike is a cut: trim the clip there.

## Rotation Matrix

What one dense rotation does, less the identity: rank 2, hence the pattern of stripes. `matrix_pair`
chooses the frame, `centered` takes out what all frames share.
""",
        height=500,
    )
    video = add("LoadVideo", file=VIDEO)
    encoder = add("CLIPVisionLoader", ENCODER, clip_name=ENCODER["name"])
    drift = add("ClipDriftFromVideo", frames=video, encoder=encoder, sample_fps=FPS)
    report = add("ClipDriftReport", drift=drift)
    report.least_size = (610, 620)
    rotation = add(
        "ClipDriftRotation",
        start=drift,
        pairing="from_first",
        centered=False,
        matrix_pair=FRAMES - 1,
    )
    matrix = add("PreviewImage", images=rotation["matrix"])
    return row(
        text,
        Group("1 Read the motion", BLUE, row(column(video, encoder), drift)),
        column(
            Group("2 Look at the clip", TEAL, report),
            Group("3 Look at one rotation", PURPLE, row(rotation, matrix)),
        ),
    )


def move_one_word(add: Graph) -> Stack:
    """(f) The verb moves, the nouns stay."""
    text = add.note(
        f"""
# Move one word

*A woman washes a window*: the verb should drive what changes, while the woman and the window stay.
**Select Words** picks the tokens that the motion may move.
{FIRST_STEPS}
## Then

- **Select Words** `words`: one or more, separated by commas; *(washes:0.5)* moves a word half as
  much. Move the noun instead, and compare.
- `matched` shows which tokens were found.
- **Rotate Conditioning** `strength` is 2 here: one word of the prompt has less say than all of it.
  `rotate_pooled` is off, because the pooled vector stands for the whole text.

{CENTERED}
""",
        height=620,
    )
    read = motion(add)
    prompt = add.titled("Prompt text", "PrimitiveStringMultiline", value="a woman washes a window")
    words = texts(add, prompt)
    chosen = add("ClipDriftSelectWords", clip=words.checkpoint["CLIP"], text=prompt, words="washes")
    matched = add.titled("Words found", "PreviewAny", source=chosen["matched"])
    moved = add(
        "ClipDriftRotateConditioning",
        conditioning=words.positive,
        rotation=read.rotation,
        words=chosen,
        strength=2.0,
        rotate_pooled=False,
    )
    canvas = add("EmptyLatentImage", width=SIZE, height=SIZE)
    noise = add(
        "ClipDriftRotateNoise", latent=canvas, rotation=read.rotation, noise_seed=SEED, strength=0.0
    )
    drawn = draw(add, words, moved, noise["noise"], noise["latent"])
    decoded = add("VAEDecode", samples=drawn.latent, vae=words.checkpoint["VAE"])
    prompts = row(
        column(prompt, words.checkpoint, canvas),
        column(words.positive, chosen, words.negative),
        matched,
    )
    drawing = row(column(moved, noise), column(drawn.nodes, decoded))
    return page(
        text,
        read,
        Group("3 Choose model, prompt and the word that moves", GREEN, prompts),
        Group("4 Move it and draw", GOLD, drawing),
        save(add, decoded, "move-one-word"),
    )


WORKFLOWS: dict[str, Callable[[Graph], Stack]] = {
    "1-look_at_a_clip_first": look_first,
    "2-rotate_the_prompt": rotate_prompt,
    "3-move_one_word": move_one_word,
    "4-drifting_noise_only": noise_only,
    "5-text_and_noise_frame_by_frame": text_and_noise,
    "6-feedback_loop": feedback_loop,
}
"""File name without its ending (the template's title, and part of a URL) -> description."""


def build(object_info: dict[str, Info]) -> dict[str, str]:
    """The text of every workflow file, by file name."""
    files = {}
    for name, describe in WORKFLOWS.items():
        graph = Graph(object_info)
        workflow = graph.as_json(name, describe(graph))
        files[f"{name}.json"] = json.dumps(workflow, indent=1, ensure_ascii=False) + "\n"
    return files


def main(folder: Path):
    with tempfile.TemporaryDirectory() as work_dir, ComfyServer(Path(work_dir)) as server:
        files = build(server.object_info())
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
        print(folder / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
