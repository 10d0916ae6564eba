"""The configuration: read, written out, checked and completed before any job runs.

It may import all before it; no stage imports it.
"""
