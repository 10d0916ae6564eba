"""Gallerist: the library behind the retrieval workflow.

It knows nothing of Snakemake or of the working directory: every function takes the paths it
reads and writes. Each module holds one idea and can be used alone.
"""
