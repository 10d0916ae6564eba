"""Files that are whole or absent, arrays larger than memory, HTTP, pickles that run nothing.

It imports no other package of the library.
"""
