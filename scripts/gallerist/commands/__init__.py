"""One module a command of `gallerist`, as scripts/ has one a rule.

It may import everything.
"""
