"""A journal, and a place of their own for local copies."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from recording import Journal


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
