"""A network and batches in, a trained network out.

It may import io, settings, workflow, data and networks.
"""
