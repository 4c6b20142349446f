"""Ways to break a file, or JSON, at random."""

from __future__ import annotations

import copy
import json
from random import Random
from typing import Any

EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**63 - 1)
ODD = (
    None,
    True,
    False,
    0,
    -1,
    2**31,
    10**30,
    1e308,
    float("nan"),
    "",
    "\0",
    "../../escape",
    "/etc/passwd",
    "é" * 300,
    [],
    {},
    [[]],
    ["1", 0],
    [None, None],
    {"nodes": []},
)


def broken_bytes(random: Random, content: bytes) -> bytes:
    """The file with some bits flipped, or a part lost, doubled, emptied or replaced."""
    data = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 4, 16))):
        place = random.randrange(max(len(data), 1))
        length = random.choice((1, 4, 8, 64, 1024))
        kind = random.choice(("flip", "flip", "cut", "lose", "double", "empty", "extreme", "noise"))
        part = data[place : place + length]
        if kind == "flip" and data:
            data[place] ^= 1 << random.randrange(8)
        elif kind == "cut":
            del data[place:]
        elif kind == "lose":
            del data[place : place + length]
        elif kind == "double":
            data[place:place] = part
        elif kind == "empty":
            data[place : place + length] = bytes(len(part))
        elif kind == "extreme":
            size, order = random.choice((1, 2, 4, 8)), random.choice(("little", "big"))
            value = random.choice(EXTREMES) % (1 << (8 * size))
            data[place : place + size] = value.to_bytes(size, order)
        elif kind == "noise":
            data[place : place + length] = random.randbytes(length)
    return bytes(data)


def broken_json(random: Random, content: Any) -> bytes:
    """The value with some of its parts gone, replaced, exchanged or nested, as text; at times the
    text itself is broken."""
    value = copy.deepcopy(content)
    for _ in range(random.choice((1, 1, 2, 3, 8))):
        value = _changed(random, value)
    text = json.dumps(value).encode()
    return broken_bytes(random, text) if random.random() < 0.2 else text


def _changed(random: Random, value: Any) -> Any:
    places = list(_places(value))
    if not places:
        return random.choice(ODD)
    holder, key = random.choice(places)
    kind = random.choice(("replace", "replace", "replace", "lose", "exchange", "nest", "retype"))
    if kind == "replace":
        holder[key] = copy.deepcopy(random.choice(ODD))
    elif kind == "lose":
        del holder[key]
    elif kind == "exchange":
        other, place = random.choice(places)
        holder[key] = copy.deepcopy(other[place])
    elif kind == "nest":
        for _ in range(random.choice((1, 3, 200))):
            holder[key] = [holder[key]]
    elif isinstance(holder[key], str):
        holder[key] = len(holder[key])
    else:
        holder[key] = str(holder[key])[:50]
    return value


def _places(value: Any):
    waiting = [value]
    while waiting:
        holder = waiting.pop()
        if isinstance(holder, dict):
            keys = list(holder)
        elif isinstance(holder, list):
            keys = list(range(len(holder)))
        else:
            continue
        for key in keys:
            yield holder, key
            waiting.append(holder[key])
