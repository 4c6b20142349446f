"""Walks: how a drift moves an embedding. A new one is a file here and a line in `engine.WALKS`."""

from .engine import WALKS, Walk, walk
from .prompt import PromptWalk

__all__ = ["WALKS", "PromptWalk", "Walk", "walk"]
