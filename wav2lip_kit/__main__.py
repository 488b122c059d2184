"""`python -m wav2lip_kit`."""

import sys

from .cli import main

sys.exit(main())
