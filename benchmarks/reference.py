"""The API reference, as pages made from the docstrings: `python -m benchmarks.reference [FOLDER]` (`.[dev]` has pdoc).

Writes FOLDER/index.html (./reference by default) and a page for each public module, and ends with status 1 where a link
of theirs leads nowhere.
"""

from __future__ import annotations

import contextlib
import html
import importlib
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

MODULES = (
    "mmtransfer",
    "mmtransfer.heads",
    "mmtransfer.backbones",
    "mmtransfer.backbones.staged",
    "mmtransfer.backbones.contract",
    "mmtransfer.strategies",
    "mmtransfer.metrics",
    "mmtransfer.probe",
    "mmtransfer.tasks",
    "mmtransfer.tasks.targets.base",
    "mmtransfer.tasks.inputs.base",
    "mmtransfer.config",
    "mmtransfer.config.options",
    "mmtransfer.errors",
)
"""What a program of somebody else's uses; the rest is told by CONTRIBUTING.md."""
SCRIPT = re.compile(r"<script\b.*?</script>", re.DOTALL)
ADDRESS = re.compile(r"^(https?:|mailto:|data:)")


def write(folder: Path) -> list[Path]:
    """Writes the pages; returns them."""
    import pdoc

    pdoc.render.configure(docformat="google", show_source=False)
    alone = [spec for name in MODULES for spec in (name, f"!{re.escape(name)}[.].+")]
    with _there():
        pdoc.pdoc(*alone, output_directory=folder)
    pages = sorted(folder.rglob("*.html"))
    for page in pages:
        page.write_text(_without_inherited(page.read_text(encoding="utf-8")), encoding="utf-8")
    return pages


def _without_inherited(text: str) -> str:
    """A page without links to what a class inherits: pdoc makes them where a docstring names it, and has no place."""
    places = set(re.findall(r'\bid="([^"]+)"', text))
    return re.sub(r'<a href="#([\w.]+)">([^<]*)</a>', lambda link: link[0] if link[1] in places else link[2], text)


@contextlib.contextmanager
def _there() -> Iterator[None]:
    """Names that load at first use are in their modules meanwhile: pdoc looks nowhere else."""
    added = []
    for module in map(importlib.import_module, MODULES):
        for name in getattr(module, "__all__", ()):
            if name not in vars(module):
                vars(module)[name] = getattr(module, name)
                added.append((module, name))
    try:
        yield
    finally:
        for module, name in added:
            vars(module).pop(name, None)


def broken(pages: Sequence[Path]) -> list[str]:
    """Links between the pages that lead nowhere, as `page: link`."""
    texts = {page.resolve(): SCRIPT.sub("", page.read_text(encoding="utf-8")) for page in pages}
    places = {page: set(re.findall(r'\bid="([^"]+)"', text)) for page, text in texts.items()}
    lost = []
    for page, text in texts.items():
        for link in map(html.unescape, re.findall(r'\bhref="([^"]*)"', text)):
            path, _, place = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            if not ADDRESS.match(link) and (target not in texts or (place and place not in places[target])):
                lost.append(f"{page.name}: {link}")
    return lost


def main(words: Sequence[str]) -> int:
    """Writes the reference and tells where it is, or which links are broken."""
    folder = Path(words[0] if words else "reference")
    pages = write(folder)
    lost = broken(pages)
    print(*lost, f"{len(pages)} pages in {folder}, {len(lost)} broken links", sep="\n")
    return int(bool(lost))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
