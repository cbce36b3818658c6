"""`python -m benches`: see `benches.compare`."""

import sys

from benches.compare import main

sys.exit(main(sys.argv[1:]))
