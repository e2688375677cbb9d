"""Which configuration is opened."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from slingshot_microservice.errors import SystemMapFileError, UsageError
from slingshot_microservice.options import Options
from slingshot_microservice.sysmap import open_system_map
from slingshot_microservice.sysmap.client import HttpSystemMap
from slingshot_microservice.sysmap.file import FileSystemMap

OPTIONS = Options()
PARTS = 'rabbitmq = "memory"\ndb = { sqlite = "x" }\nobject-storage = { directory = "y" }\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "map.toml"
    path.write_text(PARTS)
    return path


def test_a_file_is_a_path_or_ends_in_toml(path: Path) -> None:
    bare = path.with_suffix("")
    bare.write_text(PARTS)
    for config_host in (path, str(path), bare):
        system_map = open_system_map(config_host, OPTIONS, {})
        assert isinstance(system_map, FileSystemMap)
        assert system_map.source == str(config_host)


@pytest.mark.parametrize("host", ["sys-map.example.com", "http://x:1", "http://x/map.toml"])
def test_anything_else_is_a_host(host: str) -> None:
    system_map = open_system_map(host, OPTIONS, {})
    assert isinstance(system_map, HttpSystemMap)
    assert system_map.source.endswith(host)
    system_map.close()


def test_the_environment_wins_and_says_so(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        system_map = open_system_map("example.com", OPTIONS, {"SLINGSHOT_SYS_MAP": str(path)})
    assert system_map.source == str(path)
    assert [record.getMessage() for record in caplog.records] == [
        f"SLINGSHOT_SYS_MAP is set: the configuration comes from {path}"
    ]
    other = open_system_map(path, OPTIONS, {"SLINGSHOT_SYS_MAP": "http://me:secret@other"})
    assert other.source == "http://other"
    assert "secret" not in caplog.text
    other.close()


def test_an_empty_variable_counts_as_none(path: Path) -> None:
    assert open_system_map(path, OPTIONS, {"SLINGSHOT_SYS_MAP": ""}).source == str(path)


def test_the_process_environment_is_the_default(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLINGSHOT_SYS_MAP", str(path))
    assert open_system_map("example.com", OPTIONS).source == str(path)


@pytest.mark.parametrize("config_host", ["", " ", None, 7, b"host", ["host"]])
def test_what_is_neither_is_refused(config_host: Any) -> None:
    with pytest.raises(UsageError, match=r"config_host is .*; expected a host") as caught:
        open_system_map(config_host, OPTIONS, {})
    assert caught.value.exit_code == 2


def test_a_file_that_is_missing_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(SystemMapFileError, match="cannot be read"):
        open_system_map(tmp_path / "missing.toml", OPTIONS, {})


def test_a_file_loads_no_http_client(path: Path) -> None:
    program = (
        "import sys; from slingshot_microservice.sysmap import open_system_map; "
        "from slingshot_microservice.options import Options; "
        f"open_system_map({str(path)!r}, Options()); "
        "sys.exit('requests' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
