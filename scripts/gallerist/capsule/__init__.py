"""One file from which anybody can recompute a comparison, without pictures.

It may import io, records, workflow, data, search and evaluation.
"""
