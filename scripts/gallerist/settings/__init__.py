"""What can be set: one pydantic model a section of the configuration, data alone.

It may import io alone.
"""
