"""CLIP Drift/Files: keep a drift, and share it."""

from pathlib import Path

import folder_paths
from comfy_api.latest import io, ui

from ..clip_drift.errors import DriftError
from ..clip_drift.files import load_drift, save_drift
from ..clip_drift.weight_files import ENDING
from .core import sockets
from .core.advice import advice
from .core.folders import fingerprint
from .core.language import say
from .core.progress import summary

CATEGORY = "CLIP Drift/Files"
IN_OUTPUT = " [output]"  # ComfyUI's own mark for a file of the output folder


class ClipDriftSave(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ClipDriftSave",
            display_name="Save Drift",
            category=CATEGORY,
            description="Write a drift to the output folder as .safetensors: small, safe to share, "
            "and encoded once for all.",
            search_aliases=["export drift", "clip drift"],
            is_output_node=True,
            inputs=[
                sockets.ClipDrift.Input("drift", tooltip="The drift to keep."),
                io.String.Input(
                    "filename_prefix",
                    default="drifts/drift",
                    tooltip="Folder and name within the output folder; a number is added, nothing "
                    "is overwritten. %date:yyyy-MM-dd% and the like work as in Save Image.",
                ),
            ],
            outputs=[sockets.ClipDrift.Output("drift", tooltip="The same drift.")],
        )

    @classmethod
    def execute(cls, drift, filename_prefix):
        folder, name, _, subfolder, _ = folder_paths.get_save_image_path(
            filename_prefix, folder_paths.get_output_directory()
        )
        path = _next_free(Path(folder), name)
        save_drift(drift, path)
        return io.NodeOutput(
            drift, ui=ui.PreviewText(say("Saved {file}", file=Path(subfolder, path.name)))
        )


def _next_free(folder: Path, name: str) -> Path:
    numbers = (path.stem[len(name) + 1 :] for path in folder.glob(f"{name}_*{ENDING}"))
    last = max((int(number) for number in numbers if number.isdigit()), default=0)
    return folder / f"{name}_{last + 1:05}{ENDING}"


class ClipDriftLoad(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ClipDriftLoad",
            display_name="Load Drift",
            category=CATEGORY,
            description="Read a drift that Save Drift wrote, from the input folder or "
            "straight from the output folder.",
            search_aliases=["import drift", "clip drift"],
            has_intermediate_output=True,
            inputs=[
                io.Combo.Input(
                    "file",
                    _choices(),
                    tooltip="A .safetensors file. Put files from others into the input folder; "
                    "only safetensors is read, so a file can run no code.",
                )
            ],
            outputs=[sockets.ClipDrift.Output("drift", tooltip="The drift.")],
        )

    @classmethod
    def validate_inputs(cls, file):
        try:
            found = folder_paths.exists_annotated_filepath(file)
        except ValueError as error:  # a path that leads out of ComfyUI's folders
            return f"file: {error}"
        return True if found else f"file {file} does not exist: choose another."

    @classmethod
    def fingerprint_inputs(cls, file):
        return fingerprint(folder_paths.get_annotated_filepath(file))

    @classmethod
    def execute(cls, file):
        if Path(file.removesuffix(IN_OUTPUT)).suffix != ENDING:
            raise DriftError(f"file {file} is no {ENDING} file: only those are read.")
        with advice("file", wrong="choose a file that Save Drift wrote"):
            drift = load_drift(folder_paths.get_annotated_filepath(file))
        return io.NodeOutput(drift, ui=ui.PreviewText(summary(drift)))


def _choices() -> list[str]:
    def below(folder: str) -> list[str]:
        return sorted(p.relative_to(folder).as_posix() for p in Path(folder).rglob(f"*{ENDING}"))

    saved = (name + IN_OUTPUT for name in below(folder_paths.get_output_directory()))
    return [*below(folder_paths.get_input_directory()), *saved]


NODES = [ClipDriftSave, ClipDriftLoad]
