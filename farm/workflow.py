"""A workflow's file, in the format of the user interface or of the API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .errors import FarmError
from .graph import Prompt, require_graph
from .ui_to_api import WorkflowError, ui_to_api

LARGEST = 64 * 2**20


def read_workflow(path: Path) -> tuple[dict[str, Any], bytes]:
    """The workflow and the bytes that it was read from.

    Raises:
        FarmError: there is no such file, or it holds no JSON object.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise FarmError(f"{path.name} is larger than {LARGEST // 2**20} MiB: no workflow is.")
        content = path.read_bytes()
    except OSError as error:
        raise FarmError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        workflow = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise FarmError(
            f"{path.name} holds no workflow: save one from ComfyUI (Workflow > Save or Export)."
        ) from error
    if not isinstance(workflow, dict):
        raise FarmError(f"{path.name} holds no workflow: save one from ComfyUI.")
    return workflow, content


def to_prompt(workflow: dict[str, Any], object_info: dict[str, Any]) -> Prompt:
    """The workflow in API format, whichever it was saved in.

    Args:
        object_info: what the server says of its nodes.

    Raises:
        FarmError: it is no workflow, or holds what the server does not know.
    """
    if not isinstance(workflow.get("nodes"), list):
        # The body of a request for /prompt holds the workflow under this name.
        inner = workflow.get("prompt")
        whole = isinstance(inner, dict) and "class_type" not in inner
        return require_graph(inner if whole else workflow)
    try:
        return require_graph(ui_to_api(workflow, object_info))
    except WorkflowError as error:
        raise FarmError(f"{error}; or save the workflow with Export (API).") from error
