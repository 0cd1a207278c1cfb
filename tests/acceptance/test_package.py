"""What a stranger installs: the same bytes each time, whole, and working by itself.

Law: what is tried is the built wheel, unpacked where nothing of the project is; in `make soak` it
is installed by pip into empty environments, for each Python and each extra.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from midwatch import __version__
from midwatch.cli.main import COMMANDS, EXTRAS

ROOT = Path(__file__).parents[2]
PYTHONS = ("3.11", "3.12", "3.13")
INSTALLED = ("", "server", "notify", "evals")
# What is fetched from an index belongs to the soak alone: make test needs no network.
SOAK = bool(os.environ.get("MIDWATCH_SOAK"))


def built(source: Path, target: Path) -> dict[str, Path]:
    """Build both, as `make dist` does."""
    target.mkdir()
    command = [str(Path(sys.executable).with_name("hatchling")), "build", "-d", str(target)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    return {file.suffix: file for file in target.iterdir()}


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheel and the sdist."""
    return built(ROOT, tmp_path_factory.mktemp("dist") / "one")


def test_a_build_gives_the_same_bytes(dist: dict[str, Path], tmp_path: Path) -> None:
    """Twice from the tree, at another time; and the wheel out of the sdist is the same wheel."""
    again = built(ROOT, tmp_path / "again")
    assert {k: digest(f) for k, f in again.items()} == {k: digest(f) for k, f in dist.items()}
    with tarfile.open(dist[".gz"]) as archive:
        archive.extractall(tmp_path, filter="data")
    third = built(tmp_path / f"midwatch-{__version__}", tmp_path / "third")
    assert digest(third[".whl"]) == digest(dist[".whl"])


def test_the_wheel_works_where_nothing_else_is(dist: dict[str, Path], tmp_path: Path) -> None:
    """It has its types, scenarios, templates and migrations, and plays a shift out of them."""
    with zipfile.ZipFile(dist[".whl"]) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "site")
    assert "midwatch/py.typed" in names
    texts = {str(file.relative_to(ROOT / "src")) for file in (ROOT / "src").rglob("*.sql")}
    assert any("queries/sqlite" in text for text in texts)
    assert texts <= set(names)
    assert not [name for name in names if name.startswith(("tests", "docs", "benchmarks"))]
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}

    def run(*words: str) -> str:
        text = "from midwatch.cli.main import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", text, *words],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    where = "import midwatch; print(midwatch.__file__)"
    found = subprocess.check_output([sys.executable, "-c", where], cwd=tmp_path, env=env, text=True)
    assert found.startswith(str(tmp_path / "site"))
    assert run("--version").split()[-1] == __version__
    assert "7/7 checks passed" in run("drill")
    run("init")
    run("check")
    assert run("token", "create", "--source", "alertmanager").startswith("mw_")


def python(version: str) -> str:
    """Find an interpreter: by its name, or where pyenv keeps them."""
    found = shutil.which(f"python{version}")
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    mine = sorted(kept.glob(f"{version}.*/bin/python"))
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    found = str(mine[-1]) if mine else found or (sys.executable if version == here else None)
    assert found, f"Python {version} is not there"
    return found


def test_the_servers_lock_pins_what_serve_needs_by_hash() -> None:
    """Each package that the base and the extra `server` name, at one version, each with hashes."""
    text = (ROOT / "requirements" / "server.lock").read_text("utf-8")
    pinned = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.M))
    blocks = re.split(r"^(?=[a-z0-9-]+==)", text, flags=re.M)[1:]
    assert all("--hash=sha256:" in one for one in blocks)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    for wanted in (*project["dependencies"], *extras["server"], *extras["notify"]):
        name = re.match(r"[a-z0-9-]+", wanted.replace("_", "-").replace(".", "-"))
        assert name is not None
        assert name[0] in pinned, f"{wanted}: run make lock"
    assert "pytest" not in pinned


if SOAK:

    @pytest.mark.soak
    def test_the_servers_lock_installs_a_server(dist: dict[str, Path], tmp_path: Path) -> None:
        """As operations.md types it: nothing but what the lock names, and `serve` is there."""
        env = tmp_path / "env"
        subprocess.run([sys.executable, "-m", "venv", env], check=True)
        pip = [env / "bin" / "python", "-m", "pip", "install", "-q"]
        lock = str(ROOT / "requirements" / "server.lock")
        subprocess.run([*pip, "--require-hashes", "-r", lock], check=True, capture_output=True)
        subprocess.run([*pip, "--no-deps", str(dist[".whl"])], check=True, capture_output=True)
        checked = subprocess.run([env / "bin" / "python", "-m", "pip", "check"], check=False)
        assert checked.returncode == 0
        run = [env / "bin" / "midwatch", "serve", "--help"]
        assert subprocess.run(run, check=False, capture_output=True).returncode == 0

    @pytest.mark.soak
    @pytest.mark.parametrize(
        ("version", "extra"), [(one, extra) for one in PYTHONS for extra in INSTALLED]
    )
    def test_a_clean_install_works(
        dist: dict[str, Path], version: str, extra: str, tmp_path: Path
    ) -> None:
        """By pip alone: --help lists what works, a shift plays, and what is missing is named."""
        env = tmp_path / "env"
        subprocess.run([python(version), "-m", "venv", env], check=True)
        wheel = f"{dist['.whl']}[{extra}]" if extra else str(dist[".whl"])
        pip = [env / "bin" / "python", "-m", "pip", "install", "-q", wheel]
        subprocess.run(pip, check=True, capture_output=True)

        def run(*words: str) -> subprocess.CompletedProcess[str]:
            command = [env / "bin" / "midwatch", *words]
            return subprocess.run(
                command, cwd=tmp_path, capture_output=True, text=True, check=False
            )

        listed, _, rest = run("--help").stdout.partition("With pip install")
        for name in COMMANDS:
            there = not EXTRAS.get(name) or EXTRAS[name] == extra
            assert f"\n  {name} " in (listed if there else rest), name
            assert run(name, "--help").returncode in ((0,) if there else (0, 2)), name
        assert "7/7 checks passed" in run("drill").stdout
        assert run("init").returncode == 0
        assert run("check").returncode == 0
        if extra != "server":
            refused = run("serve")
            assert refused.returncode == 2
            assert "midwatch[server]" in refused.stderr
