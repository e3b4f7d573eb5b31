"""Learned and classical similarities compared: values and slopes along lines through the true pose, capture range.

`survey.survey` measures and draws both. Imported by the command line.
"""
