"""The command `clip-drift`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from .client import Client
from .errors import FarmError
from .graph import Link
from .progress import Progress
from .render import Settings, render
from .renderer import PATIENCE
from .workers import LocalWorker, ServerWorker, Worker


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        settings = _settings(options)
        count = render(settings, lambda: _open_workers(options), Progress())
    except FarmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nended; the same command goes on from here", file=sys.stderr)
        return 130
    done = f"rendered {count} frames" if count else "all frames are done"
    print(f"{done}: {options.out}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("clip-drift", description="Long renders by ComfyUI.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser(
        "render",
        help="render a workflow's frames in chunks, so that it can go on where it ended",
        description="Render the frames of a workflow that holds Frames to List, in chunks, into "
        "frame_000000.png and so on, and a video. The same command goes on where it ended.",
    )
    command.add_argument("workflow", type=Path, help="saved by ComfyUI, by Save or Export (API)")
    command.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="for the frames")
    command.add_argument("--again", action="store_true", help="replace what the folder holds")
    command.add_argument(
        "--verify", action="store_true", help="read what is done, and render anew what has changed"
    )
    command.add_argument("--no-video", action="store_true", help="frames only")
    command.add_argument("--fps", type=_rate, help="of the video; otherwise the workflow's")
    command.add_argument("--chunk", type=_count, default=16, metavar="N", help="frames per prompt")
    command.add_argument("--node", metavar="ID", help="the node with start and count to cut at")
    command.add_argument(
        "--images", type=_link, metavar="ID[:OUTPUT]", help="the output that gives the pictures"
    )
    command.add_argument(
        "--inputs",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="where the workflow's clips and drifts lie, if not beside it (repeatable)",
    )
    where = command.add_argument_group("where: on a ComfyUI that is started here, or")
    where.add_argument(
        "--server", action="append", default=[], metavar="URL", help="one that runs (repeatable)"
    )
    where.add_argument(
        "--header",
        type=_header,
        action="append",
        default=[],
        metavar="NAME:VALUE",
        help="sent to every server, such as a token (repeatable)",
    )
    where.add_argument(
        "--patience", type=float, default=PATIENCE, metavar="SECONDS", help="for a server's absence"
    )
    where.add_argument("--python", metavar="PATH", help="that starts ComfyUI, if not this one")
    where.add_argument(
        "--ray",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="a cluster's, or one that is started here: a ComfyUI on each of its GPUs",
    )
    where.add_argument("--workers", type=_count, metavar="N", help="by Ray; or all it has room for")
    where.add_argument(
        "--cores", type=_count, default=1, metavar="N", help="per worker, where there is no GPU"
    )
    return parser


def _settings(options: argparse.Namespace) -> Settings:
    inputs = list(options.inputs)
    if not options.server and os.environ.get("COMFYUI_PATH"):
        inputs.append(Path(os.environ["COMFYUI_PATH"]) / "input")
    return Settings(
        workflow=options.workflow,
        out=options.out,
        node=options.node,
        pictures=options.images,
        chunk=options.chunk,
        rate=options.fps,
        again=options.again,
        verify=options.verify,
        video=not options.no_video,
        inputs=tuple(inputs),
    )


def _open_workers(options: argparse.Namespace) -> list[Worker]:
    if options.ray is not None:
        if options.server:
            raise FarmError("--server and --ray exclude each other: choose one.")
        from .ray_workers import open_ray_workers  # Ray is optional

        return open_ray_workers(options.ray, options.workers, options.cores, options.python)
    if options.workers:
        raise FarmError("--workers is for --ray: add that, or name servers by --server.")
    if not options.server:
        try:
            return [LocalWorker(options.python)]
        except ImportError as error:
            raise FarmError("name a ComfyUI that runs by --server URL.") from error
    try:
        return [
            ServerWorker(Client(url, dict(options.header)), options.patience)
            for url in options.server
        ]
    except ValueError as error:
        raise FarmError(f"--server: {error}.") from error


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 10_000:
        raise argparse.ArgumentTypeError("has to be from 1 to 10000")
    return value


def _rate(text: str) -> float:
    value = float(text)
    if not 0 < value < 1000:
        raise argparse.ArgumentTypeError("has to be above 0 and below 1000")
    return value


def _link(text: str) -> Link:
    node_id, _, slot = text.partition(":")
    if not (node_id and (slot or "0").isdecimal()):
        raise argparse.ArgumentTypeError("has to be a node's id, or ID:OUTPUT")
    return node_id, int(slot or 0)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not (colon and name.strip()):
        raise argparse.ArgumentTypeError("has to be NAME:VALUE")
    return name.strip(), value.strip()
