"""The words of the project: which are not written, and what is written in their place. `python -m tests.words [PATH]`.

It reads the strings, comments and names of Python files and of the code in notebooks, and the text of documents,
notebooks, settings, build files, and pages with their scripts.
"""

from __future__ import annotations

import ast
import io
import json
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline import ROOT

PLACES = ("pipeline", "steps", "benchmarks", "containers", "docs", "requirements", "README.md", "CONTRIBUTING.md")
FILES = ("CHANGELOG.md", "pipeline.yaml", "Makefile", "requirements.txt", "pyproject.toml")
TEXT = {".md", ".yaml", ".yml", ".txt", ".toml", ".css", ".html", ".js", ".template", ".ipynb", ""}

_UNITS = (
    "answer|batch|bin|call|class|command|core|day|decision|directory|endpoint|epoch|file|folder|function|GPU|host|hour|"
    "image|instance|item|job|key|kind|line|machine|million|minute|model|module|month|object|package|page|person|photo|"
    "process|profile|query|rank|record|request|resource|row|run|sample|second|service|setting|shard|split|step|thousand|"
    "thread|trial|type|version|week|worker|year"
)
_COUNTED = (
    "answers|bins|bytes|calls|cents|dollars|epochs|errors|files|GB|GiB|hours|images|instances|items|kB|KB|lines|"
    "MB|megabytes|MiB|milliseconds|minutes|ms|names|objects|pages|passes|photos|processes|queries|records|requests|"
    "rows|samples|seconds|shards|steps|tags|threads|times|trials|updates|USD|workers"
)
# What is not written, and what is.
PHRASES = {
    rf"\b({_COUNTED}) an? ({_UNITS})\b": "per",
    rf"\b(an?|one) [a-z]+ an? ({_UNITS})\b": "per",
    r"\banew\b": "again",
    r"\bbeside\b": "besides, next to, with",
    r"\bmade of\b": "content, consists of",
    r"\bfor ever\b": "forever, without end",
    r"\b(fore)?(tells?|told|telling)\b": "reports, states; a thing does not talk",
    r"\bsaid\b": "stated, reported, named",
    r"\bgives\b(?! up)": "returns",
    r"\bgiven back\b": "returned",
    r"\bso many\b": "this many, a number",
    r"\btak(en|es?|ing) over\b": "imported, used again",
    r"\btaken for\b": "counted as",
    r"\b(is|are|was|were) there\b(?! (an?|any|no)\b)": "exists",
    r"\bnot there\b": "missing, does not exist",
    r"\b(whence|thereof|wherein|whereof|whither|hither|nought|aught|whereto)\b": "plain English",
    r"\bwho(m|se)?ever\b": "a person or role, by its name",
}
# A text that begins so is a fragment: its noun is missing.
FRAGMENT = re.compile(r"(?:Of|of|That|that) [a-z]")
# Names that say nothing, or personify.
NAMES = {
    "one": "the thing's name",
    "found": "the thing's name",
    "known": "the thing's name",
    "said": "the thing's name",
    "told": "the thing's name",
    "tell": "report",
    "there": "exists, present",
    "leads": "is_leader",
    "rival": "challenger",
    "judged": "evaluated",
    "Held": "StackResource",
    "Order": "DeployRequest",
    "Evidence": "EvaluationOutputs",
}
# A line of prose may end between any two words, but no paragraph does.
_SPACE = r"(?:[ \t]+|[ \t]*\n[ \t]*)"
_PHRASES = [(re.compile(pattern.replace(" ", _SPACE), re.IGNORECASE), instead) for pattern, instead in PHRASES.items()]
# Code, addresses and names of files are no prose.
_CODE = re.compile(r"```.*?```|`[^`\n]*`|https?://\S+|\]\([^)]*\)", re.DOTALL)


@dataclass(frozen=True)
class Fault:
    """A word that is not written here."""

    line: int
    word: str
    instead: str


def faults(path: Path) -> list[Fault]:
    """The faults of one file, by line."""
    collected = {fault for line, text, is_code in _parts(path) for fault in _in_part(line, text, is_code)}
    return sorted(collected, key=lambda fault: (fault.line, fault.word))


def _parts(path: Path) -> Iterator[tuple[int, str, bool]]:
    """The file, or the cells of a notebook: number of the first line, text, and whether it is Python."""
    content = path.read_text()
    if path.suffix != ".ipynb":
        yield 1, content, path.suffix == ".py"
        return
    lines, line = content.splitlines(), 0
    for cell in json.loads(content)["cells"]:
        source = cell["source"] or [""]
        # A notebook has each line of a cell as a string in a line of its own.
        line = next(
            (number for number, text in enumerate(lines[line:], line) if json.dumps(source[0])[:-1] in text), line
        )
        yield line + 1, "".join(source), cell["cell_type"] == "code"


def _in_part(first: int, text: str, is_code: bool) -> Iterator[Fault]:
    texts = _python(text) if is_code else iter([(1, text, False)])
    for line, content, whole in texts:
        yield from _in_text(first + line - 1, content, whole)
    if is_code:
        yield from (
            Fault(first + line - 1, name, NAMES[name]) for line, name in _names(ast.parse(text)) if name in NAMES
        )


def _in_text(line: int, text: str, whole: bool) -> Iterator[Fault]:
    text = _CODE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    if whole and len(text) > 12 and FRAGMENT.match(text):
        yield Fault(line, text[:30].split("\n")[0], "a noun first")
    for pattern, instead in _PHRASES:
        for match in pattern.finditer(text):
            yield Fault(line + text.count("\n", 0, match.start()), " ".join(match[0].split()), instead)


def _python(text: str) -> Iterator[tuple[int, str, bool]]:
    """Comments and strings: line, text, and whether the text stands by itself."""
    tree = ast.parse(text)
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value, id(node) not in parts
    block: list[str] = []
    first = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            if not block:
                first = token.start[0]
            block.append(token.string.lstrip("# "))
        elif token.type not in (tokenize.NL, tokenize.INDENT, tokenize.DEDENT) and block:
            yield first, "\n".join(block), True
            block = []


def _names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Names that the file gives to something."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name.lstrip("_")
        elif isinstance(node, ast.alias) and node.asname:
            yield node.lineno, node.asname


def files(paths: list[Path]) -> Iterator[Path]:
    """The files below `paths` that have words, sorted."""
    for path in paths:
        if path.is_file():
            yield path
        for below in sorted(path.rglob("*")) if path.is_dir() else []:
            hidden = any(part.startswith((".", "__pycache__")) for part in below.relative_to(path).parts)
            if below.is_file() and not hidden and (below.suffix == ".py" or below.suffix in TEXT):
                yield below


def main(arguments: list[str]) -> int:
    """Print each fault as FILE:LINE: word -> what is written. Exit status 1 where there is any."""
    chosen = [Path(argument) for argument in arguments]
    chosen = chosen or [ROOT / name for name in (*PLACES, *FILES) if (ROOT / name).exists()]
    count = 0
    for path in files(chosen):
        for fault in faults(path):
            count += 1
            shown = path.resolve().relative_to(ROOT) if path.resolve().is_relative_to(ROOT) else path
            print(f"{shown}:{fault.line}: {fault.word!r} -> {fault.instead}")
    print(f"{count} words to replace" if count else "words: none to replace")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
