"""A picture to a vector: descriptors, key points, networks; reduction and fusion.

It may import io, settings, workflow, data and networks.
"""
