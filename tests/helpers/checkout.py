"""Where this checkout, its library, the helpers of the tests and the shared inputs are."""

import os
from pathlib import Path

HELPERS = Path(__file__).resolve().parent
CHECKOUT = HELPERS.parents[1]
SCRIPTS = CHECKOUT / "scripts"
LIBRARY = SCRIPTS / "gallerist"
SHARED = Path(os.environ.get("GALLERIST_SHARED") or CHECKOUT.parent / "shared")
