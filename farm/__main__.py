"""`python -m` of this package: the command `clip-drift`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
