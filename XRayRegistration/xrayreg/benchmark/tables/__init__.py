"""Reproduction of papers' tables: published numbers, the networks and rows that each table needs, and our results.

`table_study.run_table` trains what is missing and runs every row. Imported by the report and the command line.
"""
