"""The toy world: scenes with known shape, colour and place, their captions, and clips of them."""
