"""The one exception that this library raises for bad input."""


class DriftError(ValueError):
    """One sentence that names the input, what is wrong with it and what to do."""

    # ComfyUI shows an error under its type's full name, which else begins with a folder's path.
    __module__ = "clip_drift"
