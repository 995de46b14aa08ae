"""The documents of DeleteObjects: https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from pipeline.local.s3.answers import NAMESPACE
from pipeline.local.s3.calls import InvalidCallError, check_key

MAX_KEYS = 1000


class MalformedBatchError(Exception):
    """A document that S3 refuses."""


@dataclass(frozen=True)
class Item:
    """An object, or one version of it."""

    key: str
    version: str


@dataclass(frozen=True)
class Refused:
    """An item that is not deleted, with S3's words."""

    item: Item
    message: str
    code: str = "AccessDenied"


@dataclass(frozen=True)
class Batch:
    """The items of a request; `quiet` if the response names failures only."""

    items: tuple[Item, ...]
    quiet: bool

    def without(self, items: Collection[Item]) -> Batch:
        """The batch without some items."""
        return Batch(tuple(item for item in self.items if item not in items), self.quiet)

    def document(self) -> bytes:
        """The batch as a request's body."""
        objects = "".join(
            f"<Object><Key>{_escaped(item.key)}</Key>"
            + (f"<VersionId>{_escaped(item.version)}</VersionId>" if item.version else "")
            + "</Object>"
            for item in self.items
        )
        quiet = "<Quiet>true</Quiet>" if self.quiet else ""
        return f'<Delete xmlns="{NAMESPACE}">{quiet}{objects}</Delete>'.encode()


def read(body: bytes) -> Batch:
    """The batch of a request's body. Raises MalformedBatchError."""
    try:
        root = parsed(body)
    except ElementTree.ParseError:
        raise MalformedBatchError("The XML you provided was not well-formed.") from None
    items, quiet = [], False
    for child in root:
        match _name(child):
            case "Object":
                values = {_name(part): part.text or "" for part in child}
                if not values.keys() <= {"Key", "VersionId"} or not values.get("Key"):
                    # ETag, LastModifiedTime and Size are conditions for directory buckets.
                    raise MalformedBatchError(
                        "An object of the local cloud's DeleteObjects has Key and VersionId only."
                    )
                items.append(Item(values["Key"], values.get("VersionId", "")))
            case "Quiet":
                quiet = (child.text or "").strip().lower() == "true"
            case other:
                raise MalformedBatchError(f"DeleteObjects has no element {other}.")
    if not 0 < len(items) <= MAX_KEYS:
        raise MalformedBatchError(f"DeleteObjects takes 1 to {MAX_KEYS} objects.")
    for item in items:
        try:
            check_key(item.key)
        except InvalidCallError as invalid:
            raise MalformedBatchError(str(invalid)) from None
    return Batch(tuple(items), quiet)


def result(response: bytes, refused: Sequence[Refused]) -> str:
    """The result of a batch: the object server's elements, if any, and an error per refused item."""
    parts = []
    for child in parsed(response) if response else ():
        values = "".join(f"<{_name(part)}>{_escaped(part.text or '')}</{_name(part)}>" for part in child)
        parts.append(f"<{_name(child)}>{values}</{_name(child)}>")
    for refusal in refused:
        version = f"<VersionId>{_escaped(refusal.item.version)}</VersionId>" if refusal.item.version else ""
        parts.append(
            f"<Error><Key>{_escaped(refusal.item.key)}</Key>{version}<Code>{refusal.code}</Code>"
            f"<Message>{_escaped(refusal.message)}</Message></Error>"
        )
    return f'<DeleteResult xmlns="{NAMESPACE}">{"".join(parts)}</DeleteResult>'


def parsed(document: bytes) -> ElementTree.Element:
    """The root of an XML document. Raises ElementTree.ParseError, also for one with declarations of entities."""
    if b"<!" in document.replace(b"<![CDATA[", b"").replace(b"<!--", b""):
        raise ElementTree.ParseError("a document with declarations")
    return ElementTree.fromstring(document)  # noqa: S314  # without declarations there are no entities to expand


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _escaped(text: str) -> str:
    return escape(text, {"\r": "&#13;", "\n": "&#10;", "\t": "&#9;"})
