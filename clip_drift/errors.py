"""The exceptions that this library raises for bad input."""


class DriftError(ValueError):
    """One sentence that names the input, what is wrong with it and what to do."""

    # ComfyUI shows an error under its type's full name, which would begin with a folder's path.
    __module__ = "clip_drift"

    def advised(self, remedy: str) -> "DriftError":
        """The same error with what to do about it, for whoever knows that better."""
        return DriftError(f"{str(self).removesuffix('.')}: {remedy}.")


class NotHereError(DriftError):
    """A model that is not on this computer; whoever asked for it says how to get it here."""


class FramesError(DriftError):
    """A motion of another number of frames than fits; whoever shaped it can change that.

    Attributes:
        wanted: how many would fit; None if fewer would.
    """

    def __init__(self, message: str, wanted: int | None = None):
        super().__init__(message)
        self.wanted = wanted


class MissingFrameError(DriftError):
    """A frame is asked for that a motion does not have; whoever numbered the frames can mend it."""


class WrongFileError(DriftError):
    """A file that holds something else than what was asked for.

    Attributes:
        holds: the kind of weights that it holds, a key of `weight_files.KINDS`; "" if unknown.
    """

    def __init__(self, message: str, holds: str = ""):
        super().__init__(message)
        self.holds = holds
