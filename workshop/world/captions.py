"""Captions of scenes in plain words, worded differently each time.

Positions have nine degrees along each axis, sizes and turns five. Where a number lies between two
degrees, either may be said: the words change as smoothly as the picture does.
"""

import random
import re
from collections.abc import Sequence

from .scenes import CENTRE, COLOURS, GROUNDS, RADIUS, SHAPES, TURN, Scenes

_SHAPE_WORDS = {
    "circle": ("circle", "circle", "disc", "ball"),
    "square": ("square", "square", "box"),
    "triangle": ("triangle",),
    "star": ("star", "star", "five-pointed star"),
}
_COLOUR_WORDS = {"cyan": ("cyan", "turquoise"), "pink": ("pink", "magenta")}
_GROUND_WORDS = {"navy": ("navy", "dark blue"), "maroon": ("maroon", "dark red")}
_SIZE_WORDS = (("tiny",), ("small",), ("medium-sized",), ("large", "big"), ("huge",))
_ACROSS = (
    ("far left", "far on the left"),
    ("on the left", "left"),
    ("rather left",),
    ("slightly left of the centre", "a little left of the centre"),
    ("in the centre", "halfway across"),
    ("slightly right of the centre", "a little right of the centre"),
    ("rather right",),
    ("on the right", "right"),
    ("far right", "far on the right"),
)
_DOWN = (
    ("at the very top",),
    ("at the top", "near the top"),
    ("rather high",),
    ("slightly above the middle", "a little above the middle"),
    ("at middle height", "halfway down"),
    ("slightly below the middle", "a little below the middle"),
    ("rather low",),
    ("at the bottom", "near the bottom"),
    ("at the very bottom",),
)
# Shorter words for some places of the nine by nine.
_PLACES = {
    (1, 1): ("at the top left", "in the upper left"),
    (7, 1): ("at the top right", "in the upper right"),
    (1, 7): ("at the bottom left", "in the lower left"),
    (7, 7): ("at the bottom right", "in the lower right"),
    (0, 0): ("in the top left corner",),
    (8, 0): ("in the top right corner",),
    (0, 8): ("in the bottom left corner",),
    (8, 8): ("in the bottom right corner",),
    (4, 4): ("in the middle", "in the very middle", "at the centre"),
}
_TURN_WORDS = (
    ("tilted far to the left",),
    ("tilted to the left",),
    ("upright",),
    ("tilted to the right",),
    ("tilted far to the right",),
)
_GROUND_PHRASES = ("on {}", "on a {} ground", "on a {} background", "against a {} background")
_SPREAD = 0.3  # how unsure a degree is, in degrees


def write_captions(scenes: Scenes, seed: int, complete: float = 0.6) -> list[str]:
    """One caption a scene.

    Args:
        complete: how often everything is said; otherwise each of ground, size, turn and
            place is left out now and then. Shape and colour always are there.
    """
    wording = random.Random(seed)
    columns = zip(
        scenes.shape.tolist(),
        scenes.colour.tolist(),
        scenes.ground.tolist(),
        scenes.x.tolist(),
        scenes.y.tolist(),
        scenes.radius.tolist(),
        scenes.turn.tolist(),
        strict=True,
    )
    return [_caption(wording, complete, *row) for row in columns]


def degree(value: float, limits: tuple[float, float], count: int, shift: float = 0.0) -> int:
    """Which of `count` degrees between the limits a value is, `shift` degrees off."""
    low, high = limits
    return min(max(round((value - low) / (high - low) * (count - 1) + shift), 0), count - 1)


def _caption(
    wording: random.Random,
    complete: float,
    shape: int,
    colour: int,
    ground: int,
    x: float,
    y: float,
    radius: float,
    turn: float,
) -> str:
    def pick(words: Sequence[str]) -> str:
        return words[0] if len(words) == 1 else wording.choice(words)

    def said() -> bool:
        return everything or wording.random() < 0.6

    def near(value: float, limits: tuple[float, float], count: int) -> int:
        return degree(value, limits, count, wording.gauss(0, _SPREAD))

    everything = wording.random() < complete
    shape_name, colour_name = SHAPES[shape], tuple(COLOURS)[colour]
    ground_name = tuple(GROUNDS)[ground]
    noun = [pick(_SIZE_WORDS[near(radius, RADIUS, 5)])] if said() else []
    noun += [pick(_COLOUR_WORDS.get(colour_name, (colour_name,)))]
    noun += [pick(_SHAPE_WORDS[shape_name])]
    head = " ".join(["an" if noun[0][0] in "aeiou" else "a", *noun])
    if shape_name != "circle" and said():
        head += f", {pick(_TURN_WORDS[near(turn, TURN, 5)])},"
    place = ""
    if said():
        column, row = near(x, CENTRE, 9), near(y, CENTRE, 9)
        place = f"{pick(_ACROSS[column])} and {pick(_DOWN[row])}"
        if (column, row) in _PLACES and wording.random() < 0.7:
            place = pick(_PLACES[column, row])
    where = ""
    if said():
        words = pick(_GROUND_WORDS.get(ground_name, (ground_name,)))
        where = pick(_GROUND_PHRASES).format(words)
    order = wording.random()
    if order < 0.6:
        parts = [head, place, where]
    elif order < 0.8:
        parts = [f"{where}," if where else "", head, place]
    else:
        parts = [f"{place}," if place else "", head, where]
    return " ".join(part for part in parts if part).strip(" ,").replace(", ,", ",")


def words_of(name: str) -> set[str]:
    """Words that say one thing about a scene, for instance where it is.

    Args:
        name: "x", "y", "radius", "turn" or "rgb", as in `motions.MOTIONS`; or "shape".
    """
    places = [*_ACROSS, *_DOWN, *_PLACES.values()]
    tables = {
        "x": places,
        "y": places,
        "radius": _SIZE_WORDS,
        "turn": _TURN_WORDS,
        "rgb": [*_COLOUR_WORDS.values(), COLOURS],
        "shape": _SHAPE_WORDS.values(),
    }
    phrases = " ".join(phrase for words in tables[name] for phrase in words)
    return set(re.findall("[a-z]+", phrases)) - {"a", "at", "in", "of", "on", "the", "to"}


def all_words() -> set[str]:
    """Every word that a caption may have, as a tokenizer tells words apart."""
    groups = [_SHAPE_WORDS, _COLOUR_WORDS, _GROUND_WORDS, _PLACES]
    phrases = [phrase for group in groups for words in group.values() for phrase in words]
    phrases += [*COLOURS, *GROUNDS, *(phrase.format("") for phrase in _GROUND_PHRASES)]
    for table in (_SIZE_WORDS, _ACROSS, _DOWN, _TURN_WORDS):
        phrases += [phrase for words in table for phrase in words]
    return set(re.findall("[a-z]+", " ".join([*phrases, "a an and"])))
