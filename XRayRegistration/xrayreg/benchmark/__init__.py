"""Comparison of published methods and ours on the same cases: methods, datasets, studies, papers' tables, reports.

For research on the command line (`evaluate`; the extra `xrayreg[evaluate]`). Only `cli` imports it.
"""
