"""Measured comparisons with the published experiment and with other libraries, for any machine.

python -m benchmarks                      all of them; tables in results/benchmarks/
python -m benchmarks --only search        one of them
"""
