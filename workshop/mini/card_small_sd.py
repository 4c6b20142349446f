"""Write the model card of the exported Mini SD, beside that of Mini Kandinsky.

python -m pack.workshop.mini.card_small_sd [FOLDER]
"""

import json
import sys
from pathlib import Path

from ...clip_drift.weight_files import read_header
from ..world.scenes import HELD_OUT
from .runs import RUNS, folder_of
from .small_sd import FILE, WIDTH, WINDOW

CARD = FILE.with_name("MINI-SD.md")


def write_card(path: Path = CARD, runs: Path = RUNS) -> Path:
    """The card, from the exported file, evaluation.json and the log of the run."""
    run = folder_of("small_sd", runs)
    figures = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    lines = (run / "log.txt").read_text(encoding="utf-8").splitlines()
    path.write_text(_card(FILE, figures, json.loads(lines[-1])), encoding="utf-8")
    return path


def _card(file: Path, figures: dict[str, dict], last: dict) -> str:
    count = read_header(file).parameters
    columns = list(figures)
    names = list(dict.fromkeys(name for values in figures.values() for name in values))
    rows = [
        f"| {name.replace('_', ' ')} | "
        + " | ".join(str(figures[column].get(name, "")) for column in columns)
        + " |"
        for name in names
    ]
    return f"""# Mini SD

A small Stable Diffusion of Mini Kandinsky's toy world: a latent UNet of ComfyUI's own class, told
by text tokens alone through cross-attention, as SD 1.x is. CLIP and MoVQ are Mini Kandinsky's.
`{file.name}`: {count / 1e6:.2f} M parameters, {file.stat().st_size / 1e6:.1f} MB, fp16; its `.json`
holds the arguments of `UNetModel`, which weights alone don't tell.

- **Context**: the states of CLIP's text tower after the final layer norm, width {WIDTH}. The window
  is the tower's own {WINDOW} tokens; after its end token a prompt is filled up with the end token,
  and nothing masks the padding (SD 1.x does the same with 77).
- **Noise**: eps prediction; betas from 0.00085 to 0.012 in a line over 1000 times; one caption in
  ten is empty, for guidance. Latents are as the MoVQ gives them, not scaled.
- **Not as in SD 1.x**: residual blocks scale and shift by the time embedding and change the
  resolution themselves (`use_scale_shift_norm`, `resblock_updown`), so that they could begin as
  those of Mini Kandinsky's decoder, which draws the same latents; and of the seven places
  where SD's layout would have transformers four have one.

ComfyUI's loaders don't know a model of this size: `workshop/mini/small_sd.py` loads it and draws.

## Measured

On held-out scenes (seeds from {HELD_OUT} on). *told*: captions that say everything. *bare*:
captions of colour and shape alone. A classifier that had no part in the training judges shape,
colour and ground; the rest is found by segmenting, in widths of the picture. A caption's words for
the place are themselves 0.035 off in the median: nine degrees per axis, worded loosely.

| figure | {" | ".join(columns)} |
|---|{"---|" * len(columns)}
{chr(10).join(rows)}

## Made by

    python -m pack.workshop.mini.train small_sd
    python -m pack.workshop.mini.export_small_sd
    python -m pack.workshop.mini.evaluate_small_sd
    python -m pack.workshop.mini.card_small_sd

on a CPU: {last["step"]} steps of 64 in {last["minutes"]} minutes on one busy core.

{HISTORY}"""


HISTORY = """These very weights were not made in one go: times, captions and weights of the loss
changed on the way, by what lagged in pictures of held-out scenes that the figures above don't use.

| steps | times | captions that say everything | weight of the outline |
|---|---|---|---|
| to 551 | more of the noisy ones (density proportional to the time) | 75 % | 1 |
| to 1061 | all alike | 75 % | 1 |
| to 1842 | half of them from 150 to 550 | 75 % | 5 |
| from there on | half of them from 150 to 550 | 40 % | 5 |

Place, colour and ground were there by step 500; shapes 34 % right at step 1000, 87 % at about 1500.
The commands above give weights of the same kind, not the same numbers.
"""


def main() -> None:
    print(write_card(Path(sys.argv[1]) if len(sys.argv) > 1 else CARD))


if __name__ == "__main__":
    main()
