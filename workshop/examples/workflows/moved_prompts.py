"""The workflows on Rotate Prompt: a clip moves a prompt through the model's own text encoder."""

from __future__ import annotations

from ..ui_graph import Graph, Node, Output, Stack
from . import models
from .parts import (
    FPS,
    FRAMES,
    NEGATIVE,
    SIZE,
    STABLE_DIFFUSION,
    Motion,
    Sampling,
    Subject,
    draw,
    drawn_page,
    motion,
)

LIGHTHOUSE = "a lighthouse on a cliff, oil painting"
CARRIER = "halfway across and at middle height"
LARGE = 1024
WITH_PLOTS = 760
"""How high Rotate Prompt is once its plots are there."""
SD3 = Sampling(28, 4.5, "euler", "sgm_uniform")

CLIP_FIRST = f"""\
1. **Load Video**: choose your clip, best one clear movement. Its first {FRAMES // FPS} seconds are
   used, at {FPS} frames a second: `sample_fps` and `max_frames` change that.
"""
OPENAI_FIRST = f"""\
3. **Load OpenCLIP**: {models.OPENAI}, which reads the clip and leads back to the text. Switch
   `allow_download` on for the first run (1.7 GB).
"""
SD_FIRST = f"""\
{CLIP_FIRST}2. **Load Checkpoint**: any Stable Diffusion 1.5 model.
{OPENAI_FIRST}4. **Rotate Prompt** `text`: your prompt. It need not say where
   anything is. Run.
"""
THEN = """
## Then

- **Rotate Prompt** `carrier` first: the phrase behind your prompt whose words alone move. It has
  to say what *kind* of thing moves in the clip: "seen from the front" for a turn, "at noon" for a
  change of light. *auto* lets the text encoder choose.
- Look at `read_as` and at the plots on the node: they say in words where each frame stands, and
  how much of the way was reached. Little of it means the wrong carrier.
- `method` *follow* is for prompts that say no place. One that begins where the clip begins moves
  by *tangent*.
- `strength` 1 is the clip's own motion.

What moves how well was measured on a small model of a toy world (*docs/figures.md*); on this model
nothing is measured yet.
"""


def text_model(
    add: Graph,
    checkpoint: dict[str, str],
    eye: Node,
    size: int = SIZE,
    how: Sampling = STABLE_DIFFUSION,
    texts: Node | None = None,
) -> Subject:
    """A checkpoint whose prompt is Rotate Prompt's.

    Args:
        eye: loads what reads the clip.
        texts: loads the text encoders where the checkpoint has none.
    """
    loader = add("CheckpointLoaderSimple", checkpoint, ckpt_name=checkpoint["name"])
    clip = Output(texts, 0) if texts else loader["CLIP"]
    negative = add.titled("Negative prompt", "CLIPTextEncode", clip=clip, text=NEGATIVE)
    kind = "EmptySD3LatentImage" if texts else "EmptyLatentImage"
    canvas = add(kind, width=size, height=size)
    loaders = (loader, texts, eye) if texts else (loader, eye)
    return Subject(
        loader["MODEL"],
        clip,
        loader["VAE"],
        Output(eye, 0),
        Output(negative, 0),
        Output(negative, 0),
        canvas,
        loaders,
        (negative,),
        how,
    )


def move(add: Graph, subject: Subject, read: Motion, prompt: str, **settings) -> Node:
    """Rotate Prompt."""
    given = {"carrier": CARRIER, "method": "follow", "through": "inversion"} | settings
    links = {"clip": subject.clip, "rotation": read.rotation, "encoder": subject.encoder}
    node = add("ClipDriftRotatePrompt", text=prompt, **links, **given)
    node.least_size = node.least_size[0], WITH_PLOTS
    return node


def openai(add: Graph) -> Node:
    return add("ClipDriftLoadOpenCLIP", model=models.OPENAI, allow_download=False)


def rotate_prompt(add: Graph) -> Stack:
    """Rotate the prompt from a video, all frames in one batch."""
    text = add.note(f"""
# Rotate the prompt

A clip's motion moves the **prompt**, through the model's own text encoder. All frames start from
the same noise, so what changes between them is the prompt alone.

## First

{SD_FIRST}{THEN}
Out of memory? Open *06-text_and_noise_frame_by_frame*, which needs the memory of one frame.
""")
    subject = text_model(add, models.CHECKPOINT, openai(add))
    read = motion(add, subject)
    drawn = draw(add, subject, read, move(add, subject, read, LIGHTHOUSE))
    return drawn_page(add, text, subject, read, drawn, "Move it and draw", "rotate-prompt")


def move_one_word(add: Graph) -> Stack:
    """The verb moves, the nouns stay."""
    text = add.note(f"""
# Move one word

*A woman washes a window*: the verb drives what changes, while the woman and the window stay.

## First

{CLIP_FIRST}2. **Load Checkpoint**: any Stable Diffusion 1.5 model.
{OPENAI_FIRST}4. **Rotate Prompt** `text` and `words`: your prompt, and which of its words may
   move. Run.

## Then

- `words`: one or more, separated by commas; *(washes:0.5)* moves a word half as freely. Move the
  noun instead, and compare: in the toy world, the wrong word carries nothing.
- `carrier` is empty here, and `method` is *tangent*: the word itself carries, and turns from where
  it stands as the clip turns.
- The plots show how far each word moved, and `read_as` how much of the way was reached.
""")
    subject = text_model(add, models.CHECKPOINT, openai(add))
    read = motion(add, subject)
    settings = {"words": "washes", "carrier": "", "method": "tangent"}
    moved = move(add, subject, read, "a woman washes a window", **settings)
    drawn = draw(add, subject, read, moved)
    return drawn_page(add, text, subject, read, drawn, "Move it and draw", "move-one-word")


def sdxl(add: Graph) -> Stack:
    """The same on SDXL, in the space of its larger text encoder."""
    text = add.note(f"""
# Rotate the prompt, SDXL

A clip's motion moves the **prompt** through SDXL's larger text encoder, bigG, which brings its own
way into CLIP's space. The smaller one, CLIP-L, keeps the prompt as it is.

## First

{CLIP_FIRST}2. **Load Checkpoint**: any SDXL model.
3. **Load CLIP Vision**: ViT-bigG/14 reads the clip:
   [{models.BIG_G["name"]}, 3.7 GB]({models.BIG_G["url"]}) in `models/clip_vision`.
4. **Rotate Prompt** `text`: your prompt. It need not say where
   anything is. Run.
{THEN}""")
    eye = add("CLIPVisionLoader", models.BIG_G, clip_name=models.BIG_G["name"])
    subject = text_model(add, models.SDXL, eye, LARGE)
    read = motion(add, subject)
    drawn = draw(add, subject, read, move(add, subject, read, LIGHTHOUSE), each=True)
    return drawn_page(add, text, subject, read, drawn, "Move it and draw", "rotate-prompt-sdxl")


def sd3_captions(add: Graph) -> Stack:
    """On SD 3.5 by captions: whole texts, which every encoder can read, T5 too."""
    text = add.note(f"""
# Rotate the prompt, SD 3.5

Each frame is drawn from the **caption** that comes nearest to where the clip is: your prompt with
one of a few hundred short phrases behind it. All of the model's text encoders read it as plain
words, so this way is for T5 as well, and for Flux.

## First

{CLIP_FIRST}2. **Load Checkpoint** and **DualCLIPLoader**: Stable Diffusion 3.5. With memory enough,
   put *TripleCLIPLoader* with T5 in its place.
{OPENAI_FIRST}4. **Rotate Prompt** `text`: your prompt. It need not say where
   anything is. Run.

## Then

- `captions` first: phrases of your own, one per line, for what moves in your clip; empty are the
  pack's. `read_as` says which one each frame took.
- For Flux: its checkpoint, and its own loader of text encoders.

What moves how well was measured on a small model of a toy world (*docs/figures.md*); on this model
nothing is measured yet.
""")
    names = {"clip_name1": models.CLIP_L["name"], "clip_name2": models.CLIP_G["name"]}
    texts = add("DualCLIPLoader", models.CLIP_L, models.CLIP_G, type="sd3", **names)
    subject = text_model(add, models.SD3, openai(add), LARGE, SD3, texts)
    read = motion(add, subject)
    moved = move(add, subject, read, LIGHTHOUSE, through="captions")
    drawn = draw(add, subject, read, moved, each=True)
    return drawn_page(add, text, subject, read, drawn, "Move it and draw", "rotate-prompt-sd3")
