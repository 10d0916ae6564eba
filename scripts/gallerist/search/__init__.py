"""Vectors to a ranking, and its re-rankings.

It may import io, settings, workflow, data and features, and never TensorFlow.
"""
