"""The shapes that public example files have: each is read, or refused with what to write instead.

The first line of a fixture says which public file it has the shape of, the second what is wanted.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from midwatch.adapters.metrics.prometheus_rules import rules
from midwatch.adapters.specs.reader import read_specs
from midwatch.errors import InputError
from midwatch.yaml_nodes import Problems

SHAPES = sorted((Path(__file__).parents[1] / "fixtures" / "specs").glob("*.yaml"))


@pytest.mark.parametrize("file", SHAPES, ids=lambda file: file.stem)
def test_a_public_shape_is_read_or_refused_with_a_remedy(file: Path) -> None:
    """Never half: what is refused says where and what to write."""
    shape, want, *_ = file.read_text("utf-8").splitlines()
    assert shape.startswith("# shape: ")
    problems = Problems()
    found = read_specs([file], problems)
    errors = [str(one) for one in problems.in_order()]
    if want == "# want: loads":
        assert errors == []
        assert found.slos or "AlertWindows" in file.read_text("utf-8")
        for slo in found.slos.values():
            indicator = slo.indicator
            assert indicator is not None
            if indicator.slice_s or indicator.kind == "threshold":  # rules have no words for them
                with pytest.raises(InputError):
                    rules([slo])
            else:
                assert "record:" in rules([slo])
        return
    remedy = want.removeprefix("# want: refused: ")
    assert remedy != want
    assert any(remedy in one for one in errors), errors
    assert all(one.startswith(f"{file}:") and "; " in one for one in errors)
