"""A script at work, and what an experiment is made of: its steps, its files, its reruns.

It may import io, settings and records, and knows no picture.
"""
