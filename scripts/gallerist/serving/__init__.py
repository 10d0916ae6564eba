"""Single queries, and experiments as models of the registry.

It may import all before it.
"""
