"""A long render from a workflow's file to a folder of frames and a video."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .drive import render_missing
from .errors import FarmError
from .files import InputFile, file_inputs, find_local, with_values
from .folder import Manifest, RenderFolder, frame_name
from .graph import Link, Prompt
from .plan import Infos, Plan, make_plan
from .progress import Progress
from .renderer import Job
from .workers import Worker
from .workflow import read_workflow, to_prompt

VIDEO = "video.mp4"
DEFAULT_RATE = 24.0


@dataclass(frozen=True)
class Settings:
    """What the command was told.

    Attributes:
        node, pictures: which node is cut and which output gives its frames, where that is not
            clear from the workflow.
        chunk: frames that are rendered by one prompt.
        rate: the video's frames per second; None takes the workflow's.
        again: replace what the folder holds.
        verify: read every frame that is done, and compare its digest.
        inputs: folders to look for the workflow's files in, beside the workflow's own.
    """

    workflow: Path
    out: Path
    node: str | None = None
    pictures: Link | None = None
    chunk: int = 16
    rate: float | None = None
    again: bool = False
    verify: bool = False
    video: bool = True
    inputs: tuple[Path, ...] = field(default=())


def render(settings: Settings, open_workers: Callable[[], list[Worker]], progress: Progress) -> int:
    """Render what is missing, and return how many frames that were.

    Args:
        open_workers: called only where something is to be rendered.

    Raises:
        FarmError: the user has to put something right; nothing that is done is lost.
    """
    workflow, content = read_workflow(settings.workflow)
    source = _source(settings, content)
    with RenderFolder(settings.out, settings.again) as folder:
        if folder.manifest is not None:
            folder.check(settings.verify)
        rendered = 0
        if not _is_finished(folder, source, settings):
            rendered = _render(settings, workflow, source, folder, open_workers, progress)
        if settings.video:
            _make_video(folder, settings, progress)
        return rendered


def _render(
    settings: Settings,
    workflow: dict[str, Any],
    source: dict[str, Any],
    folder: RenderFolder,
    open_workers: Callable[[], list[Worker]],
    progress: Progress,
) -> int:
    workers = open_workers()
    try:
        asked = [worker.infos() for worker in workers]  # all of them, so that all start by now
        infos = asked[0].result()
        prompt = to_prompt(workflow, infos)
        plan = make_plan(prompt, infos, settings.node, settings.pictures)
        files = _files(plan.prompt, infos, settings, workers[0])
        job = Job(plan, tuple(files.values()))
        for ready in [worker.prepare(job) for worker in workers]:
            ready.result()
        wanted = _manifest(plan, infos, files, source)
        if folder.manifest is None:
            progress.say("counting the frames ...")
            wanted.total, rate = workers[0].count(job).result()
            wanted.rate = settings.rate or rate or DEFAULT_RATE
            folder.begin(wanted)
        else:
            _require_same(folder.manifest, wanted)
            folder.manifest.source = source
        manifest = folder.require_manifest()
        missing = len(manifest.missing())
        with progress.over(manifest.total, manifest.total - missing):
            render_missing(folder, job, workers, settings.chunk, progress.add, progress.lost)
        return missing
    finally:
        for worker in workers:
            worker.close()


# --- What a folder is for -------------------------------------------------------------------------


def _source(settings: Settings, content: bytes) -> dict[str, Any]:
    pictures = list(settings.pictures) if settings.pictures else None
    digest = hashlib.sha256(content).hexdigest()
    return {"workflow": digest, "node": settings.node, "images": pictures}


def _is_finished(folder: RenderFolder, source: dict[str, Any], settings: Settings) -> bool:
    """Whether every frame is there, of this very file and the same clips and drifts beside it."""
    manifest = folder.manifest
    if manifest is None or manifest.missing() or manifest.source != source:
        return False
    there = find_local(list(manifest.files), _input_folders(settings))
    return all(file.digest == manifest.files[name] for name, file in there.items())


def _input_folders(settings: Settings) -> list[Path]:
    return [settings.workflow.parent, *settings.inputs]


def _files(
    prompt: Prompt, infos: Infos, settings: Settings, worker: Worker
) -> dict[str, InputFile]:
    """The files that the prompt reads: those that lie here are sent, others are the server's."""
    names = sorted({value for _, _, value in file_inputs(prompt, infos)})
    found = find_local(names, _input_folders(settings))
    for name in names:
        if name in found or name.endswith(("[output]", "[temp]")):
            continue
        digest = worker.input_digest(name).result()
        if digest is None:
            raise FarmError(
                f"the workflow reads {name}, which is neither beside it nor in the server's input "
                "folder: put it there, or name its folder by --inputs."
            )
        found[name] = InputFile(name, digest, None)
    return found


def _manifest(
    plan: Plan, infos: Infos, files: dict[str, InputFile], source: dict[str, Any]
) -> Manifest:
    digests = {name: file.digest for name, file in files.items()}
    stood_for = {name: f"sha256:{digest}" for name, digest in digests.items()}
    prompt = with_values(plan.chunk(0, 0), infos, stood_for)
    return Manifest(
        source=source,
        prompt=json.loads(json.dumps(prompt)),
        files=digests,
        seeds=plan.seeds(),
        first=plan.first,
        limit=plan.limit,
        total=0,
        rate=DEFAULT_RATE,
    )


def _require_same(old: Manifest, new: Manifest) -> None:
    changes = list(differences(old.prompt, new.prompt))
    for name in ("first", "limit"):
        was, now = getattr(old, name), getattr(new, name)
        if was != now:
            changes.append(f"{name} of the frames: {was} → {now}")
    if changes:
        shown = "; ".join(changes[:5]) + ("; ..." if len(changes) > 5 else "")
        raise FarmError(
            f"the folder holds frames of another workflow ({shown}): choose another --out, or let "
            "--again replace them."
        )


def differences(old: Prompt, new: Prompt) -> Iterator[str]:
    """What has changed from one prompt to another, in words."""
    for node_id in sorted(old.keys() | new.keys()):
        before, after = old.get(node_id), new.get(node_id)
        if before is None:
            yield f"node {node_id} ({new[node_id]['class_type']}) is new"
        elif after is None:
            yield f"node {node_id} ({before['class_type']}) is gone"
        elif before["class_type"] != after["class_type"]:
            yield f"node {node_id} was {before['class_type']} and is {after['class_type']}"
        else:
            inputs = before["inputs"], after["inputs"]
            for name in sorted(inputs[0].keys() | inputs[1].keys()):
                was, now = (each.get(name) for each in inputs)
                if was != now:
                    yield f"node {node_id} ({before['class_type']}) {name}: {was} → {now}"


# --- The video ------------------------------------------------------------------------------------


def _make_video(folder: RenderFolder, settings: Settings, progress: Progress) -> None:
    manifest = folder.manifest
    if manifest is None or not manifest.frames:
        return
    if settings.rate:
        manifest.rate = settings.rate
    target = folder.path / VIDEO
    digest = manifest.digest()
    if manifest.video == digest and target.exists():
        return
    from .video import write_video  # PyAV and Pillow, which nothing else needs

    progress.say(f"writing {target} at {manifest.rate:g} frames per second ...")
    frames = [folder.path / frame_name(index) for index in sorted(manifest.frames)]
    write_video(frames, target, manifest.rate)
    manifest.video = digest
    folder.save()
