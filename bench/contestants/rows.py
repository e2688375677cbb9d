"""One ``SELECT`` and one ``INSERT`` for every id, and a commit: bare, and through ours.

``python -m bench.contestants.rows WAY COUNT``; `URL_VARIABLE` says where the database is. Before
what is measured come `TRIAL_IDS` ids that are not.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg2
from sqlalchemy import Connection, create_engine, text

from slingshot_microservice import Microservice
from slingshot_microservice.database import Database, postgresql_url

from .job import Meter

__all__ = ["PEOPLE", "TRIAL_IDS", "URL_VARIABLE"]

URL_VARIABLE = "SLINGSHOT_BENCH_DATABASE_URL"
PEOPLE = 1_000
TRIAL_IDS = 300

_SELECT = text("SELECT name FROM people WHERE id = :id")
_INSERT = text("INSERT INTO visits (id, name) VALUES (:id, :name)")
_MAP = """\
rabbitmq = "memory"
object-storage = {{ directory = "objects" }}
[db]
host = {host}
port = {port}
username = {username}
database = {database}
pass = "database"
[services.rows]
in = "in"
out = [{{ case = true, queues = ["out"] }}]
"""


class Place:
    """Where the database is, as the environment says."""

    def __init__(self) -> None:
        url = urlsplit(os.environ[URL_VARIABLE])
        assert url.hostname
        assert url.port
        self.host = url.hostname
        self.port = url.port
        self.username = unquote(url.username or "")
        self.password = unquote(url.password or "")
        self.database = url.path.strip("/")
        self.url = postgresql_url(self.host, self.port, self.username, self.password, self.database)

    def write_map(self, folder: Path) -> Path:
        """Write a sys-map file that leads here, and the secret that it names."""
        (folder / "database").write_text(self.password, encoding="utf-8")
        os.environ["SLINGSHOT_SECRETS_DIR"] = str(folder)
        path = folder / "sys-map.toml"
        fields = ("host", "port", "username", "database")
        path.write_text(_MAP.format(**{name: json.dumps(getattr(self, name)) for name in fields}))
        return path


def work(connection: Connection, id: int) -> None:
    """Do with SQLAlchemy what is done for one id."""
    name = connection.execute(_SELECT, {"id": id % PEOPLE}).scalar_one()
    connection.execute(_INSERT, {"id": id, "name": name})


def loop(count: int, work_on: Callable[[int], None]) -> None:
    """Measure ids in a loop."""
    for id in range(TRIAL_IDS):
        work_on(id)
    meter = Meter()
    meter.start()
    for id in range(TRIAL_IDS, TRIAL_IDS + count):
        work_on(id)
    meter.report(count)


def run_psycopg2(place: Place, count: int) -> None:
    """The driver alone, on one connection."""
    connection = psycopg2.connect(
        host=place.host,
        port=place.port,
        user=place.username,
        password=place.password,
        dbname=place.database,
    )

    def work_on(id: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT name FROM people WHERE id = %s", (id % PEOPLE,))
            ((name,),) = cursor.fetchall()
            cursor.execute("INSERT INTO visits (id, name) VALUES (%s, %s)", (id, name))
        connection.commit()

    loop(count, work_on)
    connection.close()


def run_sqlalchemy(place: Place, count: int) -> None:
    """SQLAlchemy alone, on one connection that is kept."""
    engine = create_engine(place.url)
    with engine.connect() as connection:

        def work_on(id: int) -> None:
            work(connection, id)
            connection.commit()

        loop(count, work_on)
    engine.dispose()


def run_sqlalchemy_pool(place: Place, count: int) -> None:
    """SQLAlchemy alone, with a connection from its pool for every id."""
    engine = create_engine(place.url)

    def work_on(id: int) -> None:
        with engine.begin() as connection:
            work(connection, id)

    loop(count, work_on)
    engine.dispose()


def run_session(place: Place, count: int) -> None:
    """Our session alone."""
    database = Database(place.url, application_name="rows")
    session = database.session()

    def work_on(id: int) -> None:
        work(session.connection, id)
        session.commit()

    loop(count, work_on)
    session.close()
    database.close()


def run_service(place: Place, count: int, *, touches: bool = True) -> None:
    """A service: all steps of a request, with queues in memory."""
    from slingshot_microservice.pipeline import Pipeline
    from slingshot_microservice.signals import StopEvent
    from slingshot_microservice.sysmap.file import FileSystemMap

    meter, ended = Meter(), StopEvent()
    last = TRIAL_IDS + count

    def process(
        request: int, read_file: object, write_file: object, connection: Connection
    ) -> Iterator[tuple[int, bool]]:
        if request == TRIAL_IDS:
            meter.start()
        elif request == last:  # which is not measured any more
            meter.report(count)
            ended.set()
        if touches:
            work(connection, request)
        yield request, True

    with tempfile.TemporaryDirectory(prefix="slingshot-bench-") as folder:
        service = Microservice("rows", "sys-map.toml", process)
        pipeline = Pipeline([service], FileSystemMap(place.write_map(Path(folder))))
        pipeline.open()
        pipeline.queues.publish("in", (b"%d" % id for id in range(last + 1)))
        pipeline.run(ended)


def run_service_untouched(place: Place, count: int) -> None:
    """The same with a ``process`` that leaves its connection alone."""
    run_service(place, count, touches=False)


WAYS: dict[str, Callable[[Place, int], None]] = {
    "psycopg2": run_psycopg2,
    "sqlalchemy": run_sqlalchemy,
    "sqlalchemy-pool": run_sqlalchemy_pool,
    "session": run_session,
    "service": run_service,
    "service-untouched": run_service_untouched,
}


if __name__ == "__main__":
    WAYS[sys.argv[1]](Place(), int(sys.argv[2]))
