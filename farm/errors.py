"""What a user has to put right."""


class FarmError(ValueError):
    """One sentence that names what is wrong and what to do."""
