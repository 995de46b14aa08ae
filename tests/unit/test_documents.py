"""The documents: links, paths, commands and make targets in them exist, and the index of decisions is complete."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from pipeline import ROOT

DECISIONS = ROOT / "docs" / "decisions"
FOLDERS = ("pipeline", "steps", "containers", "tests", "docs", "benchmarks")
# The tables of docs/decisions/README.md: link of the number, title, date, status, summary.
_ROW = re.compile(r"^\| \[(\d{4})\]\(([^)]+)\) \| (.+?) \| (\d{4}-\d{2}-\d{2}) \| (.+?) \| (.+?) \|$", re.MULTILINE)
_STATUS = re.compile(r"accepted|superseded by (\d{4})")

_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`]+)`")
# Also that of a picture, and of a picture that is a link's text.
_LINK = re.compile(r"(?<=\])\(([^)\s]+)(?: \"[^\"]*\")?\)")
_PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")
_REFERENCE = re.compile(r"^ {0,3}\[[^\]]+\]: +(\S+)", re.MULTILINE)
_TAG = re.compile(r"<(?:a|img|source|picture)\b[^>]*?\b(?:href|src|srcset)=\"([^\"]*)\"")
_AUTOMATIC = re.compile(r"<([a-z][a-z0-9+.-]*:[^>\s]*)>")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
_MODULE = re.compile(r"python3? -m (pipeline|benchmarks)(?= |$)(.*)")
_MAKE = re.compile(r"^(?:\$ )?make((?: +[A-Za-z][\w=-]*)+)")


@dataclass(frozen=True)
class Document:
    """A Markdown file, or the texts of a notebook, and the text without code blocks."""

    path: Path
    text: str

    @classmethod
    def read(cls, path: Path) -> Document:
        if path.suffix != ".ipynb":
            return cls(path, path.read_text())
        cells = json.loads(path.read_text())["cells"]
        return cls(path, "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"))

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @property
    def prose(self) -> str:
        return _FENCE.sub("", self.text)

    def inline_code(self) -> list[str]:
        """The texts between backticks, each on one line."""
        return [" ".join(match[1].split()) for match in _INLINE.finditer(self.prose)]

    def code(self) -> list[str]:
        """Inline code, and the lines of code blocks, with continued lines joined."""
        blocks = (match[0].replace("\\\n", " ") for match in _FENCE.finditer(self.text))
        return [*self.inline_code(), *(line.strip() for block in blocks for line in block.splitlines()[1:-1])]

    def targets(self) -> list[str]:
        """The targets of all links and pictures, in each of the forms that Markdown has for them."""
        text = _INLINE.sub("", self.prose.replace("[`", "[").replace("`]", "]"))
        return [target for form in (_LINK, _REFERENCE, _TAG, _AUTOMATIC) for target in form.findall(text)]

    def links(self) -> list[str]:
        """The targets of links to other places than web pages."""
        return [target for target in self.targets() if not _SCHEME.match(target)]

    def pictures(self) -> list[tuple[str, str]]:
        """The text and the target of each picture."""
        return _PICTURE.findall(_INLINE.sub("", self.prose))

    def anchors(self) -> set[str]:
        """The anchors of the headings, as GitHub builds them: https://github.com/gjtorikian/html-pipeline."""
        anchors: list[str] = []
        for title in _HEADING.findall(self.prose):
            anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
            earlier = sum(re.fullmatch(rf"{re.escape(anchor)}(-\d+)?", other) is not None for other in anchors)
            anchors.append(f"{anchor}-{earlier}" if earlier else anchor)
        return set(anchors)


def documents() -> list[Document]:
    paths = [*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))]
    notebooks = [path for path in (ROOT / "docs").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts]
    return [Document.read(path) for path in sorted([*paths, *notebooks])]


every_document = pytest.mark.parametrize("document", documents(), ids=lambda document: document.name)
# The changelog also has commands and options of earlier versions.
every_present_document = pytest.mark.parametrize(
    "document", [each for each in documents() if each.name != "CHANGELOG.md"], ids=lambda document: document.name
)


# ------------------------------------------------------------------------------------------------------ links and paths


@every_document
def test_every_link_leads_to_a_file_and_to_a_heading_in_it(document: Document) -> None:
    assert [problem for target in document.links() if (problem := link_problem(document, target))] == []


@every_document
def test_every_link_to_a_web_page_is_encrypted(document: Document) -> None:
    addresses = [target for target in document.targets() if _SCHEME.match(target)]
    assert [address for address in addresses if not re.match(r"https://[\w.-]+\.[a-z]+(/|$)", address)] == []


@every_document
def test_every_picture_has_a_text_for_those_who_do_not_see_it(document: Document) -> None:
    assert [target for text, target in document.pictures() if not text.strip()] == []


def test_every_picture_is_shown_by_a_document() -> None:
    shown = {(document.path.parent / target).resolve() for document in documents() for _, target in document.pictures()}
    assert sorted(set((ROOT / "docs" / "pictures").iterdir()) - shown) == []


def link_problem(document: Document, target: str) -> str:
    """Why a link leads nowhere; empty if it leads to a file and, where it has an anchor, to a heading."""
    name, _, anchor = target.partition("#")
    path = (document.path.parent / name).resolve() if name else document.path
    if not path.exists() or not path.is_relative_to(ROOT):
        return f"{target}: no such file"
    if anchor and path.suffix == ".md" and anchor not in Document.read(path).anchors():
        return f"{target}: no such heading"
    return ""


@every_document
def test_every_path_in_backticks_exists(document: Document) -> None:
    assert [text for text in document.inline_code() if is_path(text) and not path_exists(text)] == []


def is_path(text: str) -> bool:
    return text.partition("/")[0] in FOLDERS and "/" in text and " " not in text


def path_exists(path: str) -> bool:
    """Whether a file or folder has that path; a placeholder in capitals, and a `*`, stand for any part of a name."""
    pattern = re.sub(r"\b[A-Z][A-Z_]+\b", "*", path.rstrip("/"))
    return next(ROOT.glob(pattern), None) is not None


# ------------------------------------------------------------------------------------------------------------- commands


@every_present_document
def test_every_command_of_the_pipeline_exists_with_its_options(document: Document) -> None:
    commands = [
        arguments for line in document.code() for module, arguments in module_calls(line) if module == "pipeline"
    ]
    # In prose, a command with an option is written without `python -m pipeline`.
    commands += [text.split() for text in document.inline_code() if is_short_command(text)]
    assert [problem for arguments in commands if (problem := command_problem(arguments))] == []


@every_present_document
def test_every_benchmark_exists(document: Document) -> None:
    from benchmarks.__main__ import BENCHMARKS

    calls = [arguments for line in document.code() for module, arguments in module_calls(line) if module != "pipeline"]
    named = {arguments[0] for arguments in calls if arguments and re.match(r"[a-z]", arguments[0])}
    assert sorted(named - set(BENCHMARKS)) == []


@every_present_document
def test_every_target_of_make_exists(document: Document) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    calls = [match[1].split() for line in document.code() if (match := _MAKE.match(line))]
    named = {word for words in calls for word in words if "=" not in word and word != "TARGET"}
    assert sorted(named - targets) == []


def module_calls(line: str) -> Iterator[tuple[str, list[str]]]:
    """(module, arguments) of each `python -m pipeline` or `python -m benchmarks` in a line of code."""
    for match in _MODULE.finditer(line):
        module, arguments = match.groups()
        if line[: match.start()].rpartition("$(")[1]:
            arguments = arguments.partition(")")[0]
        words = shlex.split(arguments, comments=True)
        end = next((place for place, word in enumerate(words) if re.fullmatch(r"[|;&>].*|\.\.\.", word)), len(words))
        yield module, words[:end]


@lru_cache(maxsize=1)
def command_line() -> Any:
    from pipeline.cli import app

    return get_command(app)


def is_short_command(text: str) -> bool:
    words = text.split()
    return words[0] in command_line().commands and any(re.match(r"--?[a-z]", word) for word in words[1:])


def command_problem(arguments: list[str]) -> str:
    """Why the command line refuses the arguments; empty if it does not. Values and missing arguments are ignored."""
    command, rest = command_line(), [word for word in arguments if word not in ("--help", "-h")]
    while True:
        context = command.context_class(command, info_name="pipeline")
        subcommands = getattr(command, "commands", {})
        # `dataset latest` is short for `dataset show latest`.
        if "show" in subcommands and not set(rest) & set(subcommands):
            command = subcommands["show"]
            continue
        try:
            _, left, _ = command.make_parser(context).parse_args(list(rest))
        except Exception as error:
            return f"{' '.join(arguments)}: {error}"
        if not subcommands or not left or left[0] == "COMMAND":
            return ""
        if left[0] not in subcommands:
            return f"{' '.join(arguments)}: there is no command {left[0]}"
        command, rest = subcommands[left[0]], left[1:]


# ------------------------------------------------------------------------------------------------------------ decisions


def decisions() -> list[Path]:
    return sorted(DECISIONS.glob("[0-9]*.md"))


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [int(path.name[:4]) for path in decisions()] == list(range(1, len(decisions()) + 1))


@pytest.mark.parametrize("path", decisions(), ids=lambda path: path.stem)
def test_a_decision_begins_with_number_title_date_and_status(path: Path) -> None:
    number, _, date, status = header(path)
    assert number == int(path.name[:4])
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", date)
    match = _STATUS.fullmatch(status)
    assert match is not None
    if match[1]:
        assert match[1] in {other.name[:4] for other in decisions()} - {path.name[:4]}


def test_the_index_lists_every_decision_once_as_its_file_has_it() -> None:
    rows = _ROW.findall((DECISIONS / "README.md").read_text())
    listed = [(number, name, title, date, status) for number, name, title, date, status, _ in rows]
    files = [(path.name[:4], path.name, *header(path)[1:]) for path in decisions()]
    assert listed == files


def header(path: Path) -> tuple[int, str, str, str]:
    """Number, title, date and status at the beginning of a decision."""
    match = re.match(r"# (\d+)\. (.+)\n\nDate: (.+)\n\nStatus: (.+)\n", path.read_text())
    wanted = "'# N. TITLE', 'Date: YYYY-MM-DD' and 'Status: ...', with empty lines in between"
    assert match is not None, f"{path.name} does not begin with {wanted}"
    return int(match[1]), match[2], match[3], match[4]


# ----------------------------------------------------------------------------------------------------- the checks above


@pytest.fixture
def page(tmp_path: Path) -> Document:
    text = (
        "# A page\n\n## What's `new`: 1, 2\n\n[a](other.md) and [`b`](#a-page), `make\ntest SEED=1`\n\n"
        "```\n# no heading\nmake golden    # [no](link.md)\n"
        "$ python -m pipeline --profile dev start \\\n  --watch\n```\n"
    )
    return Document(tmp_path / "page.md", text)


def test_code_blocks_have_no_links_and_no_headings(page: Document) -> None:
    assert page.links() == ["other.md", "#a-page"]
    assert page.anchors() == {"a-page", "whats-new-1-2"}


def test_links_are_read_in_each_form_of_markdown(tmp_path: Path) -> None:
    text = (
        '[a](one.md "A title") ![b](two.png) [![c](three.png)](four.md) <https://example.com/five>\n'
        '<img src="six.png" alt="d"> <a href="http://example.com">e</a>\n\n[f]: seven.md\n'
    )
    page = Document(tmp_path / "page.md", text)
    assert sorted(page.links()) == ["four.md", "one.md", "seven.md", "six.png", "three.png", "two.png"]
    assert sorted(set(page.targets()) - set(page.links())) == ["http://example.com", "https://example.com/five"]
    assert page.pictures() == [("b", "two.png"), ("c", "three.png")]


def test_a_link_to_a_missing_file_or_heading_or_out_of_the_repository_is_named() -> None:
    document = Document(ROOT / "docs" / "README.md", "")
    assert link_problem(document, "settings.md#alerts") == ""
    assert link_problem(document, "no.md") == "no.md: no such file"
    assert link_problem(document, "settings.md#no") == "settings.md#no: no such heading"
    assert link_problem(document, "../../outside.md") == "../../outside.md: no such file"


def test_the_texts_of_a_notebook_are_read_without_its_code(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# A\n", "[b](c.md)"]},
        {"cell_type": "code", "source": ["print('[d](e.md)')"]},
    ]
    path = tmp_path / "page.ipynb"
    path.write_text(json.dumps({"cells": cells}))
    page = Document.read(path)
    assert (page.links(), page.anchors()) == (["c.md"], {"a"})


def test_code_is_inline_or_in_blocks_with_continued_lines_joined(page: Document) -> None:
    assert "make test SEED=1" in page.code()
    [call] = [call for line in page.code() for call in module_calls(line)]
    assert call == ("pipeline", ["--profile", "dev", "start", "--watch"])


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        ("eval $(.venv/bin/python -m pipeline local env)", ["local", "env"]),
        ('python -m pipeline schedule "cron(0 3 * * ? *)"   # nightly', ["schedule", "cron(0 3 * * ? *)"]),
        ("python -m pipeline models --json | jq .", ["models", "--json"]),
        ("python -m pipeline", []),
    ],
)
def test_the_arguments_of_a_call_end_where_the_shell_ends_them(line: str, arguments: list[str]) -> None:
    assert list(module_calls(line)) == [("pipeline", arguments)]


def test_a_module_of_the_pipeline_is_no_command() -> None:
    assert list(module_calls("python -m pipeline.local.server DIRECTORY")) == []


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "--profile prod check",
        "dataset latest --json",
        "dataset prune --days 90",
        "models compare 3 latest",
        "--help",
    ],
)
def test_commands_that_exist_have_no_problem(arguments: str) -> None:
    assert command_problem(arguments.split()) == ""


@pytest.mark.parametrize(
    "arguments", ["begin", "--profil dev check", "start --wach", "images pull", "dataset prune --hours 3"]
)
def test_commands_and_options_that_do_not_exist_are_named(arguments: str) -> None:
    assert command_problem(arguments.split()).startswith(arguments)


def test_a_placeholder_in_a_path_stands_for_any_name() -> None:
    assert path_exists("containers/IMAGE/requirements.txt")
    assert path_exists("steps/serve/")
    assert not path_exists("containers/IMAGE/requirements.md")
