"""What is taken out of texts, in each of its spellings, and what has to stay."""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.acceptance.receiver import Receiver

from midwatch.errors import HarnessError
from midwatch.hiding import HIDDEN, hidden, hidden_in, parts_of, secrets_of
from midwatch.outbound import Outbound

SECRET = 's3cret/+="& \\é-7'
SPELLINGS = {
    "as it is": SECRET,
    "a URL": quote(SECRET, safe=""),
    "a URL in lower case": quote(SECRET, safe="").replace("%2F", "%2f"),
    "a URL's path": quote(SECRET),
    "a form": quote_plus(SECRET),
    "a URL in a URL": quote(quote(SECRET, safe=""), safe=""),
    "JSON": json.dumps(SECRET)[1:-1],
    "JSON of UTF-8": json.dumps(SECRET, ensure_ascii=False)[1:-1],
    "JSON of PHP": json.dumps(SECRET)[1:-1].replace("/", "\\/"),
    "JSON of Go": json.dumps(SECRET)[1:-1].replace("&", "\\u0026"),
    "JSON in JSON": json.dumps(json.dumps(SECRET))[3:-3],
    "HTML": html.escape(SECRET),
    "HTML by number": "".join(c if c.isalnum() else f"&#{ord(c)};" for c in SECRET),
    "bytes as Python shows them": repr(SECRET.encode())[2:-1],
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_secret_is_found_however_it_is_spelled(spelling: str) -> None:
    """And nothing beside it goes."""
    text = f'{{"error": "denied: Bearer {SPELLINGS[spelling]}, try again"}}'
    assert hidden(text, [SECRET]) == '{"error": "denied: Bearer ***, try again"}'


PRINTABLE = st.text(st.characters(exclude_categories=("C",)), min_size=8)


@given(PRINTABLE.filter(lambda one: not one.isdigit()), st.text(), st.text())
def test_no_secret_is_left(secret: str, before: str, after: str) -> None:
    """Whatever it is made of, and whatever is around it; as it is, and in JSON."""
    text = f"{before}{secret}{after}"
    assert HIDDEN in hidden(text, [secret])
    assert HIDDEN in hidden(json.dumps(text), [secret])
    assert HIDDEN in hidden(quote(text.encode("utf-8", "replace"), safe=""), [secret])


@pytest.mark.parametrize("trivial", ["", "a", "abc", "Bearer", "basic", "token"])
def test_what_is_no_secret_is_left(trivial: str) -> None:
    """A text is still one afterwards."""
    text = "abc: a Bearer token or basic auth is needed"
    assert hidden(text, [trivial]) == text


def test_a_short_secret_is_taken_out_where_it_stands_alone() -> None:
    """Not out of the middle of words and numbers."""
    assert hidden("test: the testing of test-1, latest", ["test"]) == (
        "***: the testing of ***-1, latest"
    )
    assert hidden('{"total": 1234567890, "key": "12345678"}', ["12345678"]) == (
        '{"total": 1234567890, "key": "***"}'
    )


def test_the_longer_secret_goes_first() -> None:
    """What begins like another one is taken out whole."""
    assert hidden("long-secret-2", ["long-secret", "long-secret-2"]) == "***"


def test_bytes_that_are_no_text_stay_as_they_are() -> None:
    """Nothing is decoded on the way."""
    assert hidden_in(b"\xff\x00s3cret-1\xfe", ["s3cret-1"]) == b"\xff\x00***\xfe"


@pytest.mark.parametrize(
    ("url", "headers", "secrets"),
    [
        ("http://a/", {"Authorization": "Bearer abcd"}, ["abcd"]),
        ("http://a/", {"authorization": "GenieKey abcd-1"}, ["abcd-1"]),
        ("http://a/", {"authorization": "raw-token"}, ["raw-token"]),
        ("http://a/", {"Proxy-Authorization": "Basic !!!!"}, ["!!!!"]),
        ("http://a/", {"cookie": "a=first-1; b=second-2"}, ["first-1", "second-2"]),
        ("http://a/", {"x-api-key": "planted-secret-42"}, ["planted-secret-42"]),
        ("http://a/", {"x-extra": "Token planted-42"}, ["planted-42"]),
        ("http://a/", {"x-extra": "supersecret"}, ["supersecret"]),
        ("http://a/", {"x-tenant": "acme", "x-shard": "1234"}, []),
        ("http://a/", {"content-type": "application/json", "accept": "text/plain"}, []),
        ("http://a/", {"anthropic-version": "2023-06-01", "idempotency-key": "action/INC-1"}, []),
        ("http://a/", {"webhook-id": "main/page-17", "x-midwatch-pin": "release-2026"}, []),
        ("http://a/?access_token=abcd&format=json&model=gpt-4o-mini", {}, ["abcd"]),
        ("http://a/?h=Zm9vYmFyYmF6cXV4MTIz", {}, ["Zm9vYmFyYmF6cXV4MTIz"]),
        ("http://[", {}, []),
    ],
)
def test_what_a_request_shows_is_known(
    url: str, headers: dict[str, str], secrets: list[str]
) -> None:
    """By the names of headers and parameters; what says only what is sent is no secret."""
    assert secrets_of(url, headers) == secrets


def test_an_address_that_is_a_secret_has_no_part_left() -> None:
    """A server that was called knows only the path."""
    url = "https://hooks.example/services/T0AAA/B0BBB/planted-in-slack?wait=1"
    for said in (url, "/services/T0AAA/B0BBB/planted-in-slack?wait=1", "planted-in-slack"):
        assert hidden(f"no {said} here", parts_of(url)) == "no *** here"


# --- on the way out -----------------------------------------------------------------------------


def called(answer: object, headers: dict[str, str], *secrets: str) -> str:
    """All that a caller can see of an answer, or of the error."""
    with Receiver(answer) as receiver:
        try:
            got = Outbound([receiver.url]).post(f"{receiver.url}/x", b"{}", headers, secrets)
        except HarnessError as error:
            return f"{error!r} {error}"
        return f"{got.headers} {got.body!r} {got.says}"


def test_a_secret_is_taken_out_before_anything_is_cut() -> None:
    """No part of it is left at the end of what is shown."""
    for before in range(180, 205):
        said = called(b"x" * before + b" planted-secret-42", {"x-api-key": "planted-secret-42"})
        assert "plant" not in said


def test_a_login_is_known_in_both_of_its_forms() -> None:
    """As it was sent, and as the server reads it."""
    pair = base64.b64encode(b"ada:planted-42").decode()
    said = called(f"no {pair}, which is planted-42".encode(), {"authorization": f"Basic {pair}"})
    assert "no ***, which is ***" in said


def test_a_secret_in_a_body_is_named_by_who_sends_it() -> None:
    """As PagerDuty's routing key is."""
    assert "planted" not in called(b'{"routing_key": "planted-1"}', {}, "planted-1")


def test_headers_and_errors_hold_no_secret() -> None:
    """Of an answer, of a redirect, of a header that cannot be sent."""
    token = {"authorization": "Bearer planted-42"}
    assert "planted" not in called((400, {"x-seen": "planted-42"}), token)
    assert "to http://***.example" in called(
        (307, {"location": "http://planted-42.example/"}), token
    )
    assert "planted" not in called(200, {"authorization": "Bearer planted-42\nmore"})
