"""PostgreSQL from the wheel, started by whoever opens its directory first."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import APPLICATION, insert, numbers, prepare, session_of

from slingshot_microservice.database import Database
from slingshot_microservice.errors import DatabaseError


@pytest.fixture
def data_directory() -> Iterator[Path]:
    # As root, the wheel opens every folder above to the user that it adds.
    folder = Path(tempfile.mkdtemp(prefix="slingshot-embedded-", dir="/tmp"))
    yield folder / "new" / "data+%"
    shutil.rmtree(folder)


def test_embedded_postgresql_serves_until_the_last_is_closed(data_directory: Path) -> None:
    first = Database.embedded_postgresql(data_directory, application_name=APPLICATION)
    second = Database.embedded_postgresql(data_directory)
    prepare(first)
    first.close()
    with session_of(second) as session:
        insert(session.connection, 1)
        session.commit()
    second.close()
    assert not (data_directory / "postmaster.pid").exists()
    again = Database.embedded_postgresql(data_directory)
    assert numbers(again) == [1]
    again.close()


def test_embedded_postgresql_that_cannot_start_says_where(data_directory: Path) -> None:
    data_directory.parent.mkdir()
    data_directory.mkdir()
    (data_directory / "PG_VERSION").write_text("1")
    with pytest.raises(DatabaseError, match="cannot start the embedded PostgreSQL") as caught:
        Database.embedded_postgresql(data_directory)
    assert str(data_directory) in str(caught.value)
    assert "\n" not in str(caught.value)
