"""Takes the secrets of a call out of whatever is said about it.

Law: a secret that was sent is `***` in each text that comes back, however the other side spells it:
quoted for a URL, for JSON or for HTML, or as a login. It is taken out before anything is cut, so
that no cut leaves a part of it. What is too short to be a secret, or says how one is shown, stays:
it would be found in half of all texts.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from urllib.parse import parse_qsl, urlsplit

HIDDEN = "***"
SHORTEST = 4
# What is shorter, or a number, is only hidden where it stands alone.
SURE = 8
SCHEMES = frozenset({"apikey", "basic", "bearer", "bot", "digest", "key", "secret", "token"})
SHOWN_BY = ("authorization", "proxy-authorization")
# Headers that say what is sent and not who sends it.
PUBLIC = re.compile(
    r"accept.*|content-.*|user-agent|.*-version|idempotency-key|webhook-(?:id|timestamp)"
    r"|x-midwatch-pin"
)
CREDENTIAL = re.compile(r"auth|cookie|cred|key|pass|pwd|secret|session|sig|token", re.IGNORECASE)
RANDOM = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[\w.~+/=-]{16,}")
# How a name ends that stands before a secret, in whatever a program writes.
_NAMED = (
    r"(?:(?<![\w-])[\w-]{0,60}(?:pass(?:word|wd|phrase|code)|pwd|secret|token|api[_-]?key"
    r"|(?:access|private|secret|signing|encryption|account|master|client|ssh|auth)[_-]?key"
    r"|credentials?|authorization|cookie|session[_-]?id|signature)|(?<![a-z0-9])(?:pass|sig|dsn|pat))"
)
_SCHEME = r"(?:(?:bearer|basic|digest|apikey|token)[ \t]+)?"
_VALUE = r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s"'&,;]+)"""
# Shapes of secrets: what stands before the secret, the secret, and what stands after it.
_SHAPES = tuple(
    re.compile(f"(?P<before>{before})(?P<secret>{secret})(?P<after>{after})", re.IGNORECASE)
    for before, secret, after in (
        (r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----", r"[\s\S]*?", r"-----END|\Z"),
        (r"\b[a-z][a-z0-9+.-]{0,20}://[^\s/:@]{0,200}:", r"[^\s/@]{1,500}", "@"),
        (r"\b(?:bearer|basic|digest|apikey|token)[ \t]+", r"[\w.~+/=-]{8,}", ""),
        (rf"{_NAMED}[\"']?[ \t]{{0,3}}(?::=|=>|[=:])[ \t]{{0,3}}{_SCHEME}", _VALUE, ""),
        (rf"(?:(?<=\s)|^)(?=-){_NAMED}[ \t]+", rf"(?!-){_VALUE}", ""),
    )
)
# Tokens that say by themselves what they are.
_TOKENS = re.compile(
    r"\b(?:gh[opusr]_[A-Za-z0-9]{16,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abeoprs]-[\w-]{10,}"
    r"|xapp-[\w-]{10,}|(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}|AIza[\w-]{30,}|ya29\.[\w-]{16,}"
    r"|sk-[\w-]{16,}|(?:sk|rk|pk|whsec)_(?:live_|test_)?[A-Za-z0-9]{16,}|npm_[A-Za-z0-9]{30,}"
    r"|pypi-[\w-]{20,}|hf_[A-Za-z0-9]{20,}|dop_v1_[0-9a-f]{20,}|SG\.[\w-]{16,}\.[\w-]{16,}"
    r"|hv[sbr]\.[\w-]{20,}|mw_[\w-]+_[\w-]{20,}"
    r"|eyJ[\w-]{8,}\.[\w-]{4,}\.?[\w-]*)"
)


def hidden(text: str, secrets: Iterable[str]) -> str:
    """Take secrets out of a text.

    >>> hidden("denied: Bearer s3cret+, try ?key=s3cret%2B", ["s3cret+"])
    'denied: Bearer ***, try ?key=***'
    """
    data = text.encode("utf-8", "surrogatepass")
    return hidden_in(data, secrets).decode("utf-8", "surrogatepass")


def hidden_in(data: bytes, secrets: Iterable[str]) -> bytes:
    r"""Take secrets out of bytes.

    >>> hidden_in(b'{"error": "no \\"s3cret\\u002f\\""}', ["s3cret/"])
    b'{"error": "no \\"***\\""}'
    """
    worth = frozenset(one for one in secrets if len(one) >= SHORTEST and one.lower() not in SCHEMES)
    return _any_of(worth).sub(HIDDEN.encode(), data) if worth else data


def masked(text: str) -> str:
    """Take out what looks like a secret, of whose value nothing is known.

    By its name before it, by a login in an address, or by a shape that only secrets have. What has
    neither stays: no shape knows a bare password.

    >>> masked("DB_PASSWORD=hunter2 user=ada token: 'a b' https://ada:pw@db/x")
    'DB_PASSWORD=*** user=ada token: *** https://ada:***@db/x'
    >>> masked("3 keys, ghp_abcdefghijklmnopqrst, --api-key k1, Authorization: Bearer abcdefgh")
    '3 keys, ***, --api-key ***, Authorization: Bearer ***'
    """
    for shape in _SHAPES:
        text = shape.sub(lambda found: f"{found['before']}{HIDDEN}{found['after']}", text)
    return _TOKENS.sub(HIDDEN, text)


def secrets_of(url: str, headers: Mapping[str, str]) -> list[str]:
    """List what a request shows to prove who sends it: by its headers, and in its URL's query.

    >>> secrets_of("http://a/?format=json&key=4711-a", {"Authorization": "Bearer s3cret"})
    ['s3cret', '4711-a']
    >>> secrets_of("http://a/", {"authorization": "Basic YWRhOnMzY3JldA=="})
    ['YWRhOnMzY3JldA==', 'ada:s3cret', 's3cret']
    >>> secrets_of("http://a/", {"accept": "text/plain", "x-tenant": "acme", "x-api-key": "abcd"})
    ['abcd']
    """
    found = [secret for name, value in headers.items() for secret in _in_header(name, value)]
    try:
        given = parse_qsl(urlsplit(url).query)
    except ValueError:
        given = []  # it is no address, and nobody is called
    return found + [
        value for name, value in given if CREDENTIAL.search(name) or RANDOM.fullmatch(value)
    ]


def parts_of(url: str) -> list[str]:
    """List what gives an address away that is a secret as a whole.

    >>> parts_of("https://hooks.example/services/T0/XyZ12345")
    ['https://hooks.example/services/T0/XyZ12345', '/services/T0/XyZ12345', 'XyZ12345']
    """
    parts = urlsplit(url)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    pieces = re.split(r"[/?&=]", target)
    return [url, target, *(one for one in pieces if len(one) >= SURE and not one.isalpha())]


def _in_header(name: str, value: str) -> Iterator[str]:
    """Give the secrets in one header, which may be none."""
    name, value = name.lower(), value.strip()
    if PUBLIC.fullmatch(name):
        return
    if not CREDENTIAL.search(name) and len(value) < SURE and (value.isalpha() or value.isdigit()):
        return  # a tenant or a number: hiding it would change what an answer says
    if name == "cookie":
        yield from (one.partition("=")[2].strip() for one in value.split(";"))
        return
    scheme, _, rest = value.partition(" ")
    if not rest or (name not in SHOWN_BY and scheme.lower() not in SCHEMES):
        yield value
        return
    yield rest.strip()
    if scheme.lower() == "basic":
        try:
            login = base64.b64decode(rest, validate=True).decode()
        except (binascii.Error, ValueError):
            return
        yield from (login, login.partition(":")[2])


@lru_cache(64)  # a target is asked the same way a thousand times
def _any_of(secrets: frozenset[str]) -> re.Pattern[bytes]:
    """Write a pattern of several; one may begin like another one, so the longer goes first."""
    in_turn = sorted(secrets, key=lambda one: (-len(one), one))
    return re.compile(b"|".join(map(_spelled, in_turn)))


def _spelled(secret: str) -> bytes:
    """Write a pattern of a secret in each of its spellings."""
    pattern = b"".join(map(_one_spelled, secret))
    if len(secret) >= SURE and not secret.isdigit():
        return pattern
    return rb"(?<![0-9A-Za-z])" + pattern + rb"(?![0-9A-Za-z])"


def _one_spelled(char: str) -> bytes:
    r"""Write a pattern of one character: as it is, or as what quotes for something writes it.

    >>> all(re.fullmatch(_one_spelled("/"), way) for way in (b"/", b"\\/", b"%2f", b"\\u002F"))
    True
    """
    if char.isascii() and char.isalnum():
        return char.encode()  # nothing quotes these
    data = char.encode("utf-8", "surrogatepass")
    units = char.encode("utf-16-be", "surrogatepass").hex(" ", 2).split()
    ways = [
        rb"\\{0,3}" + re.escape(data),
        b"(?i:" + b"".join(b"%%(?:25)*%02x" % byte for byte in data) + b")",
        b"(?i:" + b"".join(rb"\\{1,3}u" + unit.encode() for unit in units) + b")",
        b"(?i:" + b"".join(rb"\\{1,3}x%02x" % byte for byte in data) + b")",
        b"(?i:&#0*%d;|&#x0*%x;)" % (ord(char), ord(char)),
        re.escape(html.escape(char).encode("utf-8", "surrogatepass")),
        re.escape(repr(char)[1:-1].encode()),  # a line's end, as an error of Python shows it
    ]
    return b"(?:" + b"|".join([*ways, rb"\+"] if char == " " else ways) + b")"
