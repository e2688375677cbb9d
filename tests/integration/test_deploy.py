"""The deployment example at work: what its files say is run as they say it, on real servers.

Only addresses, ports and paths are others here than in a container. The users of RabbitMQ and
PostgreSQL are called what the example calls them, and may do what its README lets them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import boto3
import botocore.config
import pytest
from botocore.exceptions import ClientError
from deployment import (
    FOLDER,
    SERVICE,
    compose,
    container,
    manifest,
    pod,
    shell_commands,
    system_map,
)
from servers.command_line import PROGRAM
from servers.ports import LOOPBACK, free_port, listens, wait_for
from servers.postgresql import PostgreSQLServer
from servers.probes import live, probe, wait_until_ready
from servers.processes import ServerProcess
from servers.rabbitmq import RabbitMQNode
from servers.s3 import RcloneServer

PASSWORD = "p4ssword-of-words"
SECONDS = 60.0


class ComposeStore(RcloneServer):
    """The S3 store of the compose file: its command, on a copy of its folder."""

    def __init__(self, data: Path) -> None:
        super().__init__()
        self._data = data

    def _command(self) -> Sequence[str | Path]:
        address = {":9000": f"{LOOPBACK}:{self.port}", "/data": str(self._data)}
        words = [address.pop(word, word) for word in compose()["services"]["objects"]["command"]]
        assert not address, "the command is not what this test takes it for"
        return [self._program, "--config", self._folder / "none.conf", *words]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ComposeStore]:
    """The store with its objects; `monkeypatch` gives its process the variables."""
    shutil.copytree(FOLDER / "objects", tmp_path / "objects")
    keys = {"S3_ACCESS_KEY": ComposeStore.access_key, "S3_SECRET_KEY": ComposeStore.secret_key}
    for name, value in compose()["services"]["objects"]["environment"].items():
        monkeypatch.setenv(name, re.sub(r"\$\{(\w+):\?[^}]*\}", lambda it: keys[it[1]], value))
    with ComposeStore(tmp_path / "objects") as running:
        yield running


@pytest.fixture
def broker(rabbitmq: RabbitMQNode) -> Iterator[RabbitMQNode]:
    """RabbitMQ, with a user who may do what the README lets it."""
    described = system_map()
    (permissions,) = (words[1:] for words in shell_commands() if words[:1] == ["rabbitmqctl"])
    assert permissions[:2] == ["set_permissions", described.rabbitmq.username]
    rabbitmq.control("add_user", described.rabbitmq.username, PASSWORD)
    try:
        rabbitmq.control(*permissions)
        yield rabbitmq
    finally:
        rabbitmq.control("delete_user", described.rabbitmq.username)
        for queue in ("words-inbound", "words-short", "words-long"):
            rabbitmq.delete(queue)


@pytest.fixture
def database(postgresql: PostgreSQLServer) -> Iterator[str]:
    """A database of the user's, of the name that the map has."""
    described = system_map().postgresql
    name, user = described.database, described.username
    with postgresql.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {user} LOGIN PASSWORD %s", (PASSWORD,))
        cursor.execute(f"CREATE DATABASE {name} OWNER {user}")
        try:
            yield name
        finally:
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
            cursor.execute(f"DROP ROLE {user}")


class Stage:
    """The configuration service, the secrets and the service, each as the manifests have it."""

    def __init__(
        self, folder: Path, broker: RabbitMQNode, postgresql: PostgreSQLServer, store: ComposeStore
    ) -> None:
        self._folder = folder
        self._secrets = folder / "secrets"
        self._secrets.mkdir()
        described = system_map()
        secrets = {
            described.rabbitmq.password_entry: PASSWORD,
            described.postgresql.password_entry: PASSWORD,
            described.s3.access_key_entry: store.access_key,
            described.s3.secret_key_entry: store.secret_key,
        }
        assert secrets.keys() == manifest("Secret", SERVICE)["stringData"].keys()
        for name, secret in secrets.items():
            (self._secrets / name).write_text(secret)
        self._map = folder / "sys-map.toml"
        self._map.write_text(
            _replaced(
                (FOLDER / "sys-map.toml").read_text(),
                {
                    'host = "rabbitmq"': f'host = "{broker.host}"',
                    "port = 5672": f"port = {broker.port}",
                    'host = "postgresql"': f'host = "{postgresql.host}"',
                    "port = 5432": f"port = {postgresql.port}",
                    'host = "http://objects:9000"': f'host = "{store.endpoint}"',
                },
            )
        )
        self._map_port = free_port()

    def environment(self, health_port: int) -> Mapping[str, str]:
        """Return the variables of the service's container, with the addresses of this stage."""
        given = {entry["name"]: entry["value"] for entry in container(SERVICE)["env"]}
        here = {
            "SLINGSHOT_SYS_MAP": f"http://{LOOPBACK}:{self._map_port}",
            "SLINGSHOT_SECRETS_DIR": str(self._secrets),
            "SLINGSHOT_HEALTH_PORT": str(health_port),
        }
        assert here.keys() <= given.keys()
        return {**os.environ, **given, **here}

    @contextmanager
    def configuration_service(self) -> Iterator[None]:
        """Run it, and wait until its probe is answered."""
        it = container("sys-map")
        here = {
            "/etc/slingshot/sys-map.toml": str(self._map),
            "0.0.0.0": LOOPBACK,
            "8080": str(self._map_port),
        }
        arguments = [here.pop(word, word) for word in it["args"]]
        assert not here, "the command is not what this test takes it for"
        process = ServerProcess([*PROGRAM, *arguments], self._folder / "sys-map.log")
        process.wait_until(lambda: listens(LOOPBACK, self._map_port))
        try:
            path = it["readinessProbe"]["httpGet"]["path"]
            assert probe(self._map_port, path).status == 200
            yield
        finally:
            process.end(timeout=pod("sys-map")["terminationGracePeriodSeconds"])
        assert process.exit_code == 0, process.log_tail()

    def replica(self, health_port: int) -> ServerProcess:
        """Start one."""
        module = str(FOLDER / f"{SERVICE}.py")
        here = {f"{SERVICE}.py": module}
        arguments = [here.get(word, word) for word in container(SERVICE)["args"]]
        assert module in arguments
        log = self._folder / f"replica-{health_port}.log"
        return ServerProcess([*PROGRAM, *arguments], log, environment=self.environment(health_port))

    def run(self, *command: str) -> str:
        """Run a command as in the service's container, and return what it prints."""
        done = subprocess.run(
            command,
            env=self.environment(0),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout


@pytest.fixture
def stage(
    tmp_path: Path,
    broker: RabbitMQNode,
    postgresql: PostgreSQLServer,
    database: str,
    store: ComposeStore,
) -> Stage:
    return Stage(tmp_path, broker, postgresql, store)


def test_two_replicas_work_and_end_as_they_are_deployed(
    stage: Stage,
    broker: RabbitMQNode,
    postgresql: PostgreSQLServer,
    database: str,
    store: ComposeStore,
) -> None:
    ports = free_port(), free_port()
    with stage.configuration_service():
        # At the same time, because they make the same table.
        replicas = [stage.replica(port) for port in ports]
        try:
            for port in ports:
                wait_until_ready(port, SECONDS)
                assert live(port).status == 200
            wait_for(lambda: broker.consumers("words-inbound") == 2, what="two consumers")
            sent = stage.run(sys.executable, str(FOLDER / "send.py"), "1-2", "3")
            assert sent == "sent 3 ids to words\n"
            assert sorted(broker.drain("words-short", 2)) == [b"1", b"2"]
            assert broker.drain("words-long", 1) == [b"3"]
            broker.wait_until_empty("words-inbound")
            assert "no messages" in stage.run(*PROGRAM, "dead", "list", SERVICE)
        finally:
            for replica in replicas:
                replica.end(timeout=pod(SERVICE)["terminationGracePeriodSeconds"])
    for replica, port in zip(replicas, ports, strict=True):
        assert replica.exit_code == 0, replica.log_tail()
        assert not listens(LOOPBACK, port)
    assert json.loads(store.get("counts", 1))["the"] == 2
    with postgresql.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id, words, different FROM words ORDER BY id")
        rows = [tuple(map(int, row)) for row in cursor.fetchall()]
    assert rows == [(1, 9, 8), (2, 8, 8), (3, 120, 10)]


def test_the_store_has_the_texts_and_lets_nobody_in_without_its_key(store: ComposeStore) -> None:
    assert store.get("texts", 1).startswith(b"the quick brown fox")
    stranger = boto3.session.Session().client(
        "s3",
        endpoint_url=store.endpoint,
        region_name=store.region,
        aws_access_key_id=store.access_key,
        aws_secret_access_key="not the secret key",
        config=botocore.config.Config(s3={"addressing_style": "path"}),
    )
    try:
        with pytest.raises(ClientError, match=r"SignatureDoesNotMatch|403|Forbidden"):
            stranger.get_object(Bucket="texts", Key="1")
    finally:
        stranger.close()


def _replaced(text: str, replacements: Mapping[str, str]) -> str:
    """Replace each, which must be there once."""
    for old, new in replacements.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text
