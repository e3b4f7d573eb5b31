"""Studies: cases by protocol or from a dataset, methods run on them, and what a study's folder holds.

`runner.conduct` does a study; `score` makes a row of a run; `reading` opens a finished one.
Imported by what shows studies.
"""
