"""The workshop: what makes, measures and shows the pack, and is not published with it."""
