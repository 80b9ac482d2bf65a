"""Requests over HTTP/1.1 that lie about where they end, whom they are for, or how large they are.

Each row is sent as bytes to a real socket. Whatever is smuggled behind it would predict with a good key: the
pipeline behind /v2 must never see it, no answer may be a 5xx, and an honest caller is served afterwards.
"""

import asyncio
import gzip
import re
import zlib
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

import httpx
import orjson
import pytest

from slipway.http_protocol import MAX_HEAD_BYTES
from tests.gateway import rest_stand_in
from tests.gateway.rest_stand_in import TEXT, Behind

MIB: Final = 1024 * 1024
KEY: Final = f"authorization: Bearer {TEXT}\r\n".encode()
BODY: Final = orjson.dumps(
    {"inputs": [{"name": "features", "datatype": "FP32", "shape": [1, 2], "data": [0.25, 0.5]}]}
)
SMUGGLED: Final = (
    b"POST /v2/models/m/infer HTTP/1.1\r\nhost: g\r\n"
    + KEY
    + b"content-length: %d\r\n\r\n" % len(BODY)
    + BODY
)
CHUNKED: Final = b"transfer-encoding: chunked\r\n"


def post(
    headers: bytes, body: bytes = b"", *, path: bytes = b"/v2/models/m/infer", host: bytes = b"host: g\r\n"
) -> bytes:
    """A request without a key: what is smuggled would bring its own."""
    return b"POST " + path + b" HTTP/1.1\r\n" + host + headers + b"\r\n" + body


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


# What stands behind the first request must be read as its body, or not at all.
SMUGGLING: Final = {
    "CL.TE": post(b"content-length: 4\r\n" + CHUNKED, b"0\r\n\r\n" + SMUGGLED),
    "TE.CL": post(CHUNKED + b"content-length: 4\r\n", b"0\r\n\r\n" + SMUGGLED),
    "CL.CL": post(b"content-length: 0\r\ncontent-length: %d\r\n" % len(SMUGGLED), SMUGGLED),
    "CL list": post(b"content-length: 0, %d\r\n" % len(SMUGGLED), SMUGGLED),
    "CL signed": post(b"content-length: +0\r\n", SMUGGLED),
    "CL negative": post(b"content-length: -1\r\n", SMUGGLED),
    "CL hexadecimal": post(b"content-length: 0x0\r\n", SMUGGLED),
    "CL with an underscore": post(b"content-length: 0_0\r\n", SMUGGLED),
    "CL beyond 64 bits": post(b"content-length: 18446744073709551616\r\n", SMUGGLED),
    "CL with a space before the colon": post(b"content-length : 0\r\n", SMUGGLED),
    "TE.TE identity": post(CHUNKED + b"transfer-encoding: identity\r\n", b"0\r\n\r\n" + SMUGGLED),
    "TE unknown": post(b"transfer-encoding: xchunked\r\n", b"0\r\n\r\n" + SMUGGLED),
    "TE with a space before the colon": post(b"transfer-encoding : chunked\r\n", b"0\r\n\r\n" + SMUGGLED),
    "TE behind a tab": post(b"x: y\r\n\ttransfer-encoding: chunked\r\n", b"0\r\n\r\n" + SMUGGLED),
    "TE folded": post(b"transfer-encoding:\r\n chunked\r\n", b"0\r\n\r\n" + SMUGGLED),
    "TE chunked, not last": post(b"transfer-encoding: chunked, gzip\r\n", b"0\r\n\r\n" + SMUGGLED),
    "TE in quotes": post(b'transfer-encoding: "chunked"\r\n', b"0\r\n\r\n" + SMUGGLED),
    "TE behind a bare CR": post(b"x: y\rtransfer-encoding: chunked\r\n", b"0\r\n\r\n" + SMUGGLED),
    "TE with a zero byte": post(b"transfer-encoding: chunked\x00\r\n", b"0\r\n\r\n" + SMUGGLED),
    "chunk that does not end": post(CHUNKED, b"3\r\nabcX\r\n0\r\n\r\n" + SMUGGLED),
    "chunk that ends in LF": post(CHUNKED, b"3\nabc\n0\n\n" + SMUGGLED),
    "chunk of negative size": post(CHUNKED, b"-1\r\n\r\n" + SMUGGLED),
    "chunk of no size": post(CHUNKED, b"\r\n\r\n" + SMUGGLED),
    "chunk of hexadecimal mark": post(CHUNKED, b"0x0\r\n\r\n" + SMUGGLED),
    "chunk beyond 64 bits": post(CHUNKED, b"1" + b"0" * 16 + b"\r\n\r\n" + SMUGGLED),
    "chunk extension with CR": post(CHUNKED, b"0;a\rb\r\n\r\n" + SMUGGLED),
    "trailer that is a request": post(CHUNKED, b"0\r\n" + SMUGGLED),
    "line ends that are LF": post(b"", SMUGGLED).replace(b"\r\n", b"\n", 3),
    "header name with a space": post(b"x y: z\r\n", SMUGGLED),
    "header without a colon": post(b"content-length\r\n", SMUGGLED),
    "path with a newline": post(b"", SMUGGLED, path=b"/v2 HTTP/1.1\nhost: g\n\nGET /"),
    "method with a space before it": b" " + post(b"", SMUGGLED),
    "HTTP/0.9": b"POST /v2/models/m/infer\r\n\r\n" + SMUGGLED,
    "HTTP/9.9": post(b"", SMUGGLED).replace(b"HTTP/1.1", b"HTTP/9.9", 1),
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SMUGGLED,
}
# No key is given, so that the host alone would have to open something.
HOSTS: Final = {
    "fragment": b"host: x/#@evil\r\n",
    "credentials": b"host: admin:admin@g\r\n",
    "path": b"host: g/v2/health/live?\r\n",
    "two": b"host: g\r\nhost: evil\r\n",
    "none": b"",
    "empty": b"host:\r\n",
    "newline": b"host: g\n\tevil\r\n",
    "zero byte": b"host: g\x00evil\r\n",
    "localhost": b"host: localhost\r\nx-forwarded-for: 127.0.0.1\r\nx-forwarded-host: localhost\r\n",
    "rewritten": b"host: g\r\nx-original-url: /metrics\r\nx-rewrite-url: /metrics\r\n",
    "long": b"host: " + b"g" * 20_000 + b"\r\n",
}


def _bomb(pack: object, encoding: bytes) -> bytes:
    body = pack(b"[" * (64 * MIB))  # type: ignore[operator]
    return post(KEY + b"content-encoding: %s\r\ncontent-length: %d\r\n" % (encoding, len(body)), body)


def keyed(body: bytes) -> bytes:
    return post(KEY + b"content-length: %d\r\n" % len(body), body)


def tensor(**fields: object) -> bytes:
    given = {"name": "features", "datatype": "FP32", "shape": [1, 2], "data": [0.25, 0.5], **fields}
    return keyed(orjson.dumps({"inputs": [given]}))


BOMBS: Final = {
    "gzip": _bomb(gzip.compress, b"gzip"),
    "deflate": _bomb(zlib.compress, b"deflate"),
    "gzip of a gzip": _bomb(lambda body: gzip.compress(gzip.compress(body)), b"gzip"),
    "two encodings": post(KEY + b"content-encoding: gzip, gzip\r\ncontent-length: 2\r\n", b"{}"),
    "deep lists": keyed(b'{"inputs":' + b"[" * 500_000),
    "deep objects": keyed(b'{"a":' * 500_000),
    "deep and whole": keyed(b'{"inputs":' + b"[" * 2000 + b"]" * 2000 + b"}"),
    "deep data": keyed(
        b'{"inputs":[{"name":"features","datatype":"FP32","shape":[1,2],"data":'
        + b"[" * 900
        + b"]" * 900
        + b"}]}"
    ),
    "huge number": keyed(b'{"parameters":{"timeout":' + b"9" * 1_000_000 + b"}}"),
    "huge exponent": keyed(
        b'{"inputs":[{"name":"features","datatype":"FP32","shape":[1,2],"data":[1e999999999,1]}]}'
    ),
    "number beyond float32": tensor(data=[1e300, 0.5], shape=[1, 2, 1]),
    "shape beyond memory": tensor(shape=[2**31, 2**31]),
    "shape beyond 64 bits": keyed(
        b'{"inputs":[{"name":"features","datatype":"FP32","shape":[99999999999999999999999,2],"data":[1]}]}'
    ),
    "negative shape": tensor(shape=[-1, -2]),
    "empty shape": tensor(shape=[]),
    "shape of zeros": tensor(shape=[0, 2], data=[]),
    "shape of booleans": tensor(shape=[True, 2]),
    "shape of a thousand dimensions": tensor(shape=[1] * 1000),
    "ragged data": tensor(data=[[0.25], [0.5, 1]]),
    "texts for numbers": tensor(data=["a", "b"]),
    "lone surrogate": keyed(b'{"id":"\\ud800"}'),
    "invalid UTF-8": keyed(b'{"id":"\xff\xfe"}'),
    "zero bytes": keyed(bytes(1000)),
    "NaN": keyed(b'{"inputs":[{"name":"features","datatype":"FP32","shape":[1,2],"data":[NaN,Infinity]}]}'),
    "repeated keys": keyed(b"{" + b'"inputs":[],' * 100_000 + b'"inputs":[]}'),
    "a hundred thousand inputs": keyed(orjson.dumps({"inputs": [{"name": "a"}] * 100_000})),
    "two of one input": keyed(b'{"inputs":[' + b",".join([BODY[11:-2]] * 2) + b"]}"),
    "binary size that lies": post(
        KEY + b"inference-header-content-length: 5\r\ncontent-length: 4\r\n", b"{}{}"
    ),
    "binary size beyond all": tensor(parameters={"binary_data_size": 2**62}),
    "binary size below nothing": tensor(parameters={"binary_data_size": -8}),
    "length that promises more": post(KEY + b"content-length: 5000000000\r\n", b"{"),
    "a million headers": post(KEY + b"x: y\r\n" * 1_000_000, b""),
    "one endless header": post(KEY + b"x: " + b"y" * (2 * MAX_HEAD_BYTES) + b"\r\n"),
    "an endless path": post(KEY, path=b"/v2/models/" + b"m" * (2 * MAX_HEAD_BYTES)),
    "path traversal": post(KEY, path=b"/v2/../metrics"),
    "encoded traversal": post(KEY, path=b"/v2/models/%2e%2e%2f%2e%2e%2fetc%2fpasswd/infer"),
    "encoded zero byte": post(KEY, path=b"/v2/models/m%00/infer"),
    "encoded newline": post(KEY, path=b"/v2/models/m%0d%0aset-cookie:%20a/infer"),
    "broken escapes": post(KEY, path=b"/v2/models/%/infer"),
}


@pytest.fixture
def behind() -> Behind:
    return rest_stand_in.behind()


@pytest.fixture
async def honest(behind: Behind) -> AsyncIterator[httpx.AsyncClient]:
    async with rest_stand_in.far(behind) as it:
        yield it


async def statuses(client: httpx.AsyncClient, sent: bytes) -> list[int]:
    """The statuses of all answers on one connection, once our side has said all that it has to say."""
    answer = b""
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    try:
        async with asyncio.timeout(20):
            with suppress(ConnectionError):  # it has heard enough
                writer.write(sent)
                await writer.drain()
                writer.write_eof()
            with suppress(ConnectionError):
                answer = await reader.read(-1)
    finally:
        writer.close()
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


async def is_well(client: httpx.AsyncClient, behind: Behind) -> None:
    """The next caller is served."""
    before = len(behind.predictions.calls)
    answer = await client.post("/v2/models/m/infer", content=BODY)
    assert (answer.status_code, len(behind.predictions.calls)) == (200, before + 1)


async def accepted(client: httpx.AsyncClient, behind: Behind, rows: dict[str, bytes]) -> dict[str, list[int]]:
    """The rows that reached the pipeline or met no refusal; an honest caller follows each."""
    found = {}
    for name, sent in rows.items():
        before = len(behind.predictions.calls)
        told = await statuses(client, sent)
        if len(behind.predictions.calls) != before or not all(400 <= status < 500 for status in told):
            found[name] = told
        await is_well(client, behind)
    return found


async def test_nothing_is_smuggled(honest: httpx.AsyncClient, behind: Behind) -> None:
    assert await accepted(honest, behind, SMUGGLING) == {}


async def test_a_host_opens_nothing(honest: httpx.AsyncClient, behind: Behind) -> None:
    ending = b"content-length: %d\r\n" % len(BODY)
    rows = {name: post(ending, BODY, host=host) for name, host in HOSTS.items()}
    rows["absolute target"] = post(ending, BODY, path=b"http://evil/v2/health/live@/v2/models/m/infer")
    assert await accepted(honest, behind, rows) == {}


async def test_bombs_and_lies_about_size_are_refused(honest: httpx.AsyncClient, behind: Behind) -> None:
    assert await accepted(honest, behind, BOMBS) == {}


async def test_the_table_can_tell(honest: httpx.AsyncClient, behind: Behind) -> None:
    assert await accepted(honest, behind, {"an honest request": SMUGGLED}) == {"an honest request": [200]}
