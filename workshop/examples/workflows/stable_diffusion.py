"""The workflows on Stable Diffusion 1.5, and the one that draws nothing."""

from __future__ import annotations

from ..ui_graph import Graph, Group, Output, Stack, column, row
from . import models
from .parts import (
    BLUE,
    FPS,
    FRAMES,
    GOLD,
    PAGE_WIDTH,
    PURPLE,
    SEED,
    TEAL,
    VIDEO,
    draw,
    drawn_page,
    motion,
    page,
    rotate,
    save,
    stable_diffusion,
)

FIRST_STEPS = f"""
## First

1. **Load Video**: choose your clip, best one clear movement. Its first {FRAMES // FPS} seconds are
   used, at {FPS} frames a second: `sample_fps` and `max_frames` change that.
2. **Load Checkpoint**: any Stable Diffusion 1.5 model.
3. **Load CLIP Vision**: CLIP ViT-L/14. Save
   [model.safetensors]({models.VIT_L["url"]}) as
   `models/clip_vision/{models.VIT_L["name"]}`.
4. Write your prompt, and run.
"""

CENTERED = """
*Drift to Rotations*: leave `centered` off here. Centred rotations turn by much larger angles, which
a text prompt does not survive at strength 1; with them, start at 0.1 to 0.3.
"""


def look_first(add: Graph) -> Stack:
    """Nothing is drawn: look at a clip in pixel space and in CLIP space."""
    text = add.note(f"""
# Look first

Nothing is drawn here and no checkpoint is needed: see what a clip looks like to CLIP **before** you
let it move anything.

1. **Load Video**: choose your clip.
2. **Load CLIP Vision**: CLIP ViT-L/14. Save
   [model.safetensors]({models.VIT_L["url"]}) as
   `models/clip_vision/{models.VIT_L["name"]}`.
3. Run.

## Drift Report

- **Matrices**: how alike every two frames are, in pixels and in CLIP space. Pixels swing widely,
  CLIP changes smoothly.
- **Neighbours**: where both curves dip together, something moved.
- **Step angles**: even steps carry over well. A spike is a cut: trim the clip there.

## Rotation Matrix

What one dense rotation does, less the identity: rank 2, hence the pattern of stripes. `matrix_pair`
chooses the frame, `centered` takes out what all frames share.
""")
    video = add("LoadVideo", file=VIDEO)
    encoder = add("CLIPVisionLoader", models.VIT_L, clip_name=models.VIT_L["name"])
    drift = add("ClipDriftFromVideo", frames=video, encoder=encoder, sample_fps=FPS)
    report = add("ClipDriftReport", drift=drift)
    report.share, report.least_size = 1.6, (0, 850)
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
        Group("1 Read the motion", BLUE, row(column(encoder, video), column(drift))),
        Group("2 Look at the clip", TEAL, column(report)),
        Group("3 Look at one rotation", PURPLE, column(rotation, matrix)),
    ).widen(PAGE_WIDTH)


def noise_only(add: Graph) -> Stack:
    """The prompt stays, the noise drifts."""
    text = add.note(f"""
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
""")
    subject = stable_diffusion(add, "a campfire in a pine forest at night, sparks, photograph")
    read = motion(add, subject)
    drawn = draw(add, subject, read, None, 1.0, apart=True)
    return drawn_page(add, text, subject, read, drawn, "Move the noise and draw", "noise-only")


def text_and_noise(add: Graph) -> Stack:
    """Text and noise together, frame by frame."""
    text = add.note(f"""
# Text and noise, frame by frame

The motion moves the **prompt and the noise** together. **Frames to List** hands the frames to the
sampler one by one, so a long clip needs no more memory than one picture. The frames are the same as
in one batch.
{FIRST_STEPS}
## Then

- Longer: raise `max_frames` in *Video → CLIP Drift* and `frames` in *Drift to Rotations*.
- **Frames to List** `start` and `count` render a part of the clip: chunks give the same frames as
  the whole, also on several machines.
- The two `strength` widgets weigh text against noise.
- **Rebatch Images** collects the finished frames again.

{CENTERED}
""")
    subject = stable_diffusion(add, "a sailing boat on a calm sea at sunset, watercolor")
    read = motion(add, subject)
    moved = rotate(add, subject, read)
    drawn = draw(add, subject, read, moved, 0.5, each=True, apart=True)
    title = "Move both and draw, frame by frame"
    return drawn_page(add, text, subject, read, drawn, title, "text-and-noise")


def feedback_loop(add: Graph) -> Stack:
    """Every frame starts from the one before."""
    text = add.note(f"""
# Feedback loop

The first picture is drawn as usual. Then **Frame Loop Start … End** runs the nodes between them
once a frame: each frame starts from the **previous result**, is noised again (`denoise` below 1)
and drawn with its own moved prompt.
{FIRST_STEPS}
## Then

- `denoise` of the sampler **in the loop**: lower is steadier, higher follows the prompt more.
- **Frame Loop Start** `feedback`: 1 starts from the previous frame alone; less mixes the first
  picture in, which keeps a long clip from wandering off.
- **First Frame** opens: **Repeat Latent Batch** in it gives each frame its own noise. Without it
  the same noise is added again and again, and burns in.

Frames are drawn one after another, so this is slower than a batch.

{CENTERED}
""")
    subject = stable_diffusion(add, "a garden full of flowers in the wind, impressionist painting")
    read = motion(add, subject)
    moved = rotate(add, subject, read)
    how = subject.sampling
    drawing = {"steps": how.steps, "cfg": how.cfg, "seed": SEED}
    drawing |= {"sampler_name": how.sampler, "scheduler": how.scheduler}
    drawing |= {"model": subject.model, "negative": subject.negative}
    first = add("KSampler", positive=subject.positive, latent_image=subject.canvas, **drawing)
    repeated = add("RepeatLatentBatch", samples=first, amount=moved["frame_count"])
    first_frame = add.fold(
        "First Frame",
        row(subject.canvas, first, repeated),
        shows=[
            (subject.canvas, "width", "width"),
            (subject.canvas, "height", "height"),
            (first, "seed", "seed"),
            (first, "steps", "steps"),
            (first, "cfg", "cfg"),
        ],
    )
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
    decoded = add("VAEDecode", samples=end, vae=subject.vae)
    video = add("CreateVideo", images=decoded, fps=read.fps)
    shown = add.fold("Decode", row(decoded, video), gives=[(video, "video"), (decoded, "images")])
    saved = save(add, Output(video, 0), "feedback-loop")
    drawn = row(
        column(*subject.says, moved, first_frame),
        column(start, frame, end),
        column(shown, saved),
    )
    title = "3 Draw the first frame, then each from the one before"
    return page(text, subject, read, Group(title, GOLD, drawn))
