"""CLIP Drift/Prompt: move a prompt through its own text encoder."""

from functools import partial

import torch
from comfy.utils import ProgressBar
from comfy_api.latest import io, ui
from torch import Tensor

from ..clip_drift.errors import DriftError
from ..clip_drift.report import moved_prompt_report
from ..clip_drift.through.bank import behind, read_bank
from ..clip_drift.through.captions import caption_path
from ..clip_drift.through.carriers import CARRIERS
from ..clip_drift.through.inversion import KEEP, SMOOTH, STEPS, Moved
from ..clip_drift.through.report import Reading, reading
from ..clip_drift.walks import WALKS, PromptWalk
from .core import sockets
from .core.advice import frames_advice
from .core.caption_prompts import encode_captions, tower_vectors
from .core.encoders import ManagedOpenClip
from .core.language import say
from .core.message import with_warnings
from .core.moved_prompt import (
    free_words,
    invert_prompt,
    pick_carrier,
    shifted_end_token,
    towers_for,
)
from .core.prompt_frames import as_words, encode_frames, end_of

THROUGH = ("inversion", "end_token", "captions")
AUTO = "auto"
PHRASES = "; ".join(f"{group}: {phrases[0]}" for group, phrases in CARRIERS.items())


class ClipDriftRotatePrompt(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ClipDriftRotatePrompt",
            display_name="Rotate Prompt",
            category="CLIP Drift/Prompt",
            description="Move a prompt along a motion through its own text encoder, so that a "
            "model that draws from text tokens (SD, SDXL, SD 3, Flux) sees it. The clip must have "
            "been read by the CLIP that the text encoder belongs to.",
            search_aliases=["prompt travel", "animate prompt", "textual inversion", "clip drift"],
            has_intermediate_output=True,
            inputs=[
                io.Clip.Input("clip", tooltip="The text encoder that the model draws from."),
                io.String.Input(
                    "text",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="The prompt. It need not say where anything is.",
                ),
                sockets.Rotation.Input(
                    "rotation", tooltip="The motion, from Rotation Matrix from Vectors."
                ),
                io.String.Input(
                    "words",
                    default="",
                    tooltip="The words that may move, separated by commas, spelled as in the text. "
                    "Empty: the carrier's; without a carrier, all.",
                ),
                io.String.Input(
                    "carrier",
                    default="halfway across and at middle height",
                    tooltip="A neutral phrase put behind the prompt, whose words alone move: it "
                    "says what kind of thing may change. auto lets the text encoder choose; empty "
                    f"is none. Phrases to choose from: {PHRASES}.",
                ),
                io.Combo.Input(
                    "method",
                    list(WALKS),
                    default="follow",
                    tooltip="How the prompt walks in CLIP's joint space. follow: be where the clip "
                    "is, for a prompt that says no place. tangent: turn as the clip turns, for one "
                    "that begins where the clip begins. The rest as in Rotate Conditioning.",
                ),
                sockets.strength_input(
                    "How much of the motion to apply: 0 is the prompt as it is, 1 the clip's own."
                ),
                io.Combo.Input(
                    "through",
                    list(THROUGH),
                    default="inversion",
                    tooltip="inversion: the words are moved until the text stands where it should. "
                    "end_token: the state at the text's end is moved, in closed form (SD 1.x "
                    "only). captions: each frame takes the nearest of many texts, for T5 too.",
                ),
                io.Float.Input(
                    "keep",
                    default=KEEP,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Holds the words near what they say. More is safer and moves less.",
                ),
                io.Float.Input(
                    "smooth",
                    default=SMOOTH,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Holds the words of neighbouring frames alike.",
                ),
                io.MultiType.Input(
                    "encoder",
                    [io.ClipVision, sockets.OpenClip],
                    optional=True,
                    tooltip="What read the clip. An OpenCLIP encoder brings the text projection "
                    "that SD 1.x checkpoints leave out.",
                ),
                io.String.Input(
                    "captions",
                    default="",
                    multiline=True,
                    optional=True,
                    tooltip="For through captions and read_as: phrases to put behind the prompt, "
                    "one per line. Empty: the pack's own few hundred.",
                ),
                io.Int.Input(
                    "steps",
                    default=STEPS,
                    min=1,
                    max=1000,
                    tooltip="Of the inversion, which stops early once it is there.",
                    optional=True,
                    advanced=True,
                ),
                io.Int.Input(
                    "directions",
                    default=0,
                    min=0,
                    max=64,
                    tooltip="How many principal directions of the motion follow takes; 0 by "
                    "itself.",
                    optional=True,
                    advanced=True,
                ),
            ],
            outputs=[
                io.Conditioning.Output(
                    "conditioning", tooltip="The prompt in every frame, as a batch."
                ),
                io.Int.Output("frame_count", tooltip="How many frames, for the latent's batch."),
                io.String.Output(
                    "read_as",
                    tooltip="Per frame: the nearest caption, and how much of the way was reached.",
                ),
                io.Image.Output(
                    "plots",
                    tooltip="Targets reached, which words moved how far, and the path in words.",
                ),
                sockets.rate_output(),
            ],
        )

    @classmethod
    @frames_advice()
    def execute(
        cls,
        clip,
        text,
        rotation,
        words,
        carrier,
        method,
        strength,
        through,
        keep,
        smooth,
        encoder=None,
        captions="",
        steps=STEPS,
        directions=0,
    ):
        walk = PromptWalk(
            rotation, method, sockets.as_strength(strength), directions=directions
        ).for_batch()
        phrases = read_bank(captions)
        job = _Job(clip, text, walk, encoder, through)
        whole = job.with_carrier(carrier)
        if through == "captions":
            result = job.by_captions(whole, phrases)
        elif through == "end_token":
            result = job.by_end_token(whole, phrases)
        else:
            result = job.by_inversion(whole, phrases, words, keep, smooth, steps)
        conditioning, found, targets, tokens, note = result
        plots = moved_prompt_report(found, targets, tokens, say).unsqueeze(0)
        lines = map(say, found.lines())
        advice = found.advice() if any(walk.strength) else None
        said = "\n".join([note, _summary(found, whole)])
        shown = with_warnings(said, [say(advice)] if advice else [])
        return io.NodeOutput(
            conditioning,
            len(walk),
            "\n".join([note, *lines]),
            plots,
            sockets.rate_of(rotation),
            ui={**ui.PreviewImage(plots, cls=cls).as_dict(), "text": (shown,)},
        )


class _Job:
    """One prompt, one CLIP, one walk."""

    def __init__(self, clip, text: str, walk: PromptWalk, encoder, through: str):
        clip.load_model()
        self.clip, self.text, self.walk = clip, text, walk
        self.tokenize = partial(clip.tokenize, return_word_ids=True)
        self.encoder = encoder if isinstance(encoder, ManagedOpenClip) else None
        try:
            self.towers = towers_for(
                clip,
                self.tokenize(text),
                walk.rotation.dim,
                walk.rotation.encoder or "the clip",
                self.encoder.text_projection() if self.encoder else None,
            )
        except DriftError:
            # What read the clip can read captions for a text encoder that shares no space with it.
            if through != "captions" or self.encoder is None:
                raise
            self.towers = {}
        # One tower speaks for all in what is read: of SDXL's two, the one that points there.
        self.key, self.tower = next(iter(self.towers.items()), ("", None))

    def targets(self, vector: Tensor) -> Tensor:
        """(1, N) text vector → (F, N) where each frame's text should stand."""
        return self.walk(vector.float().cpu()[None])[:, 0]

    def vectors(self, texts: list[str]) -> Tensor:
        """(C, N) where texts stand in the joint space."""
        if self.tower is not None:
            return tower_vectors(self.clip, self.key, self.tower, texts)
        rows = [self.encoder.encode_text(text).pooled for text in texts]
        return torch.nn.functional.normalize(torch.cat(rows), dim=-1)

    def with_carrier(self, carrier: str) -> str:
        carrier = carrier.strip()
        if carrier != AUTO or self.tower is None:
            carrier = "" if carrier == AUTO else carrier
            return behind(self.text, carrier) if carrier else self.text
        phrases = [phrase for group in CARRIERS.values() for phrase in group]
        chosen = pick_carrier(self.clip, self.key, self.tower, self.text, phrases, self.targets)
        return behind(self.text, chosen)

    def by_inversion(self, whole, phrases, words, keep, smooth, steps):
        prompt = self.tokenize(whole)
        free = free_words(prompt, self.tokenize, words, self.text)
        bar = ProgressBar(steps)
        moved = invert_prompt(
            self.clip,
            prompt,
            self.towers,
            free,
            self.targets,
            lambda done, count, _cosine: bar.update_absolute(done, count),
            keep=keep,
            smooth=smooth,
            steps=steps,
        )
        conditioning = encode_frames(self.clip, moved.frames)
        places = [i for i, each in enumerate(moved.moved[self.key]) if each is not None]
        if not places:
            raise DriftError(
                "no word may move: name words of the text, or give it a carrier phrase behind it."
            )
        at = places[-1]
        found = self._read(moved.moved[self.key][at], moved.targets[self.key][at], phrases)
        window = prompt[self.key][at]
        return (
            conditioning,
            found,
            moved.targets[self.key][at].cpu(),
            as_words(self.clip, self.key, window[: end_of(window) + 1]),
            "; ".join(moved.notes),
        )

    def by_end_token(self, whole, phrases):
        prompt = self.tokenize(whole)
        plain = encode_frames(self.clip, [prompt])
        conditioning = shifted_end_token(self.clip, prompt, plain, self.tower, self.targets)
        vector = self.vectors([whole])
        targets = self.targets(vector)
        before = (targets @ vector[0]).float()
        still = Moved(torch.zeros(len(targets), 1, 1), before, torch.ones_like(before))
        found = self._read(still, targets, phrases)
        return (
            conditioning,
            found,
            targets,
            [say("end of text")],
            say("the end token moved, exactly"),
        )

    def by_captions(self, whole, phrases):
        # The prompt itself comes first: at strength 0 it is the nearest.
        texts = [whole, *(behind(self.text, phrase) for phrase in phrases)]
        vectors = self.vectors(texts)
        targets = self.targets(vectors[:1])
        path = caption_path(vectors, targets)
        conditioning = encode_captions(self.clip, texts, path)
        before = (targets @ vectors[0]).float()
        moved = Moved(torch.zeros(len(targets), 1, 1), before, path.cosines)
        found = reading(moved, targets, vectors, [whole, *phrases])
        count = len(set(path.indices[:, 0].tolist()))
        return (
            conditioning,
            found,
            targets,
            [whole],
            say("{count} captions of {texts} say it", count=count, texts=len(texts)),
        )

    def _read(self, moved: Moved, targets: Tensor, phrases: list[str]) -> Reading:
        texts = [behind(self.text, phrase) for phrase in phrases]
        bank = self.vectors(texts)
        return reading(moved, targets, bank, phrases)


def _summary(found: Reading, whole: str) -> str:
    said = say(
        "“{text}” · {frames} frames · {share:.0f} % of the way",
        text=whole,
        frames=len(found.after),
        share=100 * float(found.reached.mean()),
    )
    if not found.lost:
        return said
    return said + say(" · frames {lost} ran out of range", lost=", ".join(map(str, found.lost)))


NODES = [ClipDriftRotatePrompt]
