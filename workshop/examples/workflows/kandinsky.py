"""The workflows on Kandinsky 2.2: the prior's image embedding is what moves."""

from __future__ import annotations

from ..ui_graph import WIDE, Graph, Group, Node, Output, Stack, column, row
from . import models
from .parts import (
    FPS,
    FRAMES,
    GOLD,
    IMAGE,
    KANDINSKY,
    SEED,
    SIZE,
    Subject,
    draw,
    drawn_page,
    motion,
    page,
    rotate,
    save,
)


def _download(model: dict[str, str], size: str) -> str:
    folder = f"models/{model['directory']}"
    return f"- [{size}]({model['url']}) → `{folder}/{model['name']}`"


FIRST_STEPS = f"""
## First

1. **The models**, each renamed as it is saved:
{_download(models.DECODER, "decoder, 5 GB")}
{_download(models.MOVQ, "MoVQ, 0.3 GB")}
{_download(models.PRIOR, "prior, 4.1 GB")}
{_download(models.TEXT_ENCODER, "text encoder, 2.8 GB")}
{_download(models.BIG_G, "image encoder, 3.7 GB")}

   The text encoder of SDXL or Stable Cascade does as well.
2. **Load Video**: choose your clip, best one clear movement. Its first {FRAMES // FPS} seconds are
   used, at {FPS} frames a second: `sample_fps` and `max_frames` change that.
"""

SPACE = """
The clip is read by the same CLIP that Kandinsky's prior predicts images for. So what turns is the
picture's **meaning** itself, not a vector of another space.
"""


def kandinsky(add: Graph, prompt: str, image: bool = False) -> Subject:
    """Decoder, prior and both CLIPs, in one node → the prior's image embeddings."""
    decoder = add(
        "Kandinsky22LoadDecoder",
        models.DECODER,
        models.MOVQ,
        unet_name=models.DECODER["name"],
        movq_name=models.MOVQ["name"],
    )
    prior = add("Kandinsky22LoadPrior", models.PRIOR, prior_name=models.PRIOR["name"])
    clip = add(
        "CLIPLoader",
        models.TEXT_ENCODER,
        clip_name=models.TEXT_ENCODER["name"],
        type="stable_cascade",
    )
    vision = add("CLIPVisionLoader", models.BIG_G, clip_name=models.BIG_G["name"])
    loaders = add.fold(
        "Kandinsky 2.2",
        column(decoder, prior, clip, vision),
        shows=[
            (decoder, "unet_name", "decoder"),
            (decoder, "movq_name", "movq"),
            (prior, "prior_name", "prior"),
            (clip, "clip_name", "text_encoder"),
            (vision, "clip_name", "image_encoder"),
        ],
        gives=[
            (decoder, "model"),
            (decoder["vae"], "vae"),
            (prior, "prior"),
            (clip, "text_encoder"),
            (vision, "image_encoder"),
        ],
    )
    loaders.least_size = (WIDE, 0)
    inputs, pictures = {"text": prompt}, []
    if image:
        pictures = [add("LoadImage", image=IMAGE)]
        pictures.append(add("CLIPVisionEncode", clip_vision=vision, image=pictures[0]))
        inputs |= {"image": pictures[1], "image_weight": 1.0}
    encode = imagine(add, prior, clip, vision, **inputs)
    canvas = add("EmptyLatentImage", width=SIZE, height=SIZE)
    return Subject(
        decoder["model"],
        Output(clip, 0),
        decoder["vae"],
        Output(vision, 0),
        encode["positive"],
        encode["negative"],
        canvas,
        (loaders,),
        (*pictures, encode),
        KANDINSKY,
    )


def imagine(add: Graph, prior: Node, clip: Node, vision: Node, **inputs) -> Node:
    """The prior's image embeddings; text encoder and image encoder may be one node."""
    return add("Kandinsky22Encode", prior=prior, clip=clip, clip_vision=vision, seed=SEED, **inputs)


def text_loop(add: Graph) -> Stack:
    """The embedding that the prior draws for a prompt is moved by a clip."""
    text = add.note(f"""
# Kandinsky 2.2: the prompt moves

A clip's motion moves the **image embedding** that Kandinsky's prior draws for your prompt. All
frames start from the same noise.
{SPACE}{FIRST_STEPS}
3. Write your prompt in **Kandinsky 2.2 Prior**, and run.

## Then

- **Rotate Conditioning** `strength`: 1 is the clip's own motion, 0 a still. Start at 0.3 if the
  subject is lost on the way.
- `method`: *carry* keeps the whole path of the clip; *rotate* and *perturb* at 0.1 to 0.3 are the
  article's.
- `seed` of the prior: another picture of the same prompt.
- Out of memory? Put **Frames to List** in, as in *text and noise* of Kandinsky.

What was read from the clip? *02-look_at_a_clip_first* shows it.
""")
    subject = kandinsky(add, "a red fox running through the snow, digital art")
    read = motion(add, subject)
    moved = rotate(add, subject, read)
    drawn = draw(add, subject, read, moved)
    return drawn_page(add, text, subject, read, drawn, "Move it and draw", "kandinsky-text")


def noise_loop(add: Graph) -> Stack:
    """The prompt stays, the noise drifts."""
    text = add.note(f"""
# Kandinsky 2.2: the noise moves

The image embedding stays. The **noise** that each frame is drawn from drifts as the clip does: two
frames that look alike to CLIP get noises as much alike.
{FIRST_STEPS}
3. Write your prompt in **Kandinsky 2.2 Prior**, and run.

## Then

- **Rotate Latent Noise** `strength`: 0 gives every frame the same noise, 1 follows the clip. If the
  picture jumps, lower it.
- `method`: *correlate* (the article's drift tensor), *rotate* or *near_identity*.
- `noise_seed`: another picture, the same motion.

Each frame's noise is exactly standard normal in every method, so the model sees nothing unusual.
""")
    subject = kandinsky(add, "a field of sunflowers under drifting clouds, oil painting")
    read = motion(add, subject)
    drawn = draw(add, subject, read, None, 1.0, apart=True)
    return drawn_page(add, text, subject, read, drawn, "Move the noise and draw", "kandinsky-noise")


def text_and_noise(add: Graph) -> Stack:
    """Both, with the article's formula, frame by frame."""
    text = add.note(f"""
# Kandinsky 2.2: prompt and noise move

The article's main experiment: the clip moves the **image embedding and the noise** together, here
with the article's own formula (*perturb*, 0.3).
{SPACE}{FIRST_STEPS}
3. Write your prompt in **Kandinsky 2.2 Prior**, and run.

## Then

- The two `strength` widgets weigh the prompt against the noise.
- **Rotate Conditioning** `method`: *perturb* and *rotate* at 0.1 to 0.3, *carry* up to 1.
- **Frames to List** hands the frames to the sampler one by one, in the memory of one. `start` and
  `count` render a part of the clip; chunks give the same frames as the whole.
- Longer: raise `max_frames` in *Video → CLIP Drift* and `frames` in *Drift to Rotations*.
""")
    subject = kandinsky(add, "a ballerina dancing on a stage, soft light, photograph")
    read = motion(add, subject)
    moved = rotate(add, subject, read, method="perturb", strength=0.3)
    drawn = draw(add, subject, read, moved, 0.3, each=True, apart=True)
    title = "Move both and draw, frame by frame"
    return drawn_page(add, text, subject, read, drawn, title, "kandinsky-text-and-noise")


def image_prompt(add: Graph) -> Stack:
    """A picture is the prompt, and its embedding is moved."""
    text = add.note(f"""
# Kandinsky 2.2: a picture is the prompt

**Your picture** is looked at by CLIP, and the clip's motion moves that embedding: variations of the
picture, in the rhythm of the clip.
{SPACE}{FIRST_STEPS}
3. **Load Image**: your picture. Run.

## Then

- **Kandinsky 2.2 Prior** `image_weight`: 1 is the picture alone. Lower it, and write a prompt, to
  mix both.
- **Rotate Conditioning** `strength`: 1 is the clip's own motion, 0 a still.
- **Draw** `noise_strength` is 0: the same noise for all frames. Raise it, and the noise drifts too.
""")
    subject = kandinsky(add, "", image=True)
    read = motion(add, subject)
    moved = rotate(add, subject, read)
    drawn = draw(add, subject, read, moved)
    saved = save(add, drawn.video, "kandinsky-image")
    columns = column(*subject.says), column(*drawn.before, *drawn.nodes), column(saved)
    return page(text, subject, read, Group("3 Move it and draw", GOLD, row(*columns)))
