"""A picture to a vector: descriptors, key points, networks; reduction and fusion.

It may import io, settings, data and networks; TensorFlow only in `network`.
"""
