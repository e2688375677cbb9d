"""The benchmark's own programs still do their work, so that it can be run when it is needed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from servers.ports import wait_for
from servers.postgresql import PostgreSQLServer
from servers.rabbitmq import RabbitMQNode
from servers.s3 import S3Server

from slingshot_microservice.cli.bench_operations import twins

_ROOT = Path(__file__).resolve().parents[2]
_COUNT = 500
_ROWS = 50
_WAYS_WITH_ROWS = ("psycopg2", "sqlalchemy", "sqlalchemy-pool", "session", "service")


def _run(*arguments: str, told: str = "", **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=_ROOT,
        input=told,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=True,
        timeout=60,
    )
    return result.stdout


@pytest.mark.parametrize("module", ["slingshot", "pika_blocking"])
def test_a_contestant_relays_every_id(
    module: str, rabbitmq: RabbitMQNode, queue_name: Callable[[str], str]
) -> None:
    inbound, one, two = queue_name("in"), queue_name("one"), queue_name("two")
    for queue in (inbound, one, two):
        rabbitmq.declare(queue)
    ids = [b"%d" % id for id in range(_COUNT)]
    rabbitmq.publish(inbound, ids)

    output = _run(
        f"bench.contestants.{module}",
        *(inbound, str(_COUNT), "100", one, two),
        SLINGSHOT_BENCH_AMQP_URL=rabbitmq.url,
    )

    figures = json.loads(output.splitlines()[-1])
    assert figures["messages"] == _COUNT
    assert figures["seconds"] > 0
    assert figures["cpu_user"] + figures["cpu_sys"] > 0
    assert figures["peak_rss"] > 1_000_000
    assert sorted(rabbitmq.drain(one, _COUNT)) == sorted(ids)
    assert sorted(rabbitmq.drain(two, _COUNT)) == sorted(ids)
    wait_for(lambda: rabbitmq.depth(inbound) == 0, what="inputs to be acknowledged")


@pytest.mark.parametrize("way", [*_WAYS_WITH_ROWS, "service-untouched"])
def test_a_row_is_read_and_one_written_for_every_id(way: str, postgresql: PostgreSQLServer) -> None:
    database = postgresql.fresh_database()
    password = quote(postgresql.password, safe="")
    place = f"{postgresql.host}:{postgresql.port}/{database}"
    with postgresql.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT)")
        cursor.execute("INSERT INTO people SELECT n, 'no ' || n FROM generate_series(0, 999) n")
        cursor.execute("CREATE TABLE visits (id BIGINT, name TEXT)")

        output = _run(
            "bench.contestants.rows",
            *(way, str(_ROWS)),
            SLINGSHOT_BENCH_DATABASE_URL=f"postgresql://{postgresql.username}:{password}@{place}",
        )

        cursor.execute("SELECT count(*) FROM visits WHERE name = 'no ' || id % 1000")
        ((rows,),) = cursor.fetchall()
    figures = json.loads(output.splitlines()[-1])
    assert figures["messages"] == _ROWS
    assert figures["cpu_user"] + figures["cpu_sys"] > 0
    assert rows >= _ROWS if way in _WAYS_WITH_ROWS else rows == 0


def test_one_id_at_a_time_is_timed(
    rabbitmq: RabbitMQNode, queue_name: Callable[[str], str]
) -> None:
    queues = [queue_name("one"), queue_name("two")]
    for queue in queues:
        rabbitmq.declare(queue)
    task = {"pairs": [[queue, queue] for queue in queues], "pause": 0, "trial": 2}
    task |= {"rounds": 3, "ids": 4}

    output = _run(
        "bench.prober", told=json.dumps(task) + "\n", SLINGSHOT_BENCH_AMQP_URL=rabbitmq.url
    )

    blocks = json.loads(output)
    assert [[len(block) for block in of_one] for of_one in blocks] == [[4, 4, 4]] * 2
    assert all(0 < seconds < 10 for of_one in blocks for block in of_one for seconds in block)


def test_a_service_without_work_is_looked_at(
    rabbitmq: RabbitMQNode, queue_name: Callable[[str], str]
) -> None:
    inbound, outbound = queue_name("in"), queue_name("out")
    for queue in (inbound, outbound):
        rabbitmq.declare(queue)
    rabbitmq.publish(inbound, [b"7"])

    output = _run(
        "bench.contestants.slingshot_idle",
        *(inbound, "1", "100", outbound),
        SLINGSHOT_BENCH_AMQP_URL=rabbitmq.url,
        SLINGSHOT_BENCH_IDLE_SECONDS="0.5",
    )

    figures = json.loads(output.splitlines()[-1])
    assert figures["seconds"] >= 0.5
    assert figures["cpu_user"] + figures["cpu_sys"] < figures["seconds"]
    assert rabbitmq.drain(outbound, 1) == [b"7"]


@pytest.mark.parametrize("size", [1024, 9 * 1024 * 1024])
@pytest.mark.parametrize("client", ["ours, obstore", "obstore", "ours, boto3", "boto3"])
def test_a_client_copies_every_object(rclone_s3: S3Server, client: str, size: int) -> None:
    inbound, outbound = (f"{stem}-{uuid.uuid4().hex[:12]}" for stem in ("in", "out"))
    for bucket in (inbound, outbound):
        rclone_s3.create_bucket(bucket)
    for id in range(4):
        rclone_s3.put(inbound, id, b"%d" % id * size)

    output = _run(
        "bench.contestants.objects",
        *(client, inbound, outbound, "3", str(size), "2"),
        SLINGSHOT_BENCH_S3_ENDPOINT=rclone_s3.endpoint,
        SLINGSHOT_BENCH_S3_ACCESS_KEY=rclone_s3.access_key,
        SLINGSHOT_BENCH_S3_SECRET_KEY=rclone_s3.secret_key,
    )

    figures = json.loads(output.splitlines()[-1])
    assert figures["seconds"] > 0
    assert figures["cpu_user"] + figures["cpu_sys"] > 0
    assert figures["peak_rss"] >= figures["resident"]["0"] > 1_000_000
    for id in range(4):
        assert rclone_s3.get(outbound, id) == b"%d" % id * size


def test_operations_are_compared_with_pika() -> None:
    lines = _run("bench", "operations", "--quick").splitlines()
    header = next(line.split() for line in lines if line.split()[:1] == ["operation"])
    assert header[1:].index("pika") == len(twins())
    for operation in ("read frames", "build publishes"):
        row = next(line for line in lines if line.strip().startswith(operation))
        assert len(re.findall(r" [0-9]+(?= )", row)) == len(twins()) + 1
    assert lines[-1] == "Nothing was kept."


def test_a_client_that_there_is_not_is_said_before_anything_starts() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "bench", "relay", "--clients", "ours", "kafka"],
        cwd=_ROOT,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert result.returncode == 2
    assert 'no client is called like "kafka"; there are C, rabbitmq-c; ours, ' in result.stderr
    assert not result.stdout
