"""Gallerist: the library behind the retrieval workflow.

It knows nothing of Snakemake or of the working directory: every function takes the paths it
reads and writes. Each module holds one idea and can be used alone; a package imports only those
before it in the list of CONTRIBUTING.md.
"""

import gc
from pathlib import Path

# What is imported is not garbage: to look for some after every 700 objects, as Python does by
# itself, is a fifth of what the import of matplotlib or TensorFlow takes.
gc.set_threshold(50_000)

LIBRARY = Path(__file__).resolve().parent
"""The folder of this package."""

CHECKOUT = LIBRARY.parents[1]
"""The folder of the workflow that this package belongs to."""
