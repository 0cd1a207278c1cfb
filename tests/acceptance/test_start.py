"""What starting loads: a drill knows no mail, no router and no server."""

from __future__ import annotations

import subprocess
import sys

import pytest

from midwatch.registry import PAGERS, ROUTERS

# Each is a way out of this machine, or into it, that no drill takes.
UNUSED = (
    "asyncio",
    "email",
    "httpx2",
    "jinja2",
    "rich",
    "smtplib",
    "ssl",
    "starlette",
    "uvicorn",
    "midwatch.adapters.metrics.prometheus",
    *(f"midwatch.adapters.pagers.{name}" for name in PAGERS),
    *(f"midwatch.adapters.routers.{name}" for name in ROUTERS),
    "midwatch.adapters.sources.grafana",
    "midwatch.outbound",
    "midwatch.web",
)


@pytest.mark.parametrize("words", [("drill",), ("--help",)])
def test_what_nobody_named_is_not_loaded(words: tuple[str, ...]) -> None:
    """Only the values that a config may hold are there of pagers and routers, not their code."""
    code = (
        "import sys\nfrom midwatch.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True
    )
    loaded = set(done.stderr.split())
    assert "midwatch.cli.main" in loaded
    unused = {
        name for name in loaded if any(name == one or name.startswith(f"{one}.") for one in UNUSED)
    }
    assert unused == set()
