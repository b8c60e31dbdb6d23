"""What the frozen app runs."""

import sys

from advisor.__main__ import main

sys.exit(main())
