"""Record the README's moving picture: the first workflow's clip, and what Mini Kandinsky draws.

    python -m pack.workshop.examples.first_gif [FILE]

As that workflow's thumbnail, without its line of text.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from ..rig.paths import REPO
from .thumbnails import SHOWN, Recorder, card, save

FILE = REPO / "docs" / "pictures" / "first.gif"


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else FILE
    target.parent.mkdir(parents=True, exist_ok=True)
    with torch.inference_mode():
        recorder = Recorder()
        drawn = recorder.drawn(SHOWN["01-mini_kandinsky"])
    save([card(*pair) for pair in zip(recorder.clip, drawn, strict=True)], target)
    print(f"{target}: {target.stat().st_size:,} bytes")
