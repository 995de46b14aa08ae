"""Who may use the console. The kind: whoever reaches the port without being its person's browser on its own pages."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from pipeline.console import security
from pipeline.console.app import application
from pipeline.console.console import Console
from pipeline.settings import Settings
from tests.unit.pipeline.console.conftest import ORIGIN, PORT

pytestmark = pytest.mark.usefixtures("account")
Open = Callable[[Settings], TestClient]


@pytest.fixture
def browser(opened: Open, settings: Settings) -> TestClient:
    return opened(settings)


@pytest.fixture
def stranger(settings: Settings) -> TestClient:
    """A browser that has never seen the address with the key."""
    console = Console(settings, "python -m pipeline", str, str)
    return TestClient(application(console, PORT), base_url=ORIGIN)


HOSTS = [
    "example.com",
    "example.com:8780",
    "127.0.0.1",
    "127.0.0.1:8781",
    "localhost.example.com:8780",
    "",
    "[::1]:8780",
]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("path", ["/runs", "/live?page=/runs", "/static/console.js"])
def test_another_host_is_refused_whatever_it_asks_for(browser: TestClient, host: str, path: str) -> None:
    """A name of an attacker that is rebound to 127.0.0.1 reaches the port with its own Host."""
    assert browser.get(path, headers={"host": host}).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1:8780", "localhost:8780"])
def test_its_own_names_are_answered(browser: TestClient, host: str) -> None:
    assert browser.get("/static/console.js", headers={"host": host}).status_code == 200


ORIGINS = ["https://example.com", "null", "http://127.0.0.1:8781", "http://localhost:8780", "https://127.0.0.1:8780"]


@pytest.mark.parametrize("origin", ORIGINS)
def test_a_foreign_origin_changes_nothing_even_with_the_token(
    browser: TestClient, settings: Settings, origin: str
) -> None:
    token = browser.headers["x-token-of-this-test"]
    answer = browser.post("/runs/abc/stop", data={"token": token}, headers={"origin": origin})
    assert (answer.status_code, "another origin" in answer.text) == (403, True)


@pytest.mark.parametrize("token", [None, "", "x", "é", "0" * 64])
def test_a_form_without_the_token_changes_nothing(browser: TestClient, token: str | None) -> None:
    data = {} if token is None else {"token": token}
    answer = browser.post("/runs/abc/stop", data=data, headers={"origin": ORIGIN})
    assert (answer.status_code, "reload its page" in answer.text) == (403, True)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_site_or_port_cannot_read_with_the_persons_cookie(browser: TestClient, site: str) -> None:
    """A browser sends a SameSite=Strict cookie for a page on another port of 127.0.0.1, too."""
    foreign = {"sec-fetch-site": site, "sec-fetch-dest": "image", "sec-fetch-mode": "no-cors"}
    assert browser.get("/runs", headers=foreign).status_code == 403


def test_a_link_from_elsewhere_opens_a_page(browser: TestClient) -> None:
    """As from an e-mail; the cookie is SameSite=Strict, so a browser asks for the key then."""
    link = {"sec-fetch-site": "cross-site", "sec-fetch-dest": "document", "sec-fetch-mode": "navigate"}
    assert browser.get("/static/console.js", headers=link).status_code == 200


@pytest.mark.parametrize("path", ["/", "/runs", "/live?page=/runs", "/static/console.js", "/?key=wrong", "/none"])
def test_without_the_key_there_is_nothing_to_see(stranger: TestClient, path: str) -> None:
    answer = stranger.get(path)
    assert (answer.status_code, "python -m pipeline console" in answer.text) == (401, True)


def test_the_key_becomes_a_cookie_that_no_script_reads_and_no_other_site_sends(settings: Settings) -> None:
    console = Console(settings, "python -m pipeline", str, str)
    browser = TestClient(application(console, PORT), base_url=ORIGIN, follow_redirects=False)
    answer = browser.get(f"/runs?key={console.key}&older=2")
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs?older=2")
    cookie = answer.headers["set-cookie"].lower()
    assert [flag in cookie for flag in ("httponly", "samesite=strict", "path=/")] == [True, True, True]
    assert cookie.startswith(f"console-{PORT}=")


@pytest.mark.parametrize("others", ['prefs={"dark":true}', "a=é", "x", "="])
def test_a_cookie_of_a_server_on_another_port_locks_nobody_out(settings: Settings, others: str) -> None:
    console = Console(settings, "python -m pipeline", str, str)
    browser = TestClient(application(console, PORT), base_url=ORIGIN)
    cookie = f"{others}; console-{PORT}={console.key}".encode()
    assert browser.get("/static/console.js", headers={"cookie": cookie}).status_code == 200
    assert browser.get("/static/console.js", headers={"cookie": others.encode()}).status_code == 401


def test_the_address_with_the_key_opens_by_a_link_of_another_site(settings: Settings) -> None:
    """A redirect would be followed on behalf of that site, without the cookie."""
    console = Console(settings, "python -m pipeline", str, str)
    browser = TestClient(application(console, PORT), base_url=ORIGIN, follow_redirects=False)
    link = {"sec-fetch-site": "cross-site", "sec-fetch-dest": "document", "sec-fetch-mode": "navigate"}
    answer = browser.get(f'/runs?key={console.key}&older="><script>', headers=link)
    assert answer.status_code == 200
    assert 'content="0; url=/runs?older=%22%3E%3Cscript%3E"' in answer.text
    assert console.key not in answer.text
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert browser.get("/static/console.js").status_code == 200


@pytest.mark.parametrize("path", ["//example.com/", "/\\example.com", "///example.com", "/runs"])
def test_the_key_leads_to_no_other_host(path: str) -> None:
    place = security.local_path(path)
    assert (place[0], place[1:2] in ("/", "\\")) == ("/", False)


def test_every_answer_forbids_inline_code_and_other_places(browser: TestClient) -> None:
    for path in ("/static/console.js", "/none", "/runs"):
        headers = browser.get(path).headers
        rules = dict(rule.split(" ", 1) for rule in headers["content-security-policy"].split("; "))
        assert rules["default-src"] == "'none'"
        assert rules["script-src"] == rules["style-src"] == "'self'"
        assert rules["frame-ancestors"] == "'none'"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"


def test_the_key_and_the_token_are_in_no_representation(settings: Settings) -> None:
    console = Console(settings, "python -m pipeline", str, str)
    assert console.key not in repr(console)
    assert console.token not in repr(console)


def test_a_console_that_is_started_again_with_its_key_has_its_token(settings: Settings) -> None:
    first, second = (Console(settings, "python -m pipeline", str, str, key="k") for _ in range(2))
    assert first.token == second.token != Console(settings, "python -m pipeline", str, str).token
