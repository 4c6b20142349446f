"""Measure the exported Mini SD on held-out captions, and write the figures and pictures.

    python -m pack.workshop.mini.evaluate_small_sd [FOLDER] [--count N] [--steps N] [--cfg G ...]

Judged as `evaluate.py` judges Mini Kandinsky, on the same scenes and captions. *bare* captions say
shape and colour alone: where the rest then lies is the model's own affair, so only these two are
judged, and how widely the places are spread.
"""

import argparse
from pathlib import Path

import torch

from ..rig.paths import MODELS
from ..world.captions import write_captions
from ..world.scenes import COLOURS, SHAPES, Scenes, draw_scenes, measure, render
from .classifier import Classifier, shipped_classifier
from .evaluate import SEED, judged, mean, report, seen
from .runs import RUNS, folder_of, save_picture
from .small_sd import STEPS, MiniSD, load_mini_sd

GUIDANCES = (1.0, 2.0, 3.0, 4.0)


def evaluate(
    sd: MiniSD, judge: Classifier, count: int, folder: Path, steps: int, guidances: list[float]
) -> dict[str, dict]:
    """Figures by guidance; `count` scenes each."""
    scenes = draw_scenes(count, SEED)
    generator = torch.Generator().manual_seed(SEED)
    noise = torch.randn(count, 4, 8, 8, generator=generator)
    told = sd.read(write_captions(scenes, SEED, complete=1.0))
    bare = sd.read(bare_captions(scenes))
    negative = sd.read([""])[0]
    figures, shown = {}, [render(scenes[:16])]
    for cfg in guidances:
        options = {"steps": steps, "cfg": cfg}
        pictures = sd.decode(sd.draw(told, noise, negative, **options))
        free = sd.decode(sd.draw(bare, noise, negative, **options))
        found = measure(free)
        figures[f"told, guidance {cfg:g}"] = {
            "captions": count,
            **options,
            **seen(judge, pictures, scenes),
        }
        verdict = judged(judge, free, scenes)
        figures[f"bare, guidance {cfg:g}"] = {
            "captions": count,
            **options,
            **{name: verdict[name] for name in list(verdict)[:3]},
            "spread_of_x": mean(found.x[found.x.isfinite()].std()),
            "spread_of_y": mean(found.y[found.y.isfinite()].std()),
        }
        shown += [pictures[:16], free[:16]]
    save_picture(folder / "evaluation.png", torch.cat(shown), scale=2)
    return figures


def bare_captions(scenes: Scenes) -> list[str]:
    """A caption of shape and colour alone for every scene."""
    pairs = zip(scenes.colour.tolist(), scenes.shape.tolist(), strict=True)
    names = tuple(COLOURS)
    return [
        f"{'an' if names[colour][0] in 'aeiou' else 'a'} {names[colour]} {SHAPES[shape]}"
        for colour, shape in pairs
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=MODELS)
    parser.add_argument("--count", type=int, default=512, help="held-out scenes (default 512)")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--cfg", type=float, nargs="+", default=GUIDANCES)
    options = parser.parse_args()
    folder = folder_of("small_sd", RUNS)
    how = options.count, folder, options.steps, options.cfg
    report(evaluate(load_mini_sd(options.folder), shipped_classifier(), *how), folder)


if __name__ == "__main__":
    main()
