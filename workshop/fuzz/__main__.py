"""Feed every reader with broken files: 10,000 cases, stated seed.

python -m pack.workshop.fuzz [--cases 10000] [--seed 1] [--only drift video workflow config]
python -m pack.workshop.fuzz --again video:1:123          one case, its error shown
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tqdm import tqdm

from ..rig.server import ComfyServer
from .run import Fault, run_case, run_cases
from .targets import TARGETS, make_corpus

SHARES = {"drift": 0.2, "video": 0.4, "workflow": 0.3, "config": 0.1}
LIMIT = 60.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=list(TARGETS), default=list(TARGETS))
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds for a case")
    parser.add_argument("--again", metavar="KIND:SEED:NUMBER", help="one case, in this process")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder)
        make_corpus(corpus, _infos())
        if options.again:
            kind, seed, number = options.again.split(":")
            what = run_case(kind, int(seed), int(number), corpus)
            print(what or "no fault")
            return bool(what)
        faults = _run(options, corpus)
    for (kind, what), count in Counter((f.kind, f.what) for f in faults).most_common():
        first = next(f for f in faults if (f.kind, f.what) == (kind, what))
        print(f"\n{count} × {kind}, first by --again {kind}:{first.seed}:{first.number}\n{what}")
    return bool(faults)


def _infos() -> dict:
    with tempfile.TemporaryDirectory() as folder, ComfyServer(Path(folder)) as server:
        return server.object_info()


def _run(options: argparse.Namespace, corpus: Path) -> list[Fault]:
    faults: list[Fault] = []
    whole = sum(SHARES[kind] for kind in options.only)
    for kind in options.only:
        numbers = range(round(options.cases * SHARES[kind] / whole))
        started = time.monotonic()
        cases = run_cases(kind, options.seed, numbers, corpus, options.limit)
        found = [fault for fault in tqdm(cases, kind, len(numbers), mininterval=10) if fault]
        faults += found
        seconds = time.monotonic() - started
        print(f"{kind}: {len(numbers)} cases, {len(found)} faults, {seconds:.0f} s", flush=True)
    return faults


if __name__ == "__main__":
    sys.exit(main())
