"""Vectors to a ranking, and its re-rankings.

It may import io, settings, data and features, and never TensorFlow.
"""
