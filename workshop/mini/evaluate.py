"""Measure the exported models on held-out scenes, and write the figures and pictures.

    python -m pack.workshop.mini.evaluate [FOLDER] [--count N]

Shape and colour are judged by a classifier that had no part in the training; place, size and turn
by segmenting the pictures.
"""

import argparse
import json
import math
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from ..rig.paths import MODELS
from ..world.captions import write_captions
from ..world.scenes import HELD_OUT, SIZE, Scenes, draw_scenes, measure, render
from .classifier import Classifier, shipped_classifier
from .exported import PRIOR_CFG, Mini, load_mini
from .runs import RUNS, save_picture

SEED = HELD_OUT + 1000
STEPS = 25
CFG = 2.0  # of the decoder


def evaluate(mini: Mini, judge: Classifier, count: int, folder: Path) -> dict[str, dict]:
    """Figures by part; `count` scenes each."""
    folder.mkdir(parents=True, exist_ok=True)
    scenes = draw_scenes(count, SEED)
    pictures = render(scenes)
    embeddings = mini.embed(pictures)
    captions = write_captions(scenes, SEED, complete=1.0)
    back = mini.through_movq(pictures)
    drawn = mini.draw(embeddings, steps=STEPS, cfg=CFG, seed=SEED)
    imagined = mini.imagine(captions, seed=SEED)
    told = mini.draw(imagined, steps=STEPS, cfg=CFG, seed=SEED)
    shown = torch.cat([p[:16] for p in (pictures, back, drawn, told)])
    save_picture(folder / "evaluation.png", shown, scale=4)
    return {
        "classifier": {"pictures": count, **judged(judge, pictures, scenes)},
        "clip": {"pictures": count, **retrieval(mini, embeddings, captions)},
        "movq": {
            "pictures": count,
            "psnr_db": round(-10 * math.log10(float((back - pictures).square().mean())), 2),
            **seen(judge, back, scenes),
        },
        "decoder": {"pictures": count, "steps": STEPS, "cfg": CFG, **seen(judge, drawn, scenes)},
        "prior": {
            "captions": count,
            "steps": STEPS,
            "cfg": PRIOR_CFG,
            "cosine": mean(functional.cosine_similarity(imagined, embeddings)),
            **seen(judge, told, scenes),
        },
    }


def seen(judge: Classifier, drawn: Tensor, scenes: Scenes) -> dict[str, float]:
    """How drawn pictures agree with the scenes that they should show; lengths in widths."""
    found = measure(drawn, scenes.shape)
    off = torch.hypot(found.x - scenes.x, found.y - scenes.y)
    true = measure(render(scenes, SIZE), scenes.shape)
    turn = (found.turn - true.turn).abs()[scenes.shape != 0]
    return {
        **judged(judge, drawn, scenes),
        "centre_off_median": median(off),
        "radius_off_median": median((found.radius - true.radius).abs()),
        "turn_off_median_degrees": median(turn.rad2deg()),
        "nothing_to_see": mean(found.x.isnan().float()),
    }


def judged(judge: Classifier, pictures: Tensor, scenes: Scenes) -> dict[str, float]:
    shape, colour, ground = judge.judge(pictures)
    shape_right, colour_right = shape == scenes.shape, colour == scenes.colour
    return {
        "shape_right": mean(shape_right.float()),
        "colour_right": mean(colour_right.float()),
        "shape_and_colour_right": mean((shape_right & colour_right).float()),
        "ground_right": mean((ground == scenes.ground).float()),
    }


def retrieval(mini: Mini, embeddings: Tensor, captions: list[str], among: int = 128) -> dict:
    """How often a caption is nearest to its own picture among 128, and the other way."""
    image = functional.normalize(embeddings[:among], dim=-1)
    text = functional.normalize(mini.clip.encode_text(captions[:among]).pooled, dim=-1)
    logits = image @ text.T
    answers = torch.arange(len(logits))
    return {
        "among": len(logits),
        "picture_to_caption_right": mean((logits.argmax(1) == answers).float()),
        "caption_to_picture_right": mean((logits.argmax(0) == answers).float()),
    }


def mean(values: Tensor) -> float:
    return round(float(values.mean()), 4)


def median(values: Tensor) -> float:
    return round(float(values.nanmedian()), 4)


def report(figures: dict[str, dict], folder: Path) -> None:
    """Print figures, and keep them for the card."""
    text = json.dumps(figures, indent=2)
    (folder / "evaluation.json").write_text(text + "\n", encoding="utf-8")
    print(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=MODELS)
    parser.add_argument("--count", type=int, default=512, help="held-out scenes (default 512)")
    options = parser.parse_args()
    figures = evaluate(load_mini(options.folder), shipped_classifier(), options.count, RUNS)
    report(figures, RUNS)


if __name__ == "__main__":
    main()
