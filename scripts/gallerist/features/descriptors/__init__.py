"""Descriptors of colour, texture and shape: functions of one picture.

They import no other part of the features.
"""
