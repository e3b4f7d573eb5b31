"""The command line: options to settings, settings to the pipeline, results to files and to the terminal."""

from .app import main

__all__ = ["main"]
