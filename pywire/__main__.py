"""Makes `python -m pywire` the same as the command `pywire`."""

import sys

from pywire.cli import main

if __name__ == "__main__":
    sys.exit(main())
