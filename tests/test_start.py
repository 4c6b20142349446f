"""What the pack costs ComfyUI's start: no heavy package, and well below a second."""

import re
import subprocess
import sys

from pack.workshop.rig.paths import PACK, REPO

# Each is imported where it is used. What ComfyUI itself has imported by then costs nothing.
HEAVY = {"matplotlib", "decord", "av", "open_clip", "einops", "kornia", "timm", "transformers"}
SCRIPT = """
import sys
from pack.workshop.rig.in_process import import_comfyui
import_comfyui()
import comfy.sd, comfy_api.latest, nodes, server
before = set(sys.modules)
import pack.extension
print(*{name.partition(".")[0] for name in set(sys.modules) - before})
"""


def test_no_heavy_package_is_imported_at_start():
    """In a process of its own: this one has imported them for other tests."""
    command = [sys.executable, "-c", SCRIPT]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPO).stdout
    added = set(printed.splitlines()[-1].split())
    assert "pack" in added
    assert not added & HEAVY


def test_comfyui_starts_without_waiting_for_the_pack(server):
    """0.1 s of one core; the limit leaves room for a busy machine."""
    (seconds,) = re.findall(rf"([\d.]+) seconds: .*{PACK}", server.log())
    print(f"import time: {seconds} s")
    assert float(seconds) < 1.0
