"""What people read of a study: tables, figures, a gallery of the worst cases, as a page and as Markdown.

`study_report.write_report` writes it. Imported by the command line.
"""
