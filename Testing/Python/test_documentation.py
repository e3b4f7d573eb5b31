"""The pages of the repository and the docstrings that cite them: every page, section and link leads somewhere."""

from __future__ import annotations

import ast
import functools
import importlib
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTATION = ROOT / "Documentation"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCUMENTATION.glob("*.md"))]

# Names of pages that the program writes itself.
WRITTEN = {"report.md"}

_SECTION = r"(?:[A-E]\d+[a-z]?|\d+(?:\.\d+)?)"
# "methods.md A1", "methods.md A1, A3", "methods.md A1 to A5, E1", "design.md 6.1", "(design.md, file contract)".
_CITATION = re.compile(
    rf"(?P<page>[\w-]+\.md)(?: (?P<sections>{_SECTION}(?:(?:, | to | and ){_SECTION})*)|, (?P<name>[a-z ]+)(?=\)))?"
)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


@functools.cache
def headings(page: Path) -> list[str]:
    """The headings of a page, without those that only look like one in a block of code."""
    return _HEADING.findall(
        re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    )


def anchors(page: Path) -> set[str]:
    """What a link may name behind "#", by GitHub's rule."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings(page)}


def prose(source: str) -> Iterator[str]:
    """Docstrings and comments of Python source, each on one line; consecutive comments count as one."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield " ".join((ast.get_docstring(node) or "").split())
    comments = [
        token for token in tokenize.generate_tokens(io.StringIO(source).readline) if token.type == tokenize.COMMENT
    ]
    yield " ".join(token.string.lstrip("# ") for token in comments)


def broken_citations(text: str) -> Iterator[str]:
    """Each page or section that a text cites and that does not exist."""
    for cited in _CITATION.finditer(text):
        if cited["page"] in WRITTEN:
            continue
        page = next((path for path in PAGES if path.name == cited["page"]), None)
        if page is None:
            yield cited[0]
            continue
        titles = headings(page)
        for section in re.findall(_SECTION, cited["sections"] or ""):
            if not any(title.startswith(f"{section}. ") or title.startswith(f"{section} ") for title in titles):
                yield f"{cited['page']} {section}"
        if cited["name"] and not any(title.lower().endswith(cited["name"]) for title in titles):
            yield cited[0]


@pytest.mark.parametrize("folder", ["XRayRegistration/xrayreg", "XRayRegistration/XRayRegistrationLib", "Testing"])
def test_every_page_and_section_that_code_cites_exists(folder):
    sources = {
        path: path.read_text(encoding="utf-8")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path != Path(__file__)
    }
    broken = [
        f"{path.relative_to(ROOT)}: {problem}"
        for path, source in sources.items()
        # To take a source apart is slow, and most cite no page.
        if ".md" in source
        for text in prose(source)
        for problem in broken_citations(text)
    ]
    assert not broken, "\n".join(["", *broken])


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("as published (methods.md A0b, E4: B7)", []),
        ("the file contract (design.md 5); equations in design.md 6.1", []),
        ("see Documentation/gpu.md, or the frames (design.md, file contract)", []),
        ("gone (design.md 99)", ["design.md 99"]),
        ("gone (methods.md A1 to A77, E1)", ["methods.md A77"]),
        ("gone (nowhere.md)", ["nowhere.md"]),
        ("gone (design.md, no such section)", ["design.md, no such section"]),
    ],
)
def test_a_citation_that_leads_nowhere_is_found(text, broken):
    assert list(broken_citations(text)) == broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_to_a_file_and_a_heading(page):
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_the_answers_of_contributing_name_functions_that_are_there():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text[text.index("Three questions") : text.index("`Testing/Python/test_architecture.py`")]
    answers = re.findall(r"`((?:xrayreg|XRayRegistrationLib)/[\w/]+\.py)`(?:, `(\w+)`)?", table)
    assert len(answers) == 6
    for file, function in answers:
        source = (ROOT / "XRayRegistration" / file).read_text(encoding="utf-8")
        assert not function or f"def {function}(" in source, f"{file}: {function}"


def test_every_page_is_reached_from_the_home_page():
    linked = {ROOT / link.partition("#")[0] for link in _LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))}
    assert {page for page in PAGES if page.name != "README.md"} <= linked


def test_the_home_page_is_short_and_names_what_continuous_integration_runs():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    assert "2D/3D registration" in text.splitlines()[2]
    assert "make test " in text and "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_python_examples_import_is_there(page):
    for example in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        for node in ast.walk(ast.parse(example)):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module)
                assert all(hasattr(module, alias.name) for alias in node.names)
