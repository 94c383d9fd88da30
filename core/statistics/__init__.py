"""Arrays in, estimate and 95 % interval out.

Every function returns `core.records.Estimate`s: what is undefined has value None and a reason, never 0, 1 or NaN.
Inputs are checked once, where they enter; what breaks the named shape or range raises ValueError.
"""
