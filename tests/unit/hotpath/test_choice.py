"""Which implementation callers get, and that none escapes the tests."""

from __future__ import annotations

from pathlib import Path

from hotpaths import IMPLEMENTATIONS, load

import slingshot_microservice.hotpath as hotpath


def test_callers_get_the_implementation_that_is_named() -> None:
    chosen = load(f"_{hotpath.IMPLEMENTATION}")
    assert hotpath.decode_id is chosen.decode_id
    assert hotpath.FrameReader is chosen.FrameReader
    assert hotpath.FrameWriter is chosen.FrameWriter
    assert hotpath.RoutingTable is chosen.RoutingTable


def test_every_implementation_is_tested() -> None:
    folder = Path(str(hotpath.__file__)).parent
    sources = [path for suffix in ("py", "pyx") for path in folder.glob(f"*.{suffix}")]
    assert {path.stem for path in sources} - {"__init__", "_common"} == set(IMPLEMENTATIONS)
