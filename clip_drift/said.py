"""A text that remembers what it was made of, so that others can say it in another language."""


class Said(str):
    """English, made of a template and values; used as any text.

    >>> Said("it moves {percent} % as far", percent="50")
    'it moves 50 % as far'

    Attributes:
        template: with named places for the values, by `str.format`.
        values: what is put there; texts may be `Said` as well.
    """

    template: str
    values: dict[str, object]

    def __new__(cls, template: str, /, **values: object) -> "Said":
        """Put the values in their places."""
        said = super().__new__(cls, template.format(**values))
        said.template, said.values = template, values
        return said
