"""Whole pictures from interlaced frames, whose even and odd rows were seen at different times."""

from collections.abc import Generator, Iterable

import av
from av.filter import Graph

# One picture per frame; frames that are not interlaced pass as they are.
# Reference: Jim Easterbrook, "Weston 3-Field Deinterlacer", BBC; FFmpeg's filter "bwdif" joins it
# with Michael Niedermayer's "yadif".
_FILTER = ("bwdif", "mode=send_frame:deint=interlaced")


def deinterlaced(
    frames: Iterable[av.VideoFrame], stream: av.VideoStream
) -> Generator[av.VideoFrame]:
    """The same frames without combs, each at its own time (in its own, finer time base).

    Args:
        frames: neighbours in time, decoded from `stream`; each waits for the one after it.
    """
    graph = Graph()
    nodes = graph.add_buffer(template=stream), graph.add(*_FILTER), graph.add("buffersink")
    graph.link_nodes(*nodes).configure()
    for frame in frames:
        graph.push(frame)
        yield from _ready(graph)
    graph.push(None)
    yield from _ready(graph)


def _ready(graph: Graph) -> Generator[av.VideoFrame, None, None]:
    while True:
        try:
            yield graph.pull()
        except (BlockingIOError, EOFError):
            return
