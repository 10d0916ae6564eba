"""Pictures: fetched, unpacked, imported, decoded, split and augmented.

It may import io, settings and workflow, and never TensorFlow.
"""
