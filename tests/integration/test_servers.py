"""Each server is real: a message, a row, an object, a secret go in and come out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pika
import pika.exceptions
import psycopg2
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from pika.adapters.utils.connection_workflow import AMQPConnectorStackTimeout
from servers.pass_store import PasswordStore
from servers.ports import LOOPBACK, free_port, listens, wait_for
from servers.postgresql import PostgreSQLServer
from servers.processes import ServerUnavailableError
from servers.rabbitmq import RabbitMQNode
from servers.s3 import RcloneServer, S3Server


def test_rabbitmq_hands_out_what_was_published(
    rabbitmq: RabbitMQNode, queue_name: Callable[..., str]
) -> None:
    queue = queue_name()
    rabbitmq.declare(queue)
    rabbitmq.publish(queue, [b"1", b"2", b"3"])
    assert rabbitmq.depth(queue) == 3
    assert rabbitmq.drain(queue, 2) == [b"1", b"2"]
    assert rabbitmq.drain(queue, 1) == [b"3"]
    rabbitmq.wait_until_empty(queue)


def test_rabbitmq_drain_says_what_came_and_keeps_it(
    rabbitmq: RabbitMQNode, queue_name: Callable[..., str]
) -> None:
    queue = queue_name()
    rabbitmq.declare(queue)
    rabbitmq.publish(queue, [b"only"])
    with pytest.raises(AssertionError, match=r"1 of 2 .*only"):
        rabbitmq.drain(queue, 2, timeout=3.0)
    assert rabbitmq.drain(queue, 1) == [b"only"]


def test_rabbitmq_publish_notices_a_missing_queue(
    rabbitmq: RabbitMQNode, queue_name: Callable[..., str]
) -> None:
    with pytest.raises(AssertionError, match="no queue"):
        rabbitmq.publish(queue_name(), [b"lost"])


def test_rabbitmq_counts_unacknowledged_messages(
    rabbitmq: RabbitMQNode, queue_name: Callable[..., str]
) -> None:
    queue = queue_name()
    rabbitmq.declare(queue)
    rabbitmq.publish(queue, [b"1"])
    with rabbitmq.channel() as channel:
        channel.basic_get(queue)
        wait_for(lambda: rabbitmq.depth(queue) == 0, what="the message to be handed out")
        assert rabbitmq.unsettled(queue) == 1
        with pytest.raises(TimeoutError, match="the last ack"):
            rabbitmq.wait_until_empty(queue, timeout=1)


def test_rabbitmq_keeps_durable_messages_when_killed(
    rabbitmq: RabbitMQNode, queue_name: Callable[..., str]
) -> None:
    queue = queue_name()
    rabbitmq.declare(queue)
    rabbitmq.publish(queue, [b"durable"])
    rabbitmq.write_down()
    rabbitmq.kill()
    assert not rabbitmq.answers()
    rabbitmq.start()
    assert rabbitmq.drain(queue, 1) == [b"durable"]


def test_rabbitmq_refuses_a_wrong_password(rabbitmq: RabbitMQNode) -> None:
    wrong = pika.PlainCredentials(rabbitmq.username, "wrong")
    parameters = pika.ConnectionParameters(rabbitmq.host, rabbitmq.port, credentials=wrong)
    with pytest.raises(pika.exceptions.ProbableAuthenticationError):
        pika.BlockingConnection(parameters)


def test_rabbitmq_that_is_paused_answers_nobody(rabbitmq: RabbitMQNode) -> None:
    parameters = pika.URLParameters(rabbitmq.url)
    parameters.stack_timeout = 0.5
    rabbitmq.pause()
    try:
        assert listens(rabbitmq.host, rabbitmq.port), "the kernel takes connections for it"
        with pytest.raises(AMQPConnectorStackTimeout):
            pika.BlockingConnection(parameters)
    finally:
        rabbitmq.resume()
    wait_for(rabbitmq.answers, what="the node to go on")


def test_rabbitmq_logs_what_it_refuses(
    rabbitmq: RabbitMQNode, queue_name: Callable[..., str]
) -> None:
    queue = queue_name()
    with (
        pytest.raises(pika.exceptions.ChannelClosedByBroker),
        rabbitmq.channel() as channel,
    ):
        channel.queue_declare(queue, passive=True)
    wait_for(lambda: queue in rabbitmq.log, what="the refusal in the log")


def test_rabbitmq_of_someone_else_is_left_alone(rabbitmq: RabbitMQNode) -> None:
    with RabbitMQNode(rabbitmq.url) as other:
        assert other.answers()
        with pytest.raises(ServerUnavailableError, match="SLINGSHOT_TEST_AMQP_URL"):
            other.kill()
    assert rabbitmq.answers()


def test_postgresql_keeps_rows_when_killed(postgresql: PostgreSQLServer) -> None:
    database = postgresql.fresh_database()
    with postgresql.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE numbers AS SELECT 42 AS number")
    postgresql.kill()
    assert not postgresql.answers()
    postgresql.start()
    with postgresql.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT number FROM numbers")
        assert cursor.fetchall() == [(42,)]


def test_postgresql_checks_the_password(postgresql: PostgreSQLServer) -> None:
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(
            host=postgresql.host,
            port=postgresql.port,
            user=postgresql.username,
            password=postgresql.password[:-1],
            dbname=postgresql.database,
        )


def test_s3_returns_what_was_put(s3: S3Server) -> None:
    s3.create_bucket("numbers")
    s3.put("numbers", 18446744073709551615, b"\x00largest")
    s3.put("numbers", 0, b"")
    assert s3.get("numbers", 18446744073709551615) == b"\x00largest"
    assert s3.keys("numbers") == ["0", "18446744073709551615"]


def test_s3_has_no_object_that_was_not_put(s3: S3Server) -> None:
    s3.create_bucket("empty")
    with pytest.raises(ClientError, match="NoSuchKey"):
        s3.get("empty", 1)


def test_rclone_keeps_objects_over_a_stop() -> None:
    with RcloneServer() as server:
        server.create_bucket("kept")
        server.put("kept", 1, b"content")
        server.stop()
        with pytest.raises(EndpointConnectionError):
            server.get("kept", 1)
        server.start()
        assert server.get("kept", 1) == b"content"


def test_pass_shows_what_was_inserted(password_store: PasswordStore) -> None:
    password_store.insert("servers/mq", "p@ss w%rd é\nurl: mq1\n")
    assert password_store.show("servers/mq") == "p@ss w%rd é\nurl: mq1\n"


def test_a_server_ends_when_the_tests_are_killed(tmp_path: Path) -> None:
    port = free_port()
    script = f"""
import sys, time
from pathlib import Path
from servers.processes import ServerProcess
server = [sys.executable, "-m", "http.server", "--bind", "{LOOPBACK}", "{port}"]
ServerProcess(server, Path("log"))
Path("started").touch()
time.sleep(600)
"""
    environment = {"PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, env=environment) as tests:
        try:
            # Killed before, it would not have come to see to the server's end.
            wait_for((tmp_path / "started").exists, 60, "the script")
            wait_for(lambda: listens(LOOPBACK, port), 60, "the server")
        finally:
            tests.kill()
    wait_for(lambda: not listens(LOOPBACK, port), 60, "the end of the server")
