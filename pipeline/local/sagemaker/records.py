"""Records of a batch transform job: an object split, filtered, joined with what the container answers, and assembled.

https://docs.aws.amazon.com/sagemaker/latest/dg/batch-transform-data-processing.html: data is JSON, JSON Lines or CSV;
a filter is a JSONPath expression, and a row of CSV is an array to it.
"""

from __future__ import annotations

import csv
import functools
import io
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from pipeline.local.context import Request
from pipeline.local.sagemaker.resources import invalid

JSON, JSON_LINES, CSV = "application/json", "application/jsonlines", "text/csv"
OUTPUT, INPUT = "SageMakerOutput", "SageMakerInput"
# The operators of the page above: a child by its name, in dots or brackets, indices, slices, unions of these, and `*`.
_STEP = re.compile(r"\.(?P<name>\w+|\*)|\[(?P<choice>[^\[\]]+)\]")
_CHOICE = re.compile(
    r"\s*(?:'(?P<name>[^']*)'|\"(?P<other>[^\"]*)\"|(?P<all>\*)|(?P<slice>-?\d*:-?\d*)|(?P<index>-?\d+))\s*"
)


class RecordError(Exception):
    """A record that cannot be read, filtered or joined."""


class Path:
    """A JSONPath expression. Raises ServiceError for one that is none of the dialect above."""

    def __init__(self, expression: str) -> None:
        self._expression = expression
        position, steps = 1, []
        while expression[:1] == "$" and (match := _STEP.match(expression, position)):
            steps.append(_step(match))
            position = match.end()
        if not expression.startswith("$") or position != len(expression) or None in steps:
            raise invalid(f"{expression!r} is not a JSONPath expression of $, names, indices, slices and *.")
        self._steps = [step for step in steps if step is not None]

    @property
    def selects_all(self) -> bool:
        """Whether the expression is `$`."""
        return not self._steps

    def select(self, value: Any) -> Any:
        """The portion of a value; an array or an object keeps its form. Raises RecordError if it has no such part."""
        for step in self._steps:
            try:
                value = step(value)
            except (KeyError, IndexError, TypeError):
                raise RecordError(f"{self._expression} selects nothing of {json.dumps(value)[:200]}") from None
        return value


def _step(match: re.Match[str]) -> Callable[[Any], Any] | None:
    if name := match["name"]:
        return _children if name == "*" else functools.partial(_child, key=name)
    parts, position, text = [], 0, match["choice"]
    while part := _CHOICE.match(text, position):
        parts.append(part)
        position = part.end() + 1
        if text[part.end() : position] != ",":
            break
    if not parts or parts[-1].end() != len(text):
        return None
    return functools.partial(_chosen, parts=parts)


def _chosen(value: Any, parts: list[re.Match[str]]) -> Any:
    """The children that a bracket selects: one value for one name or index, and else an object or an array of them."""
    named = [part["name"] if part["name"] is not None else part["other"] for part in parts]
    if isinstance(value, dict):
        if any(part["all"] for part in parts):
            return value
        return value[named[0]] if len(parts) == 1 else {str(name): value[str(name)] for name in named}
    if len(parts) == 1 and parts[0]["index"]:
        return _child(value, int(parts[0]["index"]))
    chosen: list[Any] = []
    for part in parts:
        if part["all"]:
            chosen += value
        elif part["slice"]:
            begin, _, end = part["slice"].partition(":")
            chosen += value[int(begin) if begin else None : int(end) if end else None]
        else:
            chosen.append(_child(value, int(part["index"])))
    return chosen


def _child(value: Any, key: str | int) -> Any:
    kind: type = dict if isinstance(key, str) else list
    if not isinstance(value, kind):
        raise TypeError
    return value[key]  # type: ignore[index]


def _children(value: Any) -> Any:
    if not isinstance(value, dict | list):
        raise TypeError
    return value


class Processing:
    """What one job does with the records of an object."""

    def __init__(self, request: Request, limit: int) -> None:
        """`limit` is that of a request to the container, in bytes. Raises ServiceError for a wrong filter."""
        source, output = request["TransformInput"], request["TransformOutput"]
        filters = request.get("DataProcessing", {})
        self._limit = limit
        self._splits = source.get("SplitType", "None") == "Line"
        self._several = request.get("BatchStrategy", "MultiRecord") == "MultiRecord"
        self._end = b"\n" if output.get("AssembleWith", "None") == "Line" else b""
        self._input, self._output = Path(filters.get("InputFilter", "$")), Path(filters.get("OutputFilter", "$"))
        self._joins = filters.get("JoinSource", "None") == "Input"
        self._sent, self._received = _kind(source.get("ContentType", "")), _kind(output.get("Accept", ""))
        if self._reads_records and not self._sent:
            types = f"{CSV}, {JSON} and {JSON_LINES}"
            raise invalid(f"DataProcessing needs the ContentType of TransformInput to be one of {types}.")

    @property
    def _reads_records(self) -> bool:
        return self._joins or not self._input.selects_all or not self._output.selects_all

    def requests(self, body: bytes) -> Iterator[list[bytes]]:
        """The records of each request to the container: the object, a line, or as many lines as fit."""
        if not self._splits:
            yield [body]
            return
        batch, size = list[bytes](), 0
        for line in filter(None, (line.rstrip(b"\r") for line in body.split(b"\n"))):
            if batch and (not self._several or size + len(line) + 1 > self._limit):
                yield batch
                batch, size = [], 0
            batch.append(line)
            size += len(line) + 1
        if batch:
            yield batch

    def sent(self, records: list[bytes]) -> bytes:
        """The body of a request. Raises RecordError."""
        if not self._input.selects_all:
            records = [
                _rendered([self._input.select(item) for item in _items(record, self._sent)], self._sent)
                for record in records
            ]
        return b"\n".join(records)

    def answered(self, records: list[bytes], answer: bytes, content_type: str) -> bytes:
        """What of an answer goes to the output, the end of each record included. Raises RecordError."""
        if not self._joins and self._output.selects_all:
            return answer if not self._end else answer.rstrip(b"\n") + self._end
        kind = _kind(content_type) or self._received or self._sent
        results = _items(answer, kind)
        if self._joins:
            sources = [item for record in records for item in _items(record, self._sent)]
            if len(sources) != len(results):
                raise RecordError(f"the container answered {len(results)} records to {len(sources)}")
            pairs = zip(sources, results, strict=True)
            results = [_joined(source, result, self._sent) for source, result in pairs]
            kind = self._sent
        text = _rendered([self._output.select(result) for result in results], kind)
        return text + (self._end or (b"\n" if kind != JSON else b""))


def _kind(content_type: str) -> str:
    """The form of data, by its type without parameters; empty for another one."""
    kind = content_type.partition(";")[0].strip().lower()
    return {"application/x-jsonlines": JSON_LINES, "application/jsonl": JSON_LINES}.get(
        kind, kind if kind in (JSON, JSON_LINES, CSV) else ""
    )


def _items(data: bytes, kind: str) -> list[Any]:
    """The values in a record or an answer: rows as lists of texts, or the lines' or the whole JSON."""
    try:
        text = data.decode()
        if kind == CSV:
            return [row for row in csv.reader(io.StringIO(text)) if row]
        if kind == JSON_LINES:
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        lines = text.strip().splitlines()
        # Several lines of a file with the type application/json are JSON each, as SplitType Line has them.
        return [json.loads(text)] if len(lines) < 2 or not _each_json(lines) else [json.loads(line) for line in lines]
    except ValueError as error:
        raise RecordError(f"{data[:100]!r} is not {kind}: {error}") from None


def _each_json(lines: list[str]) -> bool:
    try:
        return all(json.loads(line) is not None for line in lines)
    except ValueError:
        return False


def _joined(source: Any, result: Any, kind: str) -> Any:
    """A row with the result's columns behind its own; an object with the result as SageMakerOutput."""
    if kind == CSV:
        if isinstance(result, dict):
            raise RecordError(f"an object cannot be joined to a row of CSV: {json.dumps(result)[:200]}")
        return [*source, *(result if isinstance(result, list) else [result])]
    return {**source, OUTPUT: result} if isinstance(source, dict) else {INPUT: source, OUTPUT: result}


def _rendered(values: list[Any], kind: str) -> bytes:
    if kind == CSV:
        target = io.StringIO()
        rows = [value if isinstance(value, list) else [value] for value in values]
        csv.writer(target, lineterminator="\n").writerows(rows)
        return target.getvalue().rstrip("\n").encode()
    return "\n".join(json.dumps(value) for value in values).encode()
