"""Backbones, weights, architectures, the frozen trunk, and inference.

It may import io, settings, workflow and data.
"""
