"""Pictures: fetched, unpacked, imported, decoded, split and augmented.

It may import io and settings, and never TensorFlow.
"""
