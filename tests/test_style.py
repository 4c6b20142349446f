"""Style: ruff's rules and format everywhere, and the types of the library."""

import subprocess
import sys
from pathlib import Path

import pytest
from pack.workshop.rig.paths import REPO


@pytest.mark.parametrize(
    "command", ["ruff check .", "ruff format --check --diff .", "mypy --no-error-summary"]
)
def test_nothing_to_complain_about(command):
    program, *arguments = command.split()
    path = Path(sys.executable).parent / program
    done = subprocess.run([str(path), *arguments], cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
