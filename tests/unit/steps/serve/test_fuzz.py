"""No input makes the server fail: mutated photos, random JSON and random types, over HTTP."""

import http.client
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.steps import bombs
from tests.unit.steps.serve.container import forged, photo, start, text

REFUSED = {400, 406, 413, 415}
BOUNDED = settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
# Of several sizes and kinds: some decoders' faults show only where there is more than one row of blocks.
PHOTOS = [
    photo(128),
    photo(250, 17, 5),
    photo(60, 400, 300),
    bombs.progressive(40, 30),
    bombs.scans(32, 40, 30),
    bombs.scans(40, 40, 30),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = start(tmp_path_factory.mktemp("serve"))
    yield server
    assert server.stop() == 0
    assert not [line for line in server.lines() if line["level"] in ("ERROR", "CRITICAL") or line.get("status") == 500]


@pytest.fixture
def ask(server):
    """Sends a body and gives the status, then a good photo, which is answered."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)

    def post(body, content_type):
        connection.request("POST", "/invocations", body, {"Content-Type": content_type})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    def ask(body, content_type):
        status, answer = post(body, content_type)
        assert status == 200 or answer["error"]
        assert post(photo(250), "image/jpeg")[1]["count"] == 2
        return status

    yield ask
    connection.close()


@st.composite
def mutated(draw):
    data = draw(st.sampled_from(PHOTOS))
    if draw(st.booleans()):
        data = forged(data, draw(st.integers(0, 65_535)), draw(st.integers(0, 65_535)))
    changed = bytearray(data)
    for place in draw(st.lists(st.integers(0, len(data) - 1), max_size=12)):
        changed[place] ^= 1 << draw(st.integers(0, 7))
    for place in draw(st.lists(st.integers(0, min(len(data) - 1, 700)), max_size=3)):
        changed[place] = draw(st.sampled_from([0x00, 0xFF, 0xD8, 0xD9, 0xC0, 0xC2, 0xDA, 0xDD, 0xE1]))
    cut = draw(st.sampled_from([0, 0, 1, 2, 50, 300]))
    return (
        bytes(changed[: len(changed) - cut]) + draw(st.binary(max_size=40)) + draw(st.sampled_from([b"", b"\xff\xd9"]))
    )


@BOUNDED
@given(mutated(), st.sampled_from(["bytes", "image", "images"]))
def test_no_mutated_photo_makes_the_server_fail(ask, data, form):
    if form == "bytes":
        assert ask(data, "image/jpeg") in {200, *REFUSED}
    else:
        document = {"image": text(data)} if form == "image" else {"images": [text(photo(0)), text(data)]}
        assert ask(json.dumps(document), "application/json") in {200, *REFUSED}


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(text(photo(0)))
keys = st.sampled_from(["image", "images", "instances"]) | st.text(max_size=5)
documents = st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=3))


@BOUNDED
@given(documents.map(json.dumps) | st.binary(max_size=100) | st.text(max_size=100).map(lambda body: body.encode()))
def test_no_json_makes_the_server_fail(ask, body):
    assert ask(body, "application/json") in {200, *REFUSED}


# What may stand in a header at all: a client's library refuses the rest.
header = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=60)


@BOUNDED
@given(header | st.sampled_from(["image/png", "image/jpeg;", "application/json; charset=utf-16", ";", "*/*"]))
def test_no_content_type_makes_the_server_fail(ask, content_type):
    assert ask(PHOTOS[0], content_type) in {200, *REFUSED}
