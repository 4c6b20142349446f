"""The benchmark: ratios, each measured side by side in one run, beside what they should be.

python -m pack.workshop.bench --json FILE [--only method text video render ...] [--full-size]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path

from . import farm, kandinsky, method, render, text, video

PARTS = {
    "method": method,
    "text": text,
    "video": video,
    "render": render,
    "farm": farm,
    "kandinsky": kandinsky,
}

# name → (the limit, whether it is the most or the least)
TARGETS = {
    "apply_over_lerp": (4, "most"),
    "dense_over_apply": (15, "least"),
    "noise_apply_over_lerp": (6, "most"),
    "noise_allocation_over_dense": (0.05, "most"),
    "inversion_over_passes": (1.3, "most"),
    "window_over_inversion": (4, "least"),
    "drift_over_slower": (1.15, "most"),
    "overlap_over_slower": (1.15, "most"),
    "memory_long_over_short": (1.05, "most"),
    "nodes_share": (0.01, "most"),
    "chunked_over_whole": (1.05, "most"),
    "resume_s": (2, "most"),
    "two_workers_over_one": (1.8, "least"),
    **{f"{job}_time": (1.05, "most") for job in ("unet", "encode", "decode", "prior")},
    **{f"{job}_memory": (1.0, "most") for job in ("unet", "encode", "decode", "prior")},
}


def row(name: str, value: float) -> str:
    """One line of the table."""
    line = f"{name:30} {value:10.3f}"
    if name not in TARGETS:
        return line
    limit, kind = TARGETS[name]
    met = value <= limit if kind == "most" else value >= limit
    return f"{line}   at {kind} {limit:g}: {'met' if met else 'NOT MET'}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, required=True, help="file for the figures")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="not all")
    parser.add_argument(
        "--full-size", action="store_true", help="Kandinsky 2.2 of 1.25 billion parameters, 14 GB"
    )
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    results = {}
    for part in options.only:
        settings = {"full_size": options.full_size} if part == "kandinsky" else {}
        figures = results[part] = PARTS[part].measure(**settings)
        print(f"\n{part}")
        print("\n".join(row(name, value) for name, value in figures.items()), flush=True)
    options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(f"\nwritten to {options.json}")


if __name__ == "__main__":
    main()
