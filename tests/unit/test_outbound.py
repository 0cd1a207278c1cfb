"""The one way out: where it goes, where it never goes, and that it ends."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.acceptance.receiver import Receiver

from midwatch.errors import HarnessError
from midwatch.outbound import Answer, Outbound, Refused, find, is_open

LOOPBACK = [
    "127.0.0.1", "127.1", "2130706433", "0x7f000001", "017700000001", "[::1]",
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "localhost",
]  # fmt: skip
CLOSED = [
    "169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]", "10.0.0.1", "172.16.0.1",
    "192.168.0.1", "100.64.0.1", "0.0.0.0", "[::]", "[fd00::1]", "224.0.0.1", "255.255.255.255",
    "2852039166",
]  # fmt: skip


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A server on loopback that counts who came."""
    with Receiver() as receiver:
        yield receiver


def listed(receiver: Receiver, **options: float) -> Outbound:
    """A client whose config holds the receiver's address."""
    return Outbound([receiver.url], **options)  # type: ignore[arg-type]


# --- where it goes ------------------------------------------------------------------------------


@pytest.mark.parametrize("host", LOOPBACK + CLOSED)
def test_what_comes_from_data_stays_out_of_ones_own_network(receiver: Receiver, host: str) -> None:
    """Loopback, private, link-local and metadata addresses, however they are spelt."""
    port = receiver.url.rpartition(":")[2]
    with pytest.raises(HarnessError) as caught:
        Outbound().get(f"http://{host}:{port}/secret-path")
    assert isinstance(caught.value, Refused) or "no address" in str(caught.value)
    assert "secret-path" not in str(caught.value)
    assert receiver.requests == []


def test_what_stands_in_the_config_may_be_on_ones_own_network(receiver: Receiver) -> None:
    """The very host and port, and no other port of it."""
    assert listed(receiver).get(receiver.url).status == 200
    with pytest.raises(Refused):
        listed(receiver).get("http://127.0.0.1:1/")


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1"])
def test_a_listed_name_may_not_lead_to_a_clouds_secrets(address: str) -> None:
    """A name that is moved to a link-local address is refused, although it is listed."""
    client = Outbound(["http://hooks.example"], lookup=lambda host, port: [address])
    with pytest.raises(Refused, match="link-local"):
        client.get("http://hooks.example/latest/meta-data")


def test_a_name_is_judged_by_every_address_it_has(receiver: Receiver) -> None:
    """One private address among public ones is enough to refuse."""
    client = Outbound(lookup=lambda host, port: ["93.184.216.34", "127.0.0.1"])
    with pytest.raises(Refused):
        client.get("http://both.example")


def test_the_judged_address_is_the_one_that_is_called(receiver: Receiver) -> None:
    """A name that resolves differently the second time is resolved once."""
    port = int(receiver.url.rpartition(":")[2])
    answers = [["127.0.0.1"], ["169.254.169.254"]]
    client = Outbound([f"http://hook.example:{port}"], lookup=lambda host, port: answers.pop(0))
    assert client.get(f"http://hook.example:{port}").status == 200
    assert answers == [["169.254.169.254"]]


@pytest.mark.parametrize(
    "url",
    ["ftp://example.org", "file:///etc/passwd", "http://", "http://me:pw@example.org", "x", "//h"],
)
def test_what_is_no_plain_web_address_is_refused(url: str) -> None:
    """Other schemes, no host, a user in it; the password is not repeated."""
    with pytest.raises(Refused) as caught:
        Outbound().get(url)
    assert "pw" not in str(caught.value)


def test_what_is_open_is_said_of_the_address_that_an_ipv6_form_carries() -> None:
    """Tunnels and mappings are looked into."""
    assert is_open("2606:2800:21f:cb07:6820:80da:af6b:8b2c")
    for form in ("::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "fe80::1%eth0"):
        assert not is_open(form)


def test_a_name_that_nobody_has_is_said_so() -> None:
    """The resolver's own word, with the name."""
    with pytest.raises(HarnessError, match=r"no address for 'nobody\.invalid'"):
        find("nobody.invalid", 80)


# --- redirects ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "to",
    ["http://127.0.0.1:1/", "http://169.254.169.254/", "https://127.0.0.1/", "//evil.example/"],
)
def test_a_redirect_to_another_host_is_not_followed(receiver: Receiver, to: str) -> None:
    """Nor to another port or scheme."""
    receiver.plan = [(302, {"location": to})]
    with pytest.raises(Refused, match="redirected"):
        listed(receiver).get(receiver.url)
    assert len(receiver.requests) == 1


def test_a_redirect_on_the_same_host_is_followed_a_few_times(receiver: Receiver) -> None:
    """Three, and then it is a ring."""
    receiver.plan = [(302, {"location": "/b"}), (301, {"location": f"{receiver.url}/c"})]
    assert listed(receiver).get(f"{receiver.url}/a").status == 200
    assert [path for path, _, _ in receiver.requests] == ["/a", "/b", "/c"]
    receiver.plan = [(302, {"location": "/a"})] * 9
    with pytest.raises(Refused, match="more than 3 times"):
        listed(receiver).get(f"{receiver.url}/a")


@pytest.mark.parametrize(("status", "asked"), [(302, 1), (303, 1), (307, 2), (308, 2)])
def test_a_post_is_only_repeated_where_it_stays_a_post(
    receiver: Receiver, status: int, asked: int
) -> None:
    """A 302 would turn a page into a look; its answer is handed back instead."""
    receiver.plan = [(status, {"location": "/b"}), 204]
    answer = listed(receiver).post(receiver.url, b"page", {})
    assert answer.status == (204 if asked == 2 else status)
    assert [body for _, _, body in receiver.requests] == [b"page"] * asked


# --- that it ends -------------------------------------------------------------------------------


@pytest.mark.parametrize("behaviour", ["hang", "drip"])
def test_a_call_ends_in_time(receiver: Receiver, behaviour: str) -> None:
    """Whether nothing comes, or a byte now and then for ever."""
    receiver.plan = [behaviour]
    with pytest.raises(HarnessError, match=r"within 0\.5 s"):
        listed(receiver, timeout_s=0.5).get(receiver.url)


def test_a_server_that_never_accepts_is_given_up() -> None:
    """Its queue is full: the connection itself takes too long."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        waiting = [socket.create_connection(full.getsockname()) for _ in range(1)]
        try:
            with pytest.raises(HarnessError):
                Outbound([url], timeout_s=0.5).get(url)
        finally:
            for one in waiting:
                one.close()


def test_an_answer_without_end_is_cut_off() -> None:
    """What is read has a limit, whatever the headers claim."""

    class Endless(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(bytes(65_536))
            except OSError:
                pass

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Endless)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        with pytest.raises(HarnessError, match="more than 100000 bytes"):
            Outbound([url], max_bytes=100_000).get(url)
    finally:
        server.shutdown()
        server.server_close()


def test_a_hang_up_is_no_answer(receiver: Receiver) -> None:
    """What came before it may have been taken; that is for the caller to know."""
    receiver.plan = ["accept and hang up"]
    with pytest.raises(HarnessError, match="gave no answer"):
        listed(receiver).post(receiver.url, b"page", {})


# --- what it says -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [("30", 30.0), ("999999999", 86_400.0), ("", None), ("soon", None), ("-5", None)],
)
def test_how_long_to_wait_is_read(text: str, wait_s: float | None) -> None:
    """In seconds, and never longer than a day."""
    assert Answer(429, {"retry-after": text}, b"").retry_after_s == wait_s


def test_a_date_to_come_back_at_is_read() -> None:
    """The other form that a server may use."""
    at = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 60))
    wait_s = Answer(503, {"retry-after": at}, b"").retry_after_s
    assert wait_s is not None
    assert 50 <= wait_s <= 60
    past = Answer(503, {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, b"")
    assert past.retry_after_s == 0.0


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    """Listed or not: the receiver of a page must be who it says."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with Receiver() as receiver:
        receiver.wrap(context)
        url = receiver.url.replace("http:", "https:")
        with pytest.raises(HarnessError, match="certificate"):
            Outbound([url]).get(url)
        assert receiver.requests == []
