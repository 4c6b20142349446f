"""The one exception that this library raises for bad input."""


class DriftError(ValueError):
    """One sentence that names the input, what is wrong with it and what to do."""
