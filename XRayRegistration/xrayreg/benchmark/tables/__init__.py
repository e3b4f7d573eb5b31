"""Papers' tables run again: what is published, which networks and rows each table needs, what came out here.

`table_study.run_table` trains what is missing and runs every row. Imported by the report and the command line.
"""
