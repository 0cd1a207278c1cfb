"""The way out: where a call may go, what it believes, and that it ends in time."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.acceptance.receiver import PATIENCE_S, Receiver
from tests.servers import lacking, need

from midwatch.core.values.clock import SECOND
from midwatch.errors import HarnessError
from midwatch.outbound import MAX_REDIRECTS, MAX_WAIT_S, Answer, Lookup, Outbound, Refused, is_open

SHORT_S = 0.2
SIPS, SIP_BYTES = 250, 64 * 1024
METADATA = "169.254.169.254"
PUBLIC = "93.184.216.34"
CLOSED = ("10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16")
SECRET_PATH = "/s3cret-path?token=s3cret"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A server on loopback that would answer whoever reaches it."""
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def reached(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that were connected to: the receiver stands in for all of them."""
    addresses: list[str] = []
    connect = socket.create_connection

    def connect_here(address: tuple[str, int], *args: object, **named: object) -> socket.socket:
        addresses.append(address[0])
        return connect(("127.0.0.1", receiver.port), *args, **named)

    monkeypatch.setattr(socket, "create_connection", connect_here)
    return addresses


def finds(*answers: list[str]) -> tuple[Lookup, list[str]]:
    """A look-up that answers differently each time, the last for ever; and what it was asked."""
    asked: list[str] = []

    def lookup(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    return lookup, asked


# --- where it may go ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "017700000001",
        "0177.0.0.1",
        "0.0.0.0",
        "0",
        "localhost",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[0:0:0:0:0:0:0:1]",
    ],
)
def test_loopback_is_refused_however_it_is_written(receiver: Receiver, host: str) -> None:
    """In decimal, hex and octal, and inside of IPv6; nothing arrives."""
    with pytest.raises(Refused, match="not public; write the URL into the config"):
        Outbound().post(f"http://{host}:{receiver.port}/hook", b"x", {})
    assert receiver.requests == []


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "0.0.0.0",
        "127.0.0.1",
        METADATA,
        "198.18.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "224.0.0.1",
        "192.0.2.1",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
        "2001:db8::1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::10.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b::a00:1",
        "64:ff9b:1::7f00:1",
        "2002:a9fe:a9fe::1",
        "2002:c0a8:1::",
        "::ffff:0:7f00:1",
        "192.88.99.1",
        "192.0.0.9",
        "192.31.196.1",
        "192.52.193.1",
        "192.175.48.1",
        "2002:c058:6301::",
        "2001:1::1",
        "2001:4:112::1",
        "2001:20::1",
        "2620:4f:8000::1",
        "3fff::1",
        "3fff:fff::1",
        "5f00::1",
        "100::1",
        "100:0:0:1::1",
    ],
)
def test_what_is_not_the_open_internet_is_closed(reached: list[str], address: str) -> None:
    """Private, link-local, metadata, multicast, reserved, and IPv6 forms that carry these."""
    lookup, _ = finds([address])
    with pytest.raises(Refused):
        Outbound(lookup=lookup).get("http://hook.example/")
    assert reached == []


@pytest.mark.parametrize(
    "address",
    [
        PUBLIC,
        "8.8.8.8",
        "2606:2800:220:1::1",
        "64:ff9b::808:808",
        "::ffff:8.8.8.8",
        "2002:808:808::1",
    ],
)
def test_the_open_internet_is_open(reached: list[str], address: str) -> None:
    """A public address is called without being listed, in whatever form it comes."""
    lookup, _ = finds([address])
    assert Outbound(lookup=lookup).get("http://hook.example/").status == 200
    assert reached == [address]


@settings(deadline=None)
@given(st.sampled_from(CLOSED).flatmap(lambda net: st.ip_addresses(v=4, network=net)))
def test_no_ipv6_form_opens_a_closed_address(address: object) -> None:
    """Mapped, compatible, NAT64 and 6to4: what is closed stays closed inside of them."""
    number = int(address)
    high, low = f"{number >> 16:x}", f"{number & 0xFFFF:x}"
    shapes = ("::ffff:{}:{}", "::{}:{}", "64:ff9b::{}:{}", "2002:{}:{}::1", "64:ff9b:1::{}:{}")
    assert not is_open(str(address))
    assert [shape for shape in shapes if is_open(shape.format(high, low))] == []


def test_one_closed_address_closes_the_whole_name(reached: list[str]) -> None:
    """A name that also answers with a private address is not called at all."""
    lookup, _ = finds([PUBLIC, "10.0.0.1"])
    with pytest.raises(Refused, match=r"10\.0\.0\.1"):
        Outbound(lookup=lookup).get("http://hook.example/")
    assert reached == []


def test_a_listed_url_may_be_private(receiver: Receiver) -> None:
    """What people wrote into the config is called on their own network."""
    answer = Outbound([f"{receiver.url}/hook"]).post(f"{receiver.url}/hook", b"x", {"x-a": "b"})
    assert answer.status == 200
    ((path, headers, body),) = receiver.requests
    assert (path, headers["x-a"], body) == ("/hook", "b", b"x")


def test_a_listed_ipv6_address_is_called() -> None:
    """The brackets around it are no part of it."""
    try:
        receiver = Receiver(host="::1")
    except OSError as error:
        lacking(f"no IPv6 on loopback: {error}")
    with receiver:
        assert Outbound([receiver.url]).get(receiver.url).status == 200


def test_listing_opens_one_port_of_one_name(receiver: Receiver) -> None:
    """Neither another port of the host nor another name of the address."""
    outbound = Outbound([f"http://127.0.0.1:{receiver.port + 1}/", f"http://a:{receiver.port}/"])
    for host in ("127.0.0.1", "localhost"):
        with pytest.raises(Refused):
            outbound.get(f"http://{host}:{receiver.port}/")
    assert receiver.requests == []


@pytest.mark.parametrize(
    "address",
    [
        METADATA,
        "::ffff:a9fe:a9fe",
        "::a9fe:a9fe",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::",
        "fe80::1",
    ],
)
def test_a_listed_name_must_not_lead_to_a_link_local_address(
    reached: list[str], address: str
) -> None:
    """Whoever owns the name's zone must not get at the cloud's secrets."""
    lookup, _ = finds([address])
    with pytest.raises(Refused, match="link-local"):
        Outbound(["http://hook.example/"], lookup=lookup).get("http://hook.example/")
    assert reached == []


def test_a_listed_number_is_no_link_local_address(reached: list[str]) -> None:
    """Only the address itself, written as such, says that it is meant."""
    url = f"http://{int.from_bytes(socket.inet_aton(METADATA))}/"
    with pytest.raises(Refused, match="link-local"):
        Outbound([url]).get(url)
    assert reached == []


@pytest.mark.parametrize(("host", "address"), [(METADATA, METADATA), ("[fe80::1]", "fe80::1")])
def test_a_listed_link_local_address_is_called(reached: list[str], host: str, address: str) -> None:
    """The config holds that very address, so it is meant."""
    lookup, _ = finds([address])
    assert Outbound([f"http://{host}/"], lookup=lookup).get(f"http://{host}/").status == 200
    assert reached == [address]


def test_the_judged_address_is_the_one_connected_to(reached: list[str]) -> None:
    """A name that answers differently the second time is not asked a second time."""
    lookup, asked = finds([PUBLIC], ["127.0.0.1"])
    assert Outbound(lookup=lookup).get("http://hook.example/").status == 200
    assert reached == [PUBLIC]
    assert asked == ["hook.example"]


def test_each_call_is_judged_anew(reached: list[str]) -> None:
    """That a name was good once does not open it."""
    lookup, _ = finds([PUBLIC], ["127.0.0.1"])
    outbound = Outbound(lookup=lookup)
    assert outbound.get("http://hook.example/").status == 200
    with pytest.raises(Refused):
        outbound.get("http://hook.example/")
    assert reached == [PUBLIC]


@pytest.mark.parametrize(
    "url",
    [
        "ftp://hook.example",
        "ftp://hook.example:80",
        "file:///etc",
        "hook.example",
        "",
        "http://",
        "gopher://hook.example",
        "http://:80",
        "http://ada@hook.example",
        "http://ada:pw@hook.example",
        "http://@hook.example",
        "http://hook.example:99999",
        "http://hook.example:x",
        "http://[::1",
        "http://hook.example\\@127.0.0.1",
        "http://hook.example /",
        "http://hook\t.example",
        "http://h\u00fcok.example",
        " http://hook.example",
    ],
)
def test_what_is_no_plain_url_is_refused(reached: list[str], url: str) -> None:
    """Another scheme, no host, a user, a port that is none, and what parsers could disagree on."""
    lookup, asked = finds([PUBLIC])
    with pytest.raises(Refused) as refused:
        Outbound(lookup=lookup).post(url + SECRET_PATH, b"x", {})
    assert (reached, asked) == ([], [])
    assert "s3cret" not in str(refused.value)
    assert "pw" not in str(refused.value)


# --- redirects ----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [307, 308])
def test_a_post_follows_a_redirect_that_keeps_it_a_post(receiver: Receiver, status: int) -> None:
    """On the same server, with the same body and headers."""
    receiver.plan = [(status, {"location": "/there"})]
    assert Outbound([receiver.url]).post(f"{receiver.url}/a", b"x", {"x-a": "b"}).status == 200
    assert [path for path, _, _ in receiver.requests] == ["/a", "/there"]
    assert [(headers["x-a"], body) for _, headers, body in receiver.requests] == [("b", b"x")] * 2


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_post_is_never_turned_into_a_look(receiver: Receiver, status: int) -> None:
    """A redirect that would lose the body is an answer like any other that is no delivery."""
    receiver.plan = [(status, {"location": "/there"})]
    assert Outbound([receiver.url]).post(f"{receiver.url}/a", b"x", {}).status == status
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_get_follows_every_redirect(receiver: Receiver, status: int) -> None:
    """It has nothing to lose."""
    receiver.plan = [(status, {"location": "there"})]
    assert Outbound([receiver.url]).get(f"{receiver.url}/a/b").status == 200
    assert [path for path, _, _ in receiver.requests] == ["/a/b", "/a/there"]


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:{other}/s3cret",
        "//127.0.0.1:{other}/s3cret",
        "https://127.0.0.1:{port}/s3cret",
        "http://localhost:{port}/s3cret",
        f"http://{METADATA}/s3cret",
        "ftp://127.0.0.1:{port}/s3cret",
        "http://ada@127.0.0.1:{port}/s3cret",
        "http://[::1/s3cret",
        "http://127.0.0.1:99999/s3cret",
        "file:///s3cret",
    ],
)
def test_a_redirect_must_stay_on_its_server(receiver: Receiver, location: str) -> None:
    """Another host, port, scheme or user is refused, though the other place is listed too."""
    with Receiver() as other:
        where = location.format(other=other.port, port=receiver.port)
        receiver.plan = [(307, {"location": where})]
        listed = [receiver.url, other.url, f"http://localhost:{receiver.port}"]
        with pytest.raises(Refused, match="redirect") as refused:
            Outbound(listed).post(receiver.url, b"x", {})
        assert other.requests == []
    assert len(receiver.requests) == 1
    assert "s3cret" not in str(refused.value)


def test_redirects_have_an_end(receiver: Receiver) -> None:
    """A circle is left after a few rounds."""
    receiver.plan = [(307, {"location": "/again"})] * 50
    with pytest.raises(Refused, match=f"redirected more than {MAX_REDIRECTS} times"):
        Outbound([receiver.url]).post(receiver.url, b"x", {})
    assert len(receiver.requests) == MAX_REDIRECTS + 1


def test_a_redirect_is_looked_up_and_judged_anew(reached: list[str], receiver: Receiver) -> None:
    """Its name may lead elsewhere by then."""
    receiver.plan = [(307, {"location": "/there"})]
    lookup, _ = finds([PUBLIC], ["10.0.0.1"])
    with pytest.raises(Refused, match=r"10\.0\.0\.1"):
        Outbound(lookup=lookup).post("http://hook.example/", b"x", {})
    assert reached == [PUBLIC]


# --- limits -------------------------------------------------------------------------------------


def test_an_answer_has_a_limit(receiver: Receiver) -> None:
    """As much as fits is read; one byte more is an error, not a cut."""
    receiver.plan = [b"x" * 1000, b"x" * 1001]
    outbound = Outbound([receiver.url], max_bytes=1000)
    assert outbound.get(receiver.url).body == b"x" * 1000
    with pytest.raises(HarnessError, match="response is larger than 1000 bytes"):
        outbound.get(receiver.url)


def test_an_answer_without_a_length_has_a_limit_too(receiver: Receiver) -> None:
    """What drips in is counted as it comes."""
    receiver.plan = ["drip"]
    with pytest.raises(HarnessError, match="response is larger than 2 bytes"):
        Outbound([receiver.url], max_bytes=2).get(receiver.url)


@pytest.mark.parametrize("behaviour", ["hang", "drip", "drip headers"])
def test_a_call_ends_in_time(receiver: Receiver, behaviour: str) -> None:
    """Also when bytes keep coming, so that no read of its own is ever late."""
    receiver.plan = [behaviour]
    with pytest.raises(HarnessError, match=f"no response within {SHORT_S} s"):
        Outbound([receiver.url], timeout_s=SHORT_S).post(receiver.url, b"x", {})


def test_redirects_share_the_time_of_one_call(receiver: Receiver) -> None:
    """Each answer comes in time, and all of them together do not."""
    receiver.plan = [(307, {"location": "/there"})] * MAX_REDIRECTS
    receiver.late_s = SHORT_S / 2
    with pytest.raises(HarnessError, match="no response within"):
        Outbound([receiver.url], timeout_s=SHORT_S).post(receiver.url, b"x", {})


@contextmanager
def listening(address: str = "127.0.0.1", port: int = 0) -> Iterator[socket.socket]:
    """A server that never accepts until it is gone; the kernel takes one connection for it."""
    with socket.socket() as server:
        server.bind((address, port))
        server.listen(0)
        patience = threading.Timer(PATIENCE_S, server.close)
        patience.start()
        try:
            yield server
        finally:
            patience.cancel()


@contextmanager
def swallowing(address: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A port where connecting never ends: its queue is full; gives the port."""
    with listening(address, port) as server:
        taken: list[socket.socket] = []
        try:
            for _ in range(3):
                one = socket.socket()
                taken.append(one)
                one.settimeout(0)
                one.connect_ex(server.getsockname())
            yield server.getsockname()[1]
        finally:
            for one in taken:
                one.close()


def test_a_slow_connect_ends_in_time() -> None:
    """As when a firewall drops what it does not like."""
    with swallowing() as port:
        url = f"http://127.0.0.1:{port}"
        with pytest.raises(HarnessError, match="no response within"):
            Outbound([url], timeout_s=SHORT_S).get(url)


def test_a_slow_handshake_ends_in_time() -> None:
    """The connection is there, and TLS never comes."""
    with listening() as server:
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(HarnessError, match="no response within"):
            Outbound([url], timeout_s=SHORT_S).get(url)


def test_a_slow_look_up_ends_in_time() -> None:
    """A dead name server must not hold a page up."""
    over = threading.Event()

    def lookup(host: str, port: int) -> list[str]:
        over.wait(PATIENCE_S)
        return ["127.0.0.1"]

    try:
        with pytest.raises(HarnessError, match="no response within"):
            Outbound(timeout_s=SHORT_S, lookup=lookup).get("http://hook.example/")
    finally:
        over.set()


def test_a_slow_reader_ends_in_time() -> None:
    """One that takes a large body in sips, each of them in time, is left long before its end."""
    over = threading.Event()
    sips: list[int] = []
    with listening() as server:

        def sip() -> None:
            taken, _ = server.accept()
            with taken:
                for _ in range(SIPS):
                    if over.wait(0.02):
                        return
                    sips.append(len(taken.recv(SIP_BYTES)))

        reader = threading.Thread(target=sip)
        reader.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        try:
            with pytest.raises(HarnessError, match="no response within"):
                Outbound([url], timeout_s=1).post(url, bytes(2 * SIPS * SIP_BYTES), {})
        finally:
            over.set()
            reader.join(PATIENCE_S)
    assert 0 < len(sips) < SIPS


@pytest.mark.parametrize("first", ["refuses", "swallows"])
def test_the_next_address_is_tried(receiver: Receiver, first: str) -> None:
    """One dead address of a name costs its share of the time, not the call."""
    url = f"http://hook.example:{receiver.port}"
    outbound = Outbound([url], timeout_s=2, lookup=finds(["127.0.0.2", "127.0.0.1"])[0])
    if first == "refuses":
        assert outbound.get(url).status == 200
    else:
        with swallowing("127.0.0.2", receiver.port):
            assert outbound.get(url).status == 200
    assert len(receiver.requests) == 1


# --- what went wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize("behaviour", ["accept and hang up", "hang", (307, {"location": "/x"})])
def test_an_error_names_the_server_and_no_secret(receiver: Receiver, behaviour: object) -> None:
    """The path is for the receiver alone; journals and logs keep the error."""
    receiver.plan = [behaviour] * 5
    with pytest.raises(HarnessError) as failed:
        Outbound([receiver.url], timeout_s=SHORT_S).post(receiver.url + SECRET_PATH, b"x", {})
    assert receiver.url in str(failed.value)
    assert "s3cret" not in str(failed.value)


def test_nobody_there_is_told_with_the_server() -> None:
    """A closed port is an error of the other side, not of ours."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(HarnessError, match=f"{url}: no response: .*refused"):
            Outbound([url]).get(url + SECRET_PATH)


def test_a_name_without_an_address_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what the resolver says."""

    def nothing(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nothing)
    with pytest.raises(HarnessError, match=r"cannot resolve 'hook\.example': Name or"):
        Outbound().get("http://hook.example/")


def test_a_name_that_cannot_be_one_is_told() -> None:
    """Its label is longer than any resolver takes."""
    with pytest.raises(HarnessError, match=r"cannot resolve 'aaaa.*': .*too long"):
        Outbound().get(f"http://{'a' * 64}.example/")


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        ("0", 0),
        ("30", 30),
        ("999999999999", MAX_WAIT_S),
        ("9" * 400, MAX_WAIT_S),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 37),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 37),
        ("Sun Nov  6 08:49:37 1994", 37),
        ("Sun, 06 Nov 1994 08:48:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_WAIT_S),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("\u0663", None),
        ("Sun, 06 Nov 1994 08:49:37 +99999999999999", None),
    ],
)
def test_retry_after_is_read_in_every_form(text: str, wait_s: float | None) -> None:
    """Seconds and the three forms of a date; what is over is now, and what is no time is none."""
    now = 784_111_740 * SECOND  # 08:49:00 on that Sunday
    assert Answer(429, {"retry-after": text}, b"").retry_after_s(now) == wait_s


# --- TLS ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for hook.example that nobody but itself vouches for, with its key."""
    need("openssl")
    file = tmp_path_factory.mktemp("tls") / "hook.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        " -subj /CN=hook.example -addext subjectAltName=DNS:hook.example"
    )
    subprocess.run(
        [*command.split(), "-keyout", str(file), "-out", str(file.with_suffix(".crt"))],
        check=True,
        capture_output=True,
    )
    file.write_text(file.read_text() + file.with_suffix(".crt").read_text())
    return file


@pytest.fixture
def secure(certificate: Path) -> Iterator[Receiver]:
    """A receiver that speaks https with that certificate."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with Receiver(tls=tls) as receiver:
        yield receiver


def call_by_name(secure: Receiver, name: str) -> Callable[[], Answer]:
    """A call of the receiver under a name."""
    url = f"https://{name}:{secure.port}"
    lookup, _ = finds(["127.0.0.1"])
    return lambda: Outbound([url], lookup=lookup).post(url + SECRET_PATH, b"x", {})


def test_a_certificate_that_nobody_trusts_is_refused(secure: Receiver) -> None:
    """Nothing is sent, not even when the URL is listed."""
    with pytest.raises(HarnessError, match="certificate verify failed") as failed:
        call_by_name(secure, "hook.example")()
    assert secure.requests == []
    assert "s3cret" not in str(failed.value)


def test_a_trusted_certificate_is_taken_for_its_name_alone(
    secure: Receiver, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name in the URL is verified, though the connection goes to an address."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.with_suffix(".crt")))
    assert call_by_name(secure, "hook.example")().status == 200
    with pytest.raises(HarnessError, match=r"not valid for 'other\.example'"):
        call_by_name(secure, "other.example")()
    assert len(secure.requests) == 1
