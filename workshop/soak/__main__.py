"""Render for long by two workers that are killed again and again, or read a film of hours.

python -m pack.workshop.soak frames --out FOLDER [--frames 2000] [--kills 12] [--seed 1]
python -m pack.workshop.soak film --out FOLDER [--hours 2]

`frames` renders with Mini Kandinsky: first on one ComfyUI, then by two workers of Ray, of which
one, its ComfyUI or the driver is killed at random, as often as told and at random times; a killed
driver is called again. Every frame has to be equal. The same call goes on where it ended. `film`
makes a film by repeating a clip's packets, and reads it by Video → CLIP Drift. Both write
memory.csv and say how flat it is.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .film import read_film
from .frames import Soak


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    frames = commands.add_parser("frames")
    frames.add_argument("--frames", type=int, default=2000)
    frames.add_argument("--kills", type=int, default=12)
    frames.add_argument("--chunk", type=int, default=8)
    frames.add_argument("--steps", type=int, default=4)
    frames.add_argument("--seed", type=int, default=1)
    film = commands.add_parser("film")
    film.add_argument("--hours", type=float, default=2.0)
    film.add_argument("--fps", type=float, default=1.0, help="frames that are read per second")
    for each in (frames, film):
        each.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if options.command == "film":
        read_film(options.out, options.hours, options.fps)
        return 0
    return Soak(options.out, options.frames, options.steps, options.chunk).run(
        options.kills, options.seed
    )


if __name__ == "__main__":
    sys.exit(main())
