"""A line of text on a node, for what a user should know but need not stop for."""

from server import PromptServer


def show_on_node(node, text: str) -> None:
    """Show text on the node that runs now; its schema must ask for ``Hidden.unique_id``."""
    # Without a server, in a script say, there is no node to show it on.
    server = getattr(PromptServer, "instance", None)
    if server is not None and node.hidden is not None:
        server.send_progress_text(text, node.hidden.unique_id)
