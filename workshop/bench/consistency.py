"""The consistency bench: what does Attend to First Frame hold still, and what does it cost?

    python -m pack.workshop.bench.consistency [FOLDER] [--save]

Mini SD draws the fresh pairs of `confirm` by its best carrier, prompts that say no place, with one
noise for all frames, with a noise of its own per frame, and with noise that walks; without
attention to other frames and with it, patched in as the node does it. Beside how far the motion is
followed stands how still all that the clip does not change is.
"""

import argparse
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn

from ...clip_drift.drift import Drift
from ...clip_drift.noise.white import white_rows
from ...clip_drift.shaping import smooth
from ..mini.classifier import Classifier, shipped_classifier
from ..mini.exported import Mini, load_mini
from ..mini.small_sd import FILE, MiniSD, load_mini_sd
from ..rig.paths import MODELS
from ..world.scenes import SIZE
from .confirm import FRESH, PATH_PAIRS, PLACE
from .results import Key, Results, key_of
from .semantics import (
    PATHS,
    SHOWN,
    figures,
    judged,
    mean,
    noise_walk,
    one_noise,
    weights_digest,
)
from .steadiness import Steadiness, steadiness
from .tables import write_table
from .text_semantics import STEPS, Encoder, Target, by_inversion
from .trials import Trial, make_trials

RESULTS = Path(__file__).resolve().parent / "consistency.json"
PAIRS_AT_ONCE = 5

Attending = tuple[str, float]
"""A mode of `clip_drift.attend` and a strength."""
ALL_MODES = tuple(
    (mode, strength)
    for mode in ("first", "first and own", "first and previous")
    for strength in (0.5, 1.0)
)


def own_noise(trial: Trial) -> Tensor:
    """(F, 4, h, w): each frame's own, as KSampler gives it; frame 0's is that of `one_noise`."""
    return torch.stack(
        list(islice(white_rows(trial.seed, (4, SIZE // 8, SIZE // 8)), len(trial.clip)))
    )


NOISES = {
    "one": one_noise,
    "own": own_noise,
    "`correlate`": noise_walk("correlate"),
    "`rotate`": noise_walk("rotate"),
}
"""Where frames begin: one noise for all, one each, or Rotate Latent Noise."""


def smoothed(trial: Trial) -> Trial:
    """Shape Drift with smooth 1."""
    return replace(trial, drift=smooth(Drift.from_embeddings(trial.drift), 1.0).embeddings)


@dataclass(frozen=True)
class Way:
    """One row.

    Attributes:
        prompts: a key of `prompts`. noise: a key of NOISES.
        attending: to other frames; None: each frame to itself.
    """

    prompts: str
    noise: str = "one"
    attending: Attending | None = None

    @property
    def about(self) -> dict:
        mode, strength = self.attending or ("none", None)
        name = f"{self.prompts}; {self.noise}; {mode}"
        keys = ("prompts", "noise", "attention", "strength", "name")
        return dict(zip(keys, (self.prompts, self.noise, mode, strength, name), strict=True))

    @property
    def key(self) -> Key:
        return key_of(self.about)


BEST, ORACLE, FROZEN = "`follow`", "oracle: each frame's caption", "frozen"


def ways() -> list[Way]:
    """All of the table's rows. Those without attention come before the same with it."""
    whole = [("first", 1.0), ("first and own", 1.0), ("first and previous", 1.0)]
    return [
        *(Way(BEST, "one", attending) for attending in (None, *ALL_MODES)),
        *(Way(BEST, "own", attending) for attending in (None, *ALL_MODES)),
        *(
            Way(BEST, noise, attending)
            for noise in list(NOISES)[2:]
            for attending in (None, *whole)
        ),
        Way("`follow`, smoothed by 1 frame"),
        *(Way(f"`follow`, {k} directions") for k in (2, 3, 4)),
        *(
            Way(ORACLE, noise, attending)
            for noise in ("one", "own")
            for attending in (None, ("first", 1.0), ("first and own", 1.0))
        ),
        *(Way(FROZEN, noise) for noise in ("one", "own")),
    ]


def prompts(encoder: Encoder) -> dict[str, Callable[[Trial], Tensor]]:
    """Name → trial → (F, T, W) contexts."""

    def carried(trial: Trial, directions: int = 0) -> Tensor:
        move = by_inversion(encoder, Target("follow", directions=directions), None, (PLACE,))
        return move(trial, trial.text["unsaid"])

    def still(trial: Trial) -> Tensor:
        return encoder.sd.read([trial.text["unsaid"]]).expand(len(trial.clip), -1, -1)

    return {
        BEST: carried,
        "`follow`, smoothed by 1 frame": lambda trial: carried(smoothed(trial)),
        **{f"`follow`, {k} directions": partial(carried, directions=k) for k in (2, 3, 4)},
        ORACLE: lambda trial: encoder.sd.read(trial.captions),
        FROZEN: still,
    }


def patched(unet: nn.Module, attending: Attending | None, chunks: int) -> dict:
    """ComfyUI's transformer_options for a call of so many chunks of frames, as the node's patch
    leaves them."""
    if attending is None:
        return {}
    from comfy.model_patcher import ModelPatcher

    from ...nodes.core.attention import FrameAttention, attend_to_frames

    model = nn.Module()
    model.diffusion_model = unet
    cpu = torch.device("cpu")
    patcher = ModelPatcher(model, load_device=cpu, offload_device=cpu)
    attend_to_frames(patcher, FrameAttention(*attending, math.inf, 0.0), "all")
    # Which of a sampler's prompts a chunk is for tells the patch nothing, only how many there are.
    call = {"cond_or_uncond": [0] * chunks, "sigmas": torch.ones(1)}
    return patcher.model_options["transformer_options"] | call


def draw(
    sd: MiniSD, contexts: list[Tensor], noises: list[Tensor], attending: Attending | None
) -> Tensor:
    """Pictures, one pair's frames after another's.

    Args:
        contexts: per pair (F, T, W). noises: per pair (F, 4, h, w).
    """
    negative = sd.read([""])[0]
    pieces = []
    for at in range(0, len(contexts), PAIRS_AT_ONCE):
        context, noise = (torch.cat(x[at : at + PAIRS_AT_ONCE]) for x in (contexts, noises))
        chunks = 2 * len(context) // len(contexts[0])  # a chunk of frames per pair, guided
        options = patched(sd.unet, attending, chunks)
        pieces.append(
            sd.draw(context, noise, negative, steps=STEPS, chunk=len(context), options=options)
        )
    return sd.decode(torch.cat(pieces))


def still_figures(found: list[Steadiness]) -> dict[str, float]:
    """Medians over the pairs in which there is something to read."""
    result = {}
    for name in Steadiness.__dataclass_fields__:
        values = [getattr(each, name) for each in found]
        known = torch.tensor([x for x in values if x is not None and not math.isnan(x)])
        result[name] = round(float(known.double().quantile(0.5)), 5)
    return result


def measured(
    sd: MiniSD, mini: Mini, judge: Classifier, trials: list[Trial], chosen: list[Way]
) -> Iterator[dict]:
    """Each way's figures, as they are found."""
    texts = prompts(Encoder(sd))
    contexts: dict[str, list[Tensor]] = {}
    alone: dict[tuple[str, str], Tensor] = {}
    for way in chosen:
        if way.prompts not in contexts:
            contexts[way.prompts] = [texts[way.prompts](trial)[SHOWN] for trial in trials]
        noises = [NOISES[way.noise](trial)[SHOWN] for trial in trials]

        def drawn(attending, way=way, noises=noises) -> Tensor:
            return draw(sd, contexts[way.prompts], noises, attending)

        base = alone.get((way.prompts, way.noise))
        if base is None:
            base = alone[way.prompts, way.noise] = drawn(None)
        pictures = drawn(way.attending) if way.attending else base
        found = judged(judge, trials, pictures)
        seen = [
            steadiness(
                each.pictures,
                each.trial.motion,
                each.trial.ideal[SHOWN],
                torch.where(each.shape_kept, each.trial.ideal.shape[SHOWN], -1),
                mini.embed(each.pictures),
            )
            for each in found
        ]
        changed = {"changed": mean((pictures - base).abs() * 255)} if way.attending else {}
        yield way.about | figures(found) | still_figures(seen) | changed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=MODELS)
    parser.add_argument("--save", action="store_true", help="consistency.json, and its table")
    options = parser.parse_args()
    mini, sd, judge = load_mini(options.folder), load_mini_sd(options.folder), shipped_classifier()
    about = {
        "weights": weights_digest(options.folder, FILE),
        "seed": FRESH,
        "pairs": PATH_PAIRS * len(PATHS),
        "steps": STEPS,
    }
    order = [way.key for way in ways()]
    results = Results(RESULTS, about, order, options.save)
    trials = make_trials(mini, PATHS, PATH_PAIRS, FRESH)
    chosen = [way for way in ways() if not results.known(way.key)]
    for row in measured(sd, mini, judge, trials, chosen):
        results.add(row)
        print(json.dumps(row), flush=True)
    if options.save:
        write_table(results.whole, "consistency")


if __name__ == "__main__":
    main()
