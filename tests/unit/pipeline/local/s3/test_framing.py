"""Where requests end: whatever the cuts, every byte is the body's or the next request's, and none is read two ways."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.local.s3.framing import (
    MAX_HEAD_BYTES,
    Body,
    MalformedRequestError,
    joined_chunks,
    parse_head,
    parse_response_head,
    split_head,
)


def head(*lines: str, line: str = "PUT /bucket/key HTTP/1.1") -> bytes:
    return "\r\n".join([line, *lines, "", ""]).encode("latin-1")


def chunked(pieces: list[bytes], extension: bytes = b"", trailer: bytes = b"") -> bytes:
    chunks = [b"%X%s\r\n%s\r\n" % (len(piece), extension, piece) for piece in pieces if piece]
    return b"".join(chunks) + b"0\r\n" + trailer + b"\r\n"


BODIES = st.one_of(
    st.binary(max_size=200).map(lambda body: (len(body), body, body)),
    st.tuples(
        st.lists(st.binary(max_size=60), max_size=6),
        st.sampled_from([b"", b";name=value", b' ; n="v"']),
        st.sampled_from([b"", b"x-amz-checksum-crc32: AAAAAA==\r\n"]),
    ).map(lambda parts: (-1, chunked(*parts), b"".join(parts[0]))),
)


@given(BODIES, st.binary(max_size=40), st.lists(st.integers(1, 50), max_size=40))
def test_a_body_ends_at_its_end_however_it_is_cut(body, following, cuts):
    length, raw, content = body
    reader, rest, taken = Body(length), raw + following, b""
    for cut in [*cuts, len(rest) + 1]:
        if reader.done or not rest:
            break
        piece, after = rest[:cut], rest[cut:]
        end = reader.measure(piece)
        taken, rest = taken + piece[:end], piece[end:] + after
    assert (reader.done, taken, rest) == (True, raw, following)
    if length < 0:
        assert joined_chunks(raw) == content


@given(BODIES, st.integers(0, 30))
def test_measuring_begins_where_it_is_told(body, offset):
    length, raw, _ = body
    reader = Body(length)
    assert (raw == b"" and reader.done) or reader.measure(b"x" * offset + raw, offset) == offset + len(raw)
    assert reader.done


@given(st.binary(max_size=200))
def test_any_bytes_are_a_head_or_refused(data):
    try:
        end = split_head(data)
        if end:
            parse_head(data[:end])
    except MalformedRequestError:
        pass


@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}", fullmatch=True).filter(
            lambda name: name.lower() not in ("content-length", "transfer-encoding", "connection")
        ),
        st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=20),
        max_size=5,
    )
)
def test_headers_are_read_as_they_are_written(fields):
    lowered = {name.lower(): value for name, value in fields.items()}
    written = head(*(f"{name}:{value}" for name, value in lowered.items()))
    parsed = parse_head(written)
    assert parsed.headers == {name: value.strip(" \t") for name, value in lowered.items()}
    assert (parsed.raw, parsed.method, parsed.target) == (written, "PUT", "/bucket/key")


def test_equal_headers_are_joined_unless_they_decide_about_the_request():
    assert parse_head(head("X-Amz-Meta-a: 1", "x-amz-meta-A: 2")).headers == {"x-amz-meta-a": "1,2"}


@pytest.mark.parametrize(
    ("lines", "length"),
    [
        ((), 0),
        (("Content-Length: 12",), 12),
        (("content-length:0",), 0),
        (("Transfer-Encoding: chunked",), -1),
        (("transfer-encoding: Chunked",), -1),
    ],
)
def test_the_length_of_a_body(lines, length):
    assert parse_head(head(*lines)).length == length


@pytest.mark.parametrize(
    "raw",
    [
        # Two ends of one request.
        head("Content-Length: 5", "Transfer-Encoding: chunked"),
        head("Transfer-Encoding: chunked", "Content-Length: 5"),
        head("Content-Length: 5", "Content-Length: 5"),
        head("Content-Length: 5", "content-length: 6"),
        head("Content-Length: 5, 5"),
        head("Content-Length: +5"),
        head("Content-Length: 5_0"),
        head("Content-Length: 0x5"),
        head("Content-Length: -1"),
        head("Content-Length: "),
        head("Content-Length: 9999999999999999999"),
        head("Transfer-Encoding: gzip, chunked"),
        head("Transfer-Encoding: identity"),
        head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
        head("Transfer-Encoding: chunked", line="PUT / HTTP/1.0"),
        head("Transfer-Encoding : chunked"),
        head("Transfer-Encoding:\tchunked\x0b"),
        # Continued lines and lines that end otherwise.
        head("X-A: 1", " Content-Length: 5"),
        head("X-A: 1", "\tfolded"),
        head("X-A: 1\nContent-Length: 5"),
        head("X-A: 1\rContent-Length: 5"),
        head("X-A: 1\x00"),
        head(": no name"),
        head("no colon"),
        head("na me: x"),
        # Two callers of one request.
        head("Authorization: a", "authorization: b"),
        head("X-Amz-Security-Token: a", "x-amz-security-token: b"),
        head("Host: a", "Host: b"),
        # Lines that are no request's.
        head(line="PUT /a b HTTP/1.1"),
        head(line="PUT http://elsewhere/bucket/key HTTP/1.1"),
        head(line="PUT bucket/key HTTP/1.1"),
        head(line="PUT  /bucket/key HTTP/1.1"),
        head(line="PUT /bucket/key HTTP/2.0"),
        head(line="PUT /bucket/key"),
        head(line="PUT /b\xfccket HTTP/1.1"),
        head(line=""),
    ],
)
def test_what_two_readers_could_understand_differently_is_refused(raw):
    with pytest.raises(MalformedRequestError):
        parse_head(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"xyz\r\n",
        b"\r\n",
        b"-5\r\n",
        b"5\nabcde\r\n",
        b"5\r\nabcdefg\r\n",
        b"5\r\nabcde\n0\r\n\r\n",
        b"0x5\r\nabcde\r\n0\r\n\r\n",
        b"FFFFFFFFFFFFFFFFF\r\n",
        b"5;" + b"x" * 5000,
    ],
)
def test_chunks_that_two_readers_could_understand_differently_are_refused(raw):
    with pytest.raises(MalformedRequestError):
        Body(-1).measure(raw)


def test_a_head_without_an_end_is_refused_once_it_is_too_long():
    assert split_head(b"GET /" + b"a" * (MAX_HEAD_BYTES - 10)) == 0
    with pytest.raises(MalformedRequestError, match=str(MAX_HEAD_BYTES)):
        split_head(b"GET /" + b"a" * MAX_HEAD_BYTES)


@pytest.mark.parametrize(
    ("line", "fields", "keeps_alive"),
    [
        ("GET /a HTTP/1.1", (), True),
        ("GET /a HTTP/1.1", ("Connection: keep-alive",), True),
        ("GET /a HTTP/1.1", ("Connection: Close",), False),
        ("GET /a HTTP/1.0", (), False),
    ],
)
def test_whether_another_request_may_follow(line, fields, keeps_alive):
    assert parse_head(head(*fields, line=line)).keeps_alive is keeps_alive


@pytest.mark.parametrize(
    ("raw", "method", "status", "length"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n", "GET", 200, 12),
        (b"HTTP/1.1 200 OK\r\ncontent-length:12\r\n\r\n", "HEAD", 200, 0),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "GET", 200, -1),
        (b"HTTP/1.1 200 OK\r\n\r\n", "GET", 200, None),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", "DELETE", 204, 0),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "GET", 304, 0),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "PUT", 100, 0),
    ],
)
def test_the_length_of_a_response(raw, method, status, length):
    parsed = parse_response_head(raw, method)
    assert (parsed.status, parsed.length) == (status, length)


def test_a_response_that_is_none_is_refused():
    with pytest.raises(MalformedRequestError):
        parse_response_head(b"SSH-2.0-OpenSSH\r\n\r\n", "GET")
