"""MLflow, as a view of the records.

It may import io and records; no stage imports it.
"""
