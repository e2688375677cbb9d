"""The example that the project began with, word for word, on real servers."""

from __future__ import annotations

from pathlib import Path

from servers.world import World

SEED = """\
from typing import Generator

from sqlalchemy.engine.base import Connection
from slingshot_microservice.typing import ReadFileFn, WriteFileFn
from slingshot_microservice import Microservice


def process(
    request: int,
    read_file: ReadFileFn,
    write_file: WriteFileFn,
    connection: Connection,
) -> Generator[tuple[int, bool | int | str], None, None]:
    reader = read_file("in", request)
    input_data = reader.read().decode()

    writer = write_file("out", request)
    writer.write(f"Hello {input_data}".encode())

    yield (request, True)


microservice = Microservice("simple-py-microservice", "sys-map.slingshot.cv", process)
microservice.start()
"""

WITH_ROWS = """\
from sqlalchemy import text
from slingshot_microservice import Microservice


def startup(read_file, write_file, connection):
    connection.execute(text("CREATE TABLE IF NOT EXISTS greetings (id NUMERIC PRIMARY KEY)"))
    return [(7, True)]


def process(request, read_file, write_file, connection):
    connection.execute(text("INSERT INTO greetings VALUES (:id)"), {"id": request})
    with write_file("out", request) as file:
        file.write(str(request))
    return [(request, True)]


Microservice("simple-py-microservice", "sys-map.slingshot.cv", startup, process).start()
"""


def test_the_seed_example_runs_word_for_word(world: World, tmp_path: Path) -> None:
    inbound, outbound = world.queue("in"), world.queue("out")
    world.describe("simple-py-microservice", inbound, [(True, [outbound])])
    ids = [0, 1, 42, 2**64 - 1]
    for id in ids:
        world.s3.put(world.bucket_in, id, f"wörld {id}".encode())
    world.rabbitmq.declare(inbound)
    world.rabbitmq.publish(inbound, [b"%d" % id for id in ids])

    with world.program(SEED.replace("sys-map.slingshot.cv", world.sys_map.url), tmp_path) as it:
        sent = world.rabbitmq.drain(outbound, len(ids))
        world.rabbitmq.wait_until_empty(inbound)

    assert sorted(map(int, sent)) == ids
    assert {id: world.s3.get(world.bucket_out, id) for id in ids} == {
        id: f"Hello wörld {id}".encode() for id in ids
    }
    assert it.process.exit_code == 0, it.log.read_text()


def test_files_rows_and_ids_of_startup_and_process_all_arrive(world: World, tmp_path: Path) -> None:
    inbound, outbound = world.queue("in"), world.queue("out")
    database = world.postgresql.fresh_database()
    world.describe(
        "simple-py-microservice", inbound, [(True, [outbound])], db={"database": database}
    )
    world.rabbitmq.declare(inbound)
    world.rabbitmq.publish(inbound, [b"0", b"18446744073709551615"])

    with world.program(
        WITH_ROWS.replace("sys-map.slingshot.cv", world.sys_map.url), tmp_path
    ) as it:
        sent = world.rabbitmq.drain(outbound, 3)
        world.rabbitmq.wait_until_empty(inbound)

    assert sent[0] == b"7", "what startup yields is sent before the first request is taken"
    with world.postgresql.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id FROM greetings ORDER BY id")
        assert [int(row[0]) for row in cursor.fetchall()] == [0, 2**64 - 1]
    assert world.s3.keys(world.bucket_out) == ["0", "18446744073709551615"]
    assert it.process.exit_code == 0, it.log.read_text()
