"""The library from a script: its examples, and that it needs torch, numpy and einops only."""

import doctest
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pack import clip_drift

REPO = Path(__file__).resolve().parent.parent

# Hides every installed package that a fresh environment with torch, numpy and einops lacks.
BARE = """
import sys
from importlib.machinery import PathFinder
from importlib.metadata import requires
from packaging.requirements import Requirement

def with_needs(name, known):
    for line in [] if name in known else requires(name) or []:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            known |= {name} | with_needs(requirement.name, known | {name})
    return known | {name}

allowed = {name.lower().replace("-", "_") for n in ("torch", "numpy", "einops")
           for name in with_needs(n, set())} | {"functorch", "torchgen", "clip_drift"}

class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        found = PathFinder.find_spec(name, path, target)
        place = str(getattr(found, "origin", None) or "")
        if path is None and "site-packages" in place and name.lower() not in allowed:
            return None
        return found

sys.meta_path[:] = [f for f in sys.meta_path if f is not PathFinder] + [Finder]
"""


@pytest.mark.parametrize("name", clip_drift.__all__)
def test_every_name_of_the_front_door_has_an_example_that_runs(name):
    thing = getattr(clip_drift, name)
    module = importlib.import_module(thing.__module__) if name != "DriftError" else None
    if module is None:  # an error needs no example
        assert thing.__doc__
        return
    examples = doctest.DocTestFinder().find(thing, name, globs=vars(module).copy())
    runner = doctest.DocTestRunner()
    for example in examples:
        runner.run(example)
    assert runner.tries > 0, f"{name} has no example"
    assert runner.failures == 0


def test_the_script_of_the_contributing_page_runs_with_torch_numpy_and_einops_alone(tmp_path):
    (tmp_path / "clip_drift").symlink_to(REPO / "clip_drift")
    page = (REPO / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"```python\n(.*?clip_drift.*?)```", page, re.DOTALL)
    assert len(script.splitlines()) <= 12
    done = subprocess.run(
        [sys.executable, "-c", BARE + script + "\nimport sys; print(sorted(sys.modules))"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "(24, 77, 768)" in done.stdout
    for absent in ("safetensors", "PIL", "av", "matplotlib"):
        assert f"'{absent}'" not in done.stdout


def test_what_is_hidden_there_is_really_hidden():
    command = [sys.executable, "-c", BARE + "import safetensors"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "No module named 'safetensors'" in done.stderr
