"""The pages by address. A page of `pages/` registers itself here by being listed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from starlette.requests import Request
from starlette.responses import Response

from pipeline.console.console import Console, View
from pipeline.console.uploads import Sent

Values: TypeAlias = Mapping[str, str]
Page: TypeAlias = Callable[[Console, Values], View]
Action: TypeAlias = Callable[[Console, Values], str]
Download: TypeAlias = Callable[[Console, Values], Response]
Upload: TypeAlias = Callable[[Console, Values, Sent], View]


@dataclass(frozen=True)
class Routes:
    """What a module of `pages/` answers.

    `pages` show a view of the values in path and query. `actions` are forms: they change something by the values in
    path and form, and return the path to show next; they need the token. `downloads` answer with other content.
    `uploads` are forms with a file, which show a view of it and change nothing; they need the token, too.
    """

    pages: Mapping[str, Page]
    actions: Mapping[str, Action] | None = None
    downloads: Mapping[str, Download] | None = None
    uploads: Mapping[str, Upload] | None = None


def values_of(request: Request) -> dict[str, str]:
    """The values in path and query; those of the path win."""
    return {**request.query_params, **{name: str(value) for name, value in request.path_params.items()}}
