"""Builds the API reference of xrayreg from its docstrings, with pdoc.

python Testing/Tools/build_docs.py build/docs    what `make docs` runs
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# A line that begins with the name of a parameter or field, or with several: "low, high: ends of the range [mm]".
_ENTRY = re.compile(r"(?P<names>[a-z_]\w*(?:, [a-z_]\w*)*): (?P<text>.*)")


def as_markdown(docstring: str) -> str:
    """A docstring whose lists of parameters are Markdown lists, and in which "<" is no tag."""
    lines: list[str] = []
    listing, after_blank = False, False
    for line in docstring.splitlines():
        entry = _ENTRY.fullmatch(line) if listing or after_blank else None
        if entry:
            if not listing and lines and lines[-1].strip():
                lines.append("")
            line = f"- **{entry['names']}**: {entry['text']}"
            listing = True
        elif not line.strip():
            listing = False
        elif listing and not line.startswith(" "):
            # A paragraph that follows the list at once; the rest of an entry is indented.
            lines.append("")
            listing = False
        after_blank = not line.strip()
        lines.append(line if "`" in line else line.replace("<", "&lt;"))
    return "\n".join(lines)


def build(folder: Path) -> None:
    """Write the reference to a folder; its first page is index.html."""
    import pdoc.render
    import pdoc.render_helpers
    from jinja2 import pass_context

    @pass_context
    def to_markdown(context: object, docstring: str) -> str:
        text: str = pdoc.render_helpers.to_markdown_with_context(context, as_markdown(docstring))
        return text

    pdoc.render.configure(
        docformat="markdown",
        footer_text="For research only. Not a medical device.",
        logo_link="https://github.com/XRayRegistration/SlicerXRayRegistration",
        show_source=False,
    )
    pdoc.render.env.filters["to_markdown"] = to_markdown
    pdoc.pdoc("xrayreg", "!xrayreg.__main__", output_directory=folder)


def main(arguments: list[str]) -> int:
    """Build the reference; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder for the pages, made when needed")
    options = parser.parse_args(arguments)
    sys.path.insert(0, str(ROOT / "XRayRegistration"))
    build(options.folder)
    print(f"Open {options.folder / 'index.html'} in a browser.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
