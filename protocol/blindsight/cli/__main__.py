"""``python -m blindsight.cli``."""

import sys

from blindsight.cli import main

sys.exit(main())
