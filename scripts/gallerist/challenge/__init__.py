"""The unlabelled challenge: drawing it, its answer file, sending and grading.

It may import all before it, and never MLflow.
"""
