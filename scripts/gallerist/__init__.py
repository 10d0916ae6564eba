"""Gallerist: the library behind the retrieval workflow.

It knows nothing of Snakemake or of the working directory: every function takes the paths it
reads and writes. Each module holds one idea and can be used alone; a package imports only those
before it in the list of CONTRIBUTING.md.
"""

from pathlib import Path

LIBRARY = Path(__file__).resolve().parent
"""The folder of this package."""

CHECKOUT = LIBRARY.parents[1]
"""The folder of the workflow that this package belongs to."""
