"""Logins to the web UI, tokens that end, and the trail, on a real server."""

from __future__ import annotations

import base64
import http.client
import json
import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from tests.acceptance.serving import Serving, alert, until

from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.adapters.stores.sqlite_file import migrations

pytestmark = pytest.mark.slow
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
DB = Path("midwatch") / "midwatch.db"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server with an incident."""
    serving = Serving(tmp_path_factory.mktemp("logins"))
    serving.start()
    assert serving.deliver(alert("Down")).status == 202
    yield serving
    serving.kill()


def call(
    serving: Serving, method: str, path: str, body: str = "", **headers: str
) -> tuple[int, dict[str, str], str]:
    """One request without any help; gives status, headers and body."""
    connection = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=60)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body.encode(), named)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, {k.lower(): v for k, v in answer.getheaders()}, text


def log_in(serving: Serving, token: str = "", **headers: str) -> tuple[str, str]:
    """Log in; gives the cookie, and all that was said of it."""
    body = urlencode({"token": token or serving.person})
    status, said, _ = call(serving, "POST", "/login", body, **FORM, **headers)
    assert status == 303
    return said["set-cookie"].partition(";")[0], said["set-cookie"]


def opens(serving: Serving, cookie: str) -> bool:
    """Whether it is a login."""
    status, said, _ = call(serving, "GET", "/", cookie=cookie)
    assert (status, said.get("location")) in ((200, None), (303, "/login"))
    return status == 200


def test_logout_ends_the_login_and_not_only_the_cookie(served: Serving) -> None:
    """A copy of the cookie opens nothing afterwards; another login of the same token does."""
    cookie, said = log_in(served)
    other, _ = log_in(served)
    assert cookie != other
    assert all(one in said for one in ("HttpOnly", "SameSite=lax", "Path=/"))
    assert opens(served, cookie)
    assert call(served, "POST", "/logout", cookie=cookie, **FORM)[0] == 303
    assert not opens(served, cookie)
    assert opens(served, other)
    ended = served.type("session", "end-all", "--json")
    assert json.loads(ended.stdout)["logins"] >= 1
    assert not opens(served, other)


def test_a_cookie_s_name_is_the_journal_s(served: Serving, tmp_path: Path) -> None:
    """Two servers on one host share cookies: a login to one ends none of the other."""
    other = Serving(tmp_path)
    other.start()
    try:
        mine, its = log_in(served)[0], log_in(other)[0]
        assert mine.partition("=")[0] != its.partition("=")[0]
        both = f"{mine}; {its}"
        assert opens(served, both)
        assert opens(other, both)
        assert not opens(other, mine)
    finally:
        other.kill()


def test_no_copy_of_the_journal_is_a_login(served: Serving, tmp_path: Path) -> None:
    """Nothing that opens anything is in a backup or in a plain copy."""
    cookie, _ = log_in(served)
    secret = cookie.partition("=")[2]
    assert served.type("db", "backup", str(DB), str(tmp_path / "copy.db")).returncode == 0
    for name in ("midwatch.db", "midwatch.db-wal"):
        shutil.copy(served.folder / "midwatch" / name, tmp_path / name)
    tables = sqlite3.connect(tmp_path / "copy.db").execute("SELECT name FROM sqlite_master")
    assert not {"session", "session_key"} & {name for (name,) in tables}
    tokens = [served.person, served.sender]
    for file in tmp_path.iterdir():
        body = file.read_bytes()
        assert secret.encode() not in body
        assert not [one for one in tokens if one.split("_", 2)[2].encode() in body], file
    kept = served.folder / "midwatch" / "midwatch.db.access"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert secret.encode() not in kept.read_bytes()


def test_the_key_of_0_1_is_gone_from_the_file_after_migrate(tmp_path: Path) -> None:
    """What signed cookies leaves no bytes behind."""
    file, key = tmp_path / "old.db", b"KEY-THAT-SIGNED-COOKIES-12345678"
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute(f"PRAGMA application_id = {0x6D696477}")
    for number, sql in migrations():
        if number <= 4:
            connection.executescript(f"{sql};PRAGMA user_version = {number};")
    connection.execute("INSERT INTO session_key VALUES (1, ?)", (key,))
    connection.close()
    assert key in file.read_bytes()
    SqliteStore.migrate(file)
    assert key not in file.read_bytes()


@pytest.mark.parametrize("newer", [False, True], ids=["of an earlier term", "of this term"])
def test_a_restore_ends_every_login(tmp_path: Path, *, newer: bool) -> None:
    """Also by plain `cp`, as long as somebody logged in after the copy was made."""
    serving = Serving(tmp_path)
    serving.start()
    if newer:
        serving.stop()
        serving.start()
    cookie, _ = log_in(serving)
    serving.stop()
    serving.start()
    assert opens(serving, cookie), "a restart is no restore"
    assert serving.type("db", "backup", str(DB), "copy.db").returncode == 0
    if newer:
        assert serving.deliver(alert("Later")).status == 202
        until(serving.incidents)
        cookie, _ = log_in(serving)
        serving.stop()
    else:
        serving.stop()
        serving.start()
        cookie, _ = log_in(serving)
        serving.stop()
    for one in (serving.folder / "midwatch").glob("midwatch.db-*"):
        one.unlink()
    shutil.copy(serving.folder / "copy.db", serving.folder / DB)
    serving.start()
    try:
        assert not opens(serving, cookie)
        assert opens(serving, log_in(serving)[0])
    finally:
        serving.kill()


@pytest.mark.parametrize("how", ["db restore", "cp"])
def test_who_was_revoked_since_the_copy_stays_out(tmp_path: Path, how: str) -> None:
    """The copy knows the token as good; a login of before the copy is over all the same."""
    serving = Serving(tmp_path)
    serving.start()
    cookie, _ = log_in(serving)
    assert serving.type("db", "backup", str(DB), "copy.db").returncode == 0
    assert serving.deliver(alert("Later")).status == 202
    until(serving.incidents)
    name = serving.person.split("_")[1]
    assert serving.type("token", "revoke", name).returncode == 0
    serving.kill()
    if how == "cp":
        for one in (serving.folder / "midwatch").glob("midwatch.db-*"):
            one.unlink()
        shutil.copy(serving.folder / "copy.db", serving.folder / DB)
    else:
        done = serving.type("db", "restore", "copy.db", str(DB))
        assert "all logins" in done.stdout, done.stderr
    serving.start()
    try:
        assert not opens(serving, cookie)
        assert opens(serving, log_in(serving)[0]), "the token itself is good again, as is said"
    finally:
        serving.kill()


@pytest.mark.parametrize("state", ["garbage", "locked"])
def test_a_file_of_logins_that_is_of_no_use_stops_no_pager(tmp_path: Path, state: str) -> None:
    """Alerts page, people log in for as long as the process lives, and /readyz says it."""
    serving = Serving(tmp_path)
    file = serving.folder / "midwatch" / "midwatch.db.access"
    holder = None
    if state == "garbage":
        for one in file.parent.glob("midwatch.db.access*"):
            one.unlink()
        file.write_bytes(b"nobody wrote this" * 1_000)
    else:
        holder = sqlite3.connect(file, isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
    serving.start()
    try:
        assert serving.deliver(alert("Down")).status == 202
        until(lambda: "PAGE sev" in serving.out.read_text())
        assert opens(serving, log_in(serving)[0])
        notes = serving.ask("GET", "/readyz").document["notes"]
        assert "kept in memory" in notes["logins"]
    finally:
        serving.kill()
        if holder is not None:
            holder.close()


def test_a_token_ends_at_its_time_and_says_when_it_was_used(served: Serving) -> None:
    """Its logins end with it; the list tells name, end and last use; the events tell its id."""
    brief = served.token("--role", "responder", "--name", "eve", "--expires", "90d")
    name = brief.split("_")[1]
    cookie, _ = log_in(served, brief)
    incident = served.incidents()[0]["id"]
    acked = served.ask("POST", f"/api/v1/incidents/{incident}/ack", b"{}", brief)
    assert acked.status == 200
    (row,) = [
        one
        for one in json.loads(served.type("token", "list", "--json").stdout)
        if one["id"] == name
    ]
    assert row["expires_at"] - row["created_at"] == 90 * 86_400_000
    assert row["used_at"] >= row["created_at"]
    assert "live until" in served.type("token", "list").stdout
    writer = sqlite3.connect(served.folder / DB, timeout=60)
    with writer:  # its end is moved here, as the clock cannot be
        writer.execute("UPDATE token SET expires_at = 1 WHERE id = ?", (name,))
    writer.close()
    assert served.ask("GET", "/api/v1/incidents", token=brief).status == 401
    assert not opens(served, cookie)
    reader = sqlite3.connect(f"file:{served.folder / DB}?mode=ro", uri=True)
    causes = {cause for (cause,) in reader.execute("SELECT cause FROM event")}
    reader.close()
    assert f"token/{name}" in causes
    assert any(one.endswith(f"token/{served.sender.split('_')[1]}") for one in causes)
    person = ("--role", "responder", "--name", "x")
    wrong = served.type("token", "create", *person, "--expires", "soon")
    assert wrong.returncode == 2
    assert "90d" in wrong.stderr


def test_who_is_refused_is_counted_logged_and_kept(served: Serving) -> None:
    """Fifty refusals are a number, and not fifty lines; logins and tokens are in the trail."""
    lines = served.out.read_text("utf-8").count("\n")
    for _ in range(50):
        assert served.ask("GET", "/api/v1/incidents", token="mw_deadbeef_x").status == 401
    assert served.ask("GET", "/api/v1/incidents", token=served.sender).status == 403
    assert call(served, "POST", "/login", "token=mw_guess_1", **FORM)[0] == 401
    figures = served.ask("GET", "/metrics").body.decode()
    counts = {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in figures.splitlines()
        if line.startswith("midwatch_access_total")
    }
    assert counts['midwatch_access_total{what="call refused"}'] >= 51
    assert counts['midwatch_access_total{what="login refused"}'] >= 1
    log = served.out.read_text("utf-8")
    assert 1 <= log.count("\n") - lines < 20
    made = served.token("--role", "responder", "--name", "kim")
    assert served.type("token", "revoke", made.split("_")[1]).returncode == 0
    trail = json.loads(served.type("audit", "--json", "--limit", "100").stdout)
    assert {"login", "login refused", "call refused", "token made", "token revoked"} <= {
        one["what"] for one in trail
    }
    (refused,) = {
        (one["what"], one["token"])
        for one in trail
        if one["says"].endswith("a sender token") and one["token"]
    }
    assert refused == ("call refused", served.sender.split("_")[1])
    everything = json.dumps(trail) + log
    assert not [one for one in (made, served.person, "deadbeef", "guess") if one in everything]


def test_a_person_s_token_is_never_basic_auth(served: Serving) -> None:
    """A browser sends basic auth along with what any page asks for; a sender may use it."""
    pair = base64.b64encode(f"x:{served.person}".encode()).decode()
    silence = json.dumps({"matchers": ['service=~".+"'], "ends_at": 4_000_000_000_000, "why": "x"})
    for more in ({}, {"Origin": "https://evil.example", "Content_Type": "text/plain"}):
        status, _, body = call(
            served, "POST", "/api/v1/silences", silence, Authorization=f"Basic {pair}", **more
        )
        assert status == 401
        assert "basic auth is for alert senders" in body
    for given, says in (
        ({"ends_at": 4_000_000_000_000}, "366 days"),
        ({"matchers": ['service=~".+"', "severity!=info"]}, "silence everything"),
    ):
        body = {
            "matchers": ["service=shop"],
            "ends_at": int(time.time() * 1_000) + 60_000,
            "why": "x",
        }
        asked = json.dumps({**body, **given}).encode()
        answer = served.ask("POST", "/api/v1/silences", asked, served.person)
        assert 400 <= answer.status < 500
        assert says in answer.body.decode()
    assert json.loads(served.ask("GET", "/api/v1/silences", token=served.person).body) == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Sec_Fetch_Site": "same-origin"}, 303),
    ],
)
def test_a_form_is_taken_only_with_proof_of_where_it_is_from(
    served: Serving, headers: dict[str, str], status: int
) -> None:
    """No proof is no proof; nothing is done without it."""
    cookie, _ = log_in(served)
    incident = served.incidents()[0]["id"]
    path = f"/incidents/{incident}/ack"
    assert call(served, "POST", path, cookie=cookie, **FORM, **headers)[0] == status
