"""What of a workflow is rendered: the node that is cut, the pictures, and the graph before them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .errors import FarmError
from .graph import Link, Prompt, ancestors, as_link, descendants, links

FRAMES = "ClipDriftFrames"
LOOP = ("ClipDriftLoopStart", "ClipDriftLoopEnd")
ATTEND_FIRST = "ClipDriftAttendFirst"
VIDEO = "CreateVideo"
TO_BATCH = ("RebatchImages", "ImageListToImageBatch")
"""Put the frames of a list into one batch, and change none of them."""
SEEDS = ("seed", "noise_seed")
SHOWN, RATE = "clip_drift_frames", "clip_drift_rate"
"""The ids of the nodes that this package adds to a prompt."""

Infos = dict[str, Any]
"""What a server's /object_info says of its nodes."""


@dataclass(frozen=True)
class Plan:
    """A render, cut into frames.

    `prompt` holds the nodes that the pictures depend on and no others; `sliced` is the node whose
    `start` and `count` cut it, `pictures` the output that gives one picture per frame. Frames
    `first` to `first + limit` are asked for (all that follow, where `limit` is 0); `listed` is the
    number of that node's output that lists them. `rate` is the video's frames per second where the
    workflow says it: a number, or a prompt that shows it at `RATE`.
    """

    prompt: Prompt
    sliced: str
    listed: int
    pictures: Link
    first: int
    limit: int
    rate: float | Prompt | None

    def chunk(self, start: int, count: int) -> Prompt:
        """The prompt that renders frames `start` to `start + count`, and shows them at `SHOWN`."""
        shown = {"class_type": "PreviewImage", "inputs": {"images": list(self.pictures)}}
        return {**self._cut(self.prompt, start, count), SHOWN: shown}

    def counting(self) -> Prompt:
        """A prompt that shows something at `SHOWN` once per frame, and samples none of them; and
        the video's rate at `RATE`, where another node gives it."""
        cut = self._cut(_part(self.prompt, self.sliced), self.first, self.limit)
        rate = self.rate if isinstance(self.rate, dict) else {}
        return {**rate, **cut, SHOWN: _shows((self.sliced, self.listed))}

    def seeds(self) -> dict[str, int]:
        """Every seed in the prompt, by node and input."""
        return {
            f"{node_id} ({node['class_type']}) {name}": node["inputs"][name]
            for node_id, node in sorted(self.prompt.items())
            for name in SEEDS
            if isinstance(node["inputs"].get(name), int)
        }

    def _cut(self, prompt: Prompt, start: int, count: int) -> Prompt:
        node = prompt[self.sliced]
        inputs = {**node["inputs"], "start": start, "count": count}
        return {**prompt, self.sliced: {**node, "inputs": inputs}}


def _part(prompt: Prompt, node_id: str) -> Prompt:
    """A node and all that it depends on."""
    kept = ancestors(prompt, node_id)
    return {each: node for each, node in prompt.items() if each in kept}


def _shows(link: Link) -> dict[str, Any]:
    return {"class_type": "PreviewAny", "inputs": {"source": list(link)}}


def make_plan(
    prompt: Prompt, infos: Infos, sliced: str | None = None, pictures: Link | None = None
) -> Plan:
    """Decide what to render.

    Args:
        sliced: the node to cut, where it is not the only Frames to List.
        pictures: the output that gives one picture per frame, where that is not clear.

    Raises:
        FarmError: the workflow cannot be cut, or there is a choice that the user has to make.
    """
    sliced = _sliced(prompt, infos, sliced)
    after = descendants(prompt, sliced)
    pictures = _pictures(prompt, infos, after, pictures)
    part = _part(prompt, pictures[0])
    _refuse_loops(prompt, part)
    _refuse_whole_lists(prompt, infos, part.keys() & after)
    inputs = prompt[sliced]["inputs"]
    _refuse_without_anchor(prompt, part, sliced)
    lists = infos.get(prompt[sliced]["class_type"], {}).get("output_is_list", [])
    return Plan(
        prompt=part,
        sliced=sliced,
        listed=max((slot for slot, listed in enumerate(lists) if listed), default=0),
        pictures=pictures,
        first=_whole_number(inputs, "start", sliced),
        limit=_whole_number(inputs, "count", sliced),
        rate=_rate(prompt, after, part),
    )


def specs_of(infos: Infos, class_type: str) -> dict[str, Any]:
    """The specification of every input of a node, by name."""
    groups = infos.get(class_type, {}).get("input", {})
    return {**groups.get("required", {}), **groups.get("optional", {})}


def _sliced(prompt: Prompt, infos: Infos, wanted: str | None) -> str:
    if wanted is not None:
        if wanted not in prompt:
            raise FarmError(f"--node {wanted} is not in the workflow: choose one that is.")
        kind = prompt[wanted]["class_type"]
        if not {"start", "count"} <= set(specs_of(infos, kind)):
            raise FarmError(f"--node {wanted} ({kind}) has no start and count: choose another.")
        return wanted
    found = [each for each, node in prompt.items() if node["class_type"] == FRAMES]
    if len(found) > 1:
        raise FarmError(
            f"the workflow has several Frames to List ({', '.join(found)}): choose one by --node."
        )
    if not found:
        _refuse_loops(prompt, prompt)
        raise FarmError(
            "the workflow has no Frames to List, so nothing says where to cut it: put one before "
            "the sampler."
        )
    return found[0]


def _refuse_loops(prompt: Prompt, among: Iterable[str]) -> None:
    for node_id in among:
        if prompt[node_id]["class_type"] in LOOP:
            raise FarmError(
                f"node {node_id} is a Frame Loop: each of its frames begins with the one before, "
                "so they cannot be rendered apart; use Frames to List, or render the loop in "
                "ComfyUI."
            )


def _refuse_without_anchor(prompt: Prompt, among: Iterable[str], sliced: str) -> None:
    """A frame that is sampled alone has only itself to attend to."""
    inputs = prompt[sliced]["inputs"]
    for node_id in among:
        if prompt[node_id]["class_type"] == ATTEND_FIRST and not inputs.get("anchor"):
            raise FarmError(
                f"node {node_id} attends to the first frame, which node {sliced} does not hand on: "
                "switch its anchor on, and put Latent From Batch with batch_index -1 after the "
                "sampler."
            )


def _pictures(prompt: Prompt, infos: Infos, after: set[str], wanted: Link | None) -> Link:
    if wanted is not None:
        if wanted[0] not in after:
            raise FarmError(
                f"--images {wanted[0]} does not come after the node that is cut: choose one that "
                "gives its frames as pictures."
            )
        return wanted
    shown: dict[bool, list[Link]] = {True: [], False: []}
    for node_id in prompt:
        kind = prompt[node_id]["class_type"]
        if kind != VIDEO and not infos.get(kind, {}).get("output_node"):
            continue
        for _, link in links(prompt, node_id):
            source = _before_batching(prompt, link)
            kept = kind == VIDEO or "Save" in kind or "Combine" in kind
            if source[0] in after and _is_image(prompt, infos, source):
                shown[kept].append(source)
    found = sorted(set(shown[True] or shown[False]))
    if not found:
        raise FarmError(
            "the workflow shows or saves no pictures that come from the node that is cut: add Save "
            "Image or Create Video, or name the node that gives them by --images."
        )
    if len(found) > 1:
        names = ", ".join(f"{node_id}:{slot}" for node_id, slot in found)
        raise FarmError(f"the workflow keeps pictures of several nodes: choose --images {names}.")
    return found[0]


def _before_batching(prompt: Prompt, link: Link) -> Link:
    """What gives the frames one by one, before nodes that only put them into a batch."""
    while prompt[link[0]]["class_type"] in TO_BATCH:
        before = as_link(prompt[link[0]]["inputs"].get("images"))
        if before is None:
            break
        link = before
    return link


def _is_image(prompt: Prompt, infos: Infos, link: Link) -> bool:
    outputs = infos.get(prompt[link[0]]["class_type"], {}).get("output", [])
    return 0 <= link[1] < len(outputs) and outputs[link[1]] == "IMAGE"


def _refuse_whole_lists(prompt: Prompt, infos: Infos, between: set[str]) -> None:
    for node_id in sorted(between):
        kind = prompt[node_id]["class_type"]
        if infos.get(kind, {}).get("is_input_list") and kind not in TO_BATCH:
            raise FarmError(
                f"node {node_id} ({kind}) takes all frames at once, so a chunk could change them: "
                "choose pictures from before it by --images."
            )


def _whole_number(inputs: dict[str, Any], name: str, node_id: str) -> int:
    value = inputs.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise FarmError(f"{name} of node {node_id} has to be a number from 0, without a link.")
    return value


def _rate(prompt: Prompt, after: set[str], part: Prompt) -> float | Prompt | None:
    """The rate that the workflow's own video has; otherwise that of its drift."""
    for node_id in sorted(after):
        if prompt[node_id]["class_type"] == VIDEO:
            rate = prompt[node_id]["inputs"].get("fps")
            link = as_link(rate)
            if link and link[0] not in after:
                return {**_part(prompt, link[0]), RATE: _shows(link)}
            return as_rate(rate)
    for _, node in sorted(part.items()):
        if node["class_type"] == "ClipDriftFromVideo":
            return as_rate(node["inputs"].get("sample_fps"))
    return None


def as_rate(value: object) -> float | None:
    """Frames per second, where the value is such a number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if 0 < value < 1000 else None


def lacking(prompt: Prompt, infos: Infos) -> list[str]:
    """What a server would need to run the prompt: nodes, and models or other named choices.

    Files of the input folder are left out: they are sent along.
    """
    missing = []
    for _, node in sorted(prompt.items()):
        kind = node["class_type"]
        if kind not in infos:
            missing.append(f"node {kind}")
            continue
        for name, spec in specs_of(infos, kind).items():
            value = node["inputs"].get(name)
            known = not isinstance(value, str) or value in (_choices(spec) or [value])
            if not known and not is_file_input(kind, name, spec):
                missing.append(f"{value} ({kind}, {name})")
    return missing


def _choices(spec: Any) -> list[Any]:
    """A combo's choices, in the old way to write it or in the new one."""
    kind, options = spec[0], spec[1] if len(spec) > 1 else {}
    found = kind if isinstance(kind, list) else options.get("options") if kind == "COMBO" else None
    return found if isinstance(found, list) else []


def is_file_input(class_type: str, name: str, spec: Any) -> bool:
    """Whether an input names a file of ComfyUI's input folder."""
    uploads = ("image_upload", "video_upload", "audio_upload", "file_upload")
    options = spec[1] if len(spec) > 1 else {}
    return class_type == "ClipDriftLoad" or any(options.get(each) for each in uploads)
