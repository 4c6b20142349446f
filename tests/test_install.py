"""Installing as users do: by the Manager, as a folder, beside other packs, with parts missing.

workshop/rig/install.py does the same in environments of its own, where the requirements are missing
at first; it takes too long for every run.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pack.farm.client import NodeError, node
from pack.workshop.rig import prompts
from pack.workshop.rig.install import (
    bare_clone,
    fresh_comfyui,
    manager_install,
    node_ids,
    nodes_of,
    served,
)
from pack.workshop.rig.paths import BASE_DIR, PACK, REPO
from pack.workshop.rig.server import ComfyServer

RENAMED = "ComfyUI-CLIP-Drift-main"  # the folder that an unpacked download of a branch is called

# A pack written to collide: it has modules of the names that this pack uses, puts its own folder
# at the front of Python's search path as many packs do, and tells what else is in the process.
COLLIDING = (Path(__file__).parent / "data/colliding_pack.txt").read_text(encoding="utf-8")

# Makes packages absent from a process, as if they had never been installed.
SITE = """
import sys
from importlib.machinery import PathFinder

class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {absent} else super().find_spec(name, path, target)

sys.meta_path[:] = [Finder if each is PathFinder else each for each in sys.meta_path]
"""


def copy_of_the_pack(target: Path):
    """The files that a commit of the present state would hold."""
    command = ["git", "-C", str(REPO), "ls-files", "-z", "--cached", "--others"]
    listed = subprocess.run([*command, "--exclude-standard"], capture_output=True, check=True)
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (REPO / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPO / name, target / name)


def colliding_pack(folder: Path):
    folder.mkdir()
    (folder / "__init__.py").write_text(COLLIDING)
    for name in ("clip_drift", "drift", "encoder", "errors", "nodes", "sockets", "walks"):
        (folder / f"{name}.py").write_text("MINE = True\n")


@pytest.fixture(scope="module")
def beside_others(models_dir, tmp_path_factory):
    """A server whose pack the Manager installed from a git address, between two colliding packs.

    Gives the server and the folder of the pack.
    """
    folder = tmp_path_factory.mktemp("manager")
    base = fresh_comfyui(folder / "ComfyUI")
    packs = base / "custom_nodes"
    with served(bare_clone(folder / "host")) as address:
        printed = manager_install(sys.executable, base, f"{address}/{PACK}.git")
    for requirement in (REPO / "requirements.txt").read_text().splitlines():
        # torch is ComfyUI's: the Manager leaves it alone. The others it hands to pip, line by line.
        name = requirement.split(">=")[0]
        handed_to_pip = re.search(rf"'install', ['\"]{name}", printed)
        assert bool(handed_to_pip) == (name != "torch"), printed
    for name in ("a_colliding_pack", "z_colliding_pack"):
        colliding_pack(packs / name)
    names = [PACK, "a_colliding_pack", "z_colliding_pack"]
    with ComfyServer(folder / "work", base_dir=base, packs=names) as server:
        yield server, packs / PACK


@pytest.fixture(scope="module")
def without_options(models_dir, tmp_path_factory):
    """A server with the pack as it is now, in another folder, open_clip and decord absent."""
    folder = tmp_path_factory.mktemp("without options")
    copy_of_the_pack(folder / "base" / "custom_nodes" / RENAMED)
    (folder / "sitecustomize.py").write_text(SITE.format(absent={"open_clip", "decord"}))
    kinds = {kind: BASE_DIR / "models" / kind for kind in ("open_clip", "clip_vision")}
    environment = {"PYTHONPATH": str(folder)}
    with ComfyServer(
        folder / "work",
        base_dir=folder / "base",
        packs=[RENAMED],
        model_paths=kinds,
        environment=environment,
    ) as server:
        yield server


def test_what_the_manager_installs_from_git_loads(beside_others):
    server, pack = beside_others
    assert nodes_of(server, PACK) == node_ids(pack)
    assert len(node_ids(pack)) >= 13


def test_the_pack_leaves_python_as_it_is_for_other_packs(beside_others):
    server, pack = beside_others
    entry = server.run({"witness": node("Witness")})
    seen = json.loads(entry["outputs"]["witness"]["text"][0])
    assert seen["mine"]  # the other pack got its own module, not our library
    assert not [place for place in seen["path"] if Path(place).is_relative_to(pack)]
    own = {name for name, file in seen["modules"].items() if Path(file).is_relative_to(pack)}
    assert len(own) > 30
    package = str(pack).replace(".", "_x_")  # the name that ComfyUI gives it
    assert not [name for name in own if name != package and not name.startswith(f"{package}.")]


def test_all_nodes_are_there_without_open_clip_and_in_a_renamed_folder(without_options):
    assert nodes_of(without_options, RENAMED) == node_ids(REPO)


@pytest.mark.parametrize("model", ["ViT-L-14/laion2b_s32b_b82k", prompts.SMALL_ENCODER])
def test_load_openclip_says_what_to_install(without_options, sample_clip, model):
    graph = prompts.drift(without_options.upload(sample_clip))
    graph["encoder"]["inputs"]["model"] = model
    graph["shown"] = node("PreviewAny", source=["drift", 2])
    with pytest.raises(NodeError, match="pip install open_clip_torch") as caught:
        without_options.run(graph)
    assert caught.value.node_type == "ClipDriftLoadOpenCLIP"


def test_pyav_reads_where_decord_is_asked_for_and_absent(without_options, sample_clip):
    clip = without_options.upload(sample_clip)
    graph = prompts.drift(clip, max_frames=2, decoder="decord")
    graph["encoder"] = node("CLIPVisionLoader", clip_name="random_vit_l.safetensors")
    graph["shown"] = node("PreviewAny", source=["drift", 2])
    outputs = without_options.run(graph)["outputs"]
    assert outputs["shown"]["text"] == ["2"]
