"""The scores of a clip encoded anew, of a still, of shuffled frames and of noise, as a table.

    python -m pack.workshop.bench.scores [--clip FILE] [--encoder FILE] [--frames N] [--crf N]

Four results are compared with one clip: itself encoded to a lower quality and read again, its
first frame as a clip, its frames in random order, and pictures of noise. All four are really
encoded as H.264 and really read. Only the first follows the clip, and only its row may look so.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import av
import numpy as np

from ...clip_drift.drift import Drift
from ...clip_drift.encode import Encoder, drift_from_video
from ...clip_drift.errors import DriftError
from ...clip_drift.openclip import load_openclip_file
from ...clip_drift.scores import Comparison, Scores, compare
from ..rig.clips import write_clip
from ..rig.paths import EXAMPLES, MODELS

FPS = 24.0  # of what is written; no score asks for seconds
MINI_CLIP = MODELS / "open_clip" / "mini-kandinsky-clip.safetensors"
EXAMPLE_CLIP = EXAMPLES / "clip-drift-round.mp4"
COLUMNS = {
    "angle_spearman": "step angles, Spearman",
    "gram_correlation": "Gram, Pearson",
    "motion_ratio": "motion ratio",
    "clip_f": "CLIP-F",
    "background_consistency": "background consistency",
    "path_length": "path, rad",
    "straightness": "straightness",
}


def frames_of(clip: Path, count: int) -> list[np.ndarray]:
    """The first frames of a video's best stream, (h, w, 3) uint8, even numbers of pixels."""
    with av.open(str(clip)) as container:
        stream = container.streams.best("video")
        frames = islice(container.decode(stream), count)
        # H.264 keeps colour at half the size.
        return [_even(frame.to_ndarray(format="rgb24")) for frame in frames]


def _even(frame: np.ndarray) -> np.ndarray:
    height, width = frame.shape[:2]
    return frame[: height // 2 * 2, : width // 2 * 2]


def results(frames: list[np.ndarray], crf: int) -> Iterator[tuple[str, list[np.ndarray], int]]:
    """Name, frames and quality (H.264's crf, 51 the worst) of each clip to compare."""
    random = np.random.default_rng(0)
    yield f"encoded again, crf {crf}", frames, crf
    yield "frozen", frames[:1] * len(frames), 18
    yield "shuffled", [frames[i] for i in random.permutation(len(frames))], 18
    yield "noise", [random.integers(0, 256, frames[0].shape, np.uint8) for _ in frames], 18


def compared(clip: Path, encoder: Encoder, count: int, crf: int) -> dict[str, Comparison]:
    """Each result against the clip."""
    frames = frames_of(clip, count)
    with tempfile.TemporaryDirectory() as folder:

        def drift(name: str, pictures: list[np.ndarray], quality: int) -> Drift:
            path = Path(folder) / f"{name}.mp4"
            write_clip(path, pictures, FPS, options={"crf": str(quality)})
            return drift_from_video(str(path), encoder)

        reference = drift_from_video(str(clip), encoder, max_frames=count)
        return {
            name: compare(reference, drift(name, pictures, quality))
            for name, pictures, quality in results(frames, crf)
        }


def table(comparisons: dict[str, Comparison]) -> str:
    """Markdown, a row a clip; the first row is the clip itself."""
    first = next(iter(comparisons.values()))
    rows = [("the clip itself", first.of_reference, "")]
    rows += [(name, found.scores, found.verdict) for name, found in comparisons.items()]
    lines = [_line(["result", *COLUMNS.values(), "verdict"]), "|---" * (len(COLUMNS) + 2) + "|"]
    lines += [_line([name, *_numbers(scores), verdict]) for name, scores, verdict in rows]
    return "\n".join(lines)


def _numbers(scores: Scores) -> list[str]:
    return [f"{getattr(scores, name):.3f}".replace("-", "−") for name in COLUMNS]


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clip", type=Path, default=EXAMPLE_CLIP, help="a video file")
    parser.add_argument("--encoder", type=Path, default=MINI_CLIP, help="OpenCLIP weights")
    parser.add_argument("--frames", type=int, default=64, help="of the clip, at most (64)")
    parser.add_argument("--crf", type=int, default=35, help="quality of the first result (35)")
    options = parser.parse_args()
    try:
        encoder = load_openclip_file(options.encoder)
        found = compared(options.clip, encoder, options.frames, options.crf)
    except (DriftError, OSError) as error:
        sys.exit(f"error: {error}")
    reference = next(iter(found.values())).reference
    print(f"{options.clip.name}, {len(reference)} frames, {encoder.name}\n\n{table(found)}")


if __name__ == "__main__":
    main()
