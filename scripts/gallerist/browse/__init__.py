"""A local page over the files of results: queries, answers, comparisons, and one's own pictures.

It may import all before it; Starlette.
"""
