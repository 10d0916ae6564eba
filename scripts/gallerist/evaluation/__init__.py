"""A ranking to figures: relevance, metrics, intervals, tests, the comparison.

It may import io, settings, records, workflow, data and search.
"""
