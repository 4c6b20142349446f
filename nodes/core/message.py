"""Lines of text on a node, for what a user should know but need not stop for."""

from server import PromptServer

WARNING = "⚠ {}"


def show_on_node(node, text: str) -> None:
    """Show text on the node that runs now; its schema must ask for `Hidden.unique_id`."""
    # Without a server, in a script say, there is no node to show it on.
    server = getattr(PromptServer, "instance", None)
    if server is not None and node.hidden is not None:
        server.send_progress_text(text, node.hidden.unique_id)


def warn_on_node(node, warnings: list[str]) -> None:
    """Show where the run will disappoint, one line each, on a node that shows no text of its own;
    its schema must ask for `Hidden.unique_id`."""
    if warnings:
        show_on_node(node, "\n".join(map(WARNING.format, warnings)))


def with_warnings(text: str, warnings: list[str]) -> str:
    """The text that a node shows when it is done, and below it where the run will disappoint."""
    return "\n".join([text, *map(WARNING.format, warnings)])
