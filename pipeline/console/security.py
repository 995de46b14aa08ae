"""Who may ask: this machine's browser, with the key, on pages of this very console.

- A page elsewhere whose name is rebound to 127.0.0.1 has another Host: refused, as is a foreign Origin.
- Other users of the machine reach the port, too, so the address that `console` prints has a key, which becomes a
  cookie.
- Whatever changes something needs the token of a page besides.

Cookies are not isolated by port (https://www.rfc-editor.org/rfc/rfc6265#section-8.5): a server on another port of
127.0.0.1 that the same browser visits is sent the cookie, so it has to be one that its person trusts.
"""

from __future__ import annotations

import hmac
from html import escape
from urllib.parse import parse_qsl, quote, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

NAMES = ("127.0.0.1", "localhost")
_SAFE = ("GET", "HEAD")
# Where a request comes from: nowhere, as an address that was typed, or a page of this console. Another port of this
# machine is of the same site, and another origin. https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header
_OWN = ("none", "same-origin")
# No inline script or style, nothing from elsewhere; `frame-src` is for reports, which are pages of this origin in a
# sandbox. https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Content-Security-Policy
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "frame-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
# A report's page has its styles and scripts within; it may neither reach this origin nor load anything.
REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline';"
    " img-src data:; frame-ancestors 'self'"
)


class Guard:
    """Refuses what does not come from this console's pages, and adds the headers of all answers."""

    def __init__(self, app: ASGIApp, port: int, key: str) -> None:
        self._app, self._key = app, key
        self._hosts = {f"{name}:{port}" for name in NAMES} | (set(NAMES) if port == 80 else set())
        self._cookie = f"console-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = self._refusal(scope) or self._entry(scope)
        await (answer or self._app)(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if host not in self._hosts:
            return PlainTextResponse(f"the console answers as {min(self._hosts)} only\n", 421)
        origin = headers.get("origin")
        if scope["method"] not in _SAFE and origin not in (None, f"http://{host}"):
            return PlainTextResponse("a page of another origin cannot use the console\n", 403)
        if headers.get("sec-fetch-site", "none") not in _OWN and (
            scope["method"] not in _SAFE or headers.get("sec-fetch-dest") not in ("document", None)
        ):
            return PlainTextResponse("a page of another site cannot use the console\n", 403)
        return None

    def _entry(self, scope: Scope) -> Response | None:
        """None with the cookie; with the key in the address, the way to the page without it; else a refusal."""
        headers = Headers(scope=scope)
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = dict(query).get("key")
        if given is not None and scope["method"] == "GET" and _equal(given, self._key):
            rest = urlencode([(name, value) for name, value in query if name != "key"])
            place = local_path(scope["path"]) + (f"?{rest}" if rest else "")
            is_own = headers.get("sec-fetch-site", "none") in _OWN
            answer: Response = RedirectResponse(place, 303) if is_own else _way_to(place)
            answer.set_cookie(self._cookie, self._key, path="/", httponly=True, samesite="strict")
            return answer
        # Servers on other ports set cookies, too, of forms at which http.cookies stops to read.
        if _equal(cookie_parser(headers.get("cookie", "")).get(self._cookie, ""), self._key):
            return None
        return PlainTextResponse(
            "open the console by the address that its command printed, which has a key: python -m pipeline console;"
            " the console of the local cloud: python -m pipeline local status\n",
            401,
        )


def local_path(path: str) -> str:
    """A path that is no address of another host, as `//host` would be."""
    return quote("/" + path.lstrip("/\\"))


def _way_to(place: str) -> Response:
    """A page that leads on to `place` by itself.

    A browser follows a redirect on behalf of the page with the link, and where that is of another site, such as a file
    or a terminal in a browser, it sends no cookie that is SameSite=Strict (seen in Chromium;
    https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis#section-5.2). This page is of its own site.
    """
    link = escape(place)
    return HTMLResponse(
        f'<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={link}">'
        f'<title>Console</title><a href="{link}">To the console</a>',
        # Its own address has the key.
        headers={"referrer-policy": "no-referrer"},
    )


def _equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def is_token(given: str, expected: str) -> bool:
    """Whether a form or a request carries the token of this console's pages."""
    return _equal(given, expected)


def _with_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.setdefault("content-security-policy", POLICY)
            headers["x-content-type-options"] = "nosniff"
            # With `no-referrer` a browser sends `Origin: null` for the forms of these very pages:
            # https://fetch.spec.whatwg.org/#append-a-request-origin-header
            headers.setdefault("referrer-policy", "same-origin")
            headers["cross-origin-opener-policy"] = "same-origin"
            headers["cross-origin-resource-policy"] = "same-origin"
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return wrapped
