"""What stands around the page's middle: its head, and who looks; and the answer that it makes.

Law: the middle is everybody's and its bytes are never made again for one; only this part knows a
person. A tag names person and middle, so that whoever logs in as somebody else gets another page,
and nothing of it is kept by a cache.
"""

from __future__ import annotations

import secrets
import zlib
from hashlib import blake2b

from jinja2 import Environment
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from midwatch.web.shown import View

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "img-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    # Not "no-referrer": with it a browser says `Origin: null` of our own forms.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
KEPT = 256  # heads; one for each person and count of open incidents
GZIP = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"  # the head of a gzip file without name or time


class _Shell(Struct, frozen=True):
    """The bytes before and after the middle, and the same packed."""

    name: str  # in tags
    top: bytes
    bottom: bytes
    packed_top: bytes
    packed_bottom: bytes


class Shells:
    """Puts the rest around views."""

    def __init__(self, templates: Environment) -> None:
        self._template = templates.get_template("page.html")
        self._mark = f"middle-{secrets.token_hex(12)}"  # no name can hold it
        self._shells: dict[tuple[str, int], _Shell] = {}

    def answer(self, request: Request, view: View, who: str) -> Response:
        """Give the page to a person; 304 when it is the one that he has."""
        shell = self._shell(who, view.open)
        tag = f"{view.tag}.{shell.name}"
        gzip = "gzip" in request.headers.get("accept-encoding", "")
        headers = {**HEADERS, "Vary": "Accept-Encoding, Cookie"}
        headers["ETag"] = f'"{tag}.gz"' if gzip else f'"{tag}"'
        if _knows(request.headers.get("if-none-match", ""), tag):
            return Response(status_code=304, headers=headers)
        if not gzip:
            body = b"".join((shell.top, view.main, shell.bottom))
            return Response(body, headers=headers, media_type="text/html")
        headers["Content-Encoding"] = "gzip"
        return Response(_zipped(shell, view), headers=headers, media_type="text/html")

    def _shell(self, who: str, is_open: int) -> _Shell:
        known = self._shells.get((who, is_open))
        if known is None:
            if len(self._shells) >= KEPT:
                self._shells.clear()
            known = self._shells[who, is_open] = self._made(who, is_open)
        return known

    def _made(self, who: str, is_open: int) -> _Shell:
        name = blake2b(who.encode("utf-8", "replace"), digest_size=6).hexdigest()
        text = self._template.render(who=who, name=name, open=is_open, main=self._mark)
        top, _, bottom = text.partition(self._mark)
        first = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        last = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        before, after = top.encode("utf-8", "replace"), bottom.encode("utf-8", "replace")
        return _Shell(
            name,
            before,
            after,
            first.compress(before) + first.flush(zlib.Z_FULL_FLUSH),
            last.compress(after) + last.flush(),
        )


def _zipped(shell: _Shell, view: View) -> bytes:
    """Join what was packed apart into one gzip file."""
    crc = zlib.crc32(shell.bottom, zlib.crc32(view.main, zlib.crc32(shell.top)))
    size = len(shell.top) + len(view.main) + len(shell.bottom)
    end = crc.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little")
    return b"".join((GZIP, shell.packed_top, view.packed, shell.packed_bottom, end))


def _knows(header: str, tag: str) -> bool:
    """Say whether If-None-Match names this page, packed or not."""
    names = {one.strip().removeprefix("W/").strip('"') for one in header.split(",")}
    return bool(names & {tag, f"{tag}.gz"})
