"""Studies: cases by protocol or from a dataset, methods run on them, and the content of a study's folder.

`runner.conduct` runs a study; `score` computes the row of a run; `reading` opens a finished study.
Imported by the modules that display studies.
"""
