"""Other people's methods and ours on the same cases: methods, datasets, studies, tables of papers, reports.

For research on the command line (`evaluate`; the extra `xrayreg[evaluate]`). Only `cli` imports it.
"""
