"""What ran, as files: the truth that everything else can be made again from.

It may import io alone, and never MLflow.
"""
