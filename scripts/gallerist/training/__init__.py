"""A network and batches in, a trained network out.

It may import io, settings, data and networks.
"""
