"""Everything that is drawn; matplotlib is imported here alone.

It may import all before it.
"""
