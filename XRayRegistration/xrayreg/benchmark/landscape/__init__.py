"""Learned similarities beside others: values and slopes along lines through the true pose, and the capture range.

`survey.survey` measures and draws both. Imported by the command line.
"""
