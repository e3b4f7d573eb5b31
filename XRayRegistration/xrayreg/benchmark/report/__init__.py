"""The report of a study: tables, figures and a gallery of the worst cases, as HTML and as Markdown.

`study_report.write_report` writes it. Imported by the command line.
"""
