"""The files of ``examples/deploy``, read: what the tests of them hold against each other."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from slingshot_microservice.sysmap.file import FileSystemMap
from slingshot_microservice.sysmap.models import PostgreSQLSettings, RabbitMQSettings, S3Settings

__all__ = [
    "COMPOSE",
    "FOLDER",
    "SERVICE",
    "Described",
    "Process",
    "compose",
    "compose_processes",
    "container",
    "dockerfile",
    "kubernetes_processes",
    "manifest",
    "manifests",
    "pod",
    "seconds",
    "shell_commands",
    "system_map",
]

FOLDER = Path(__file__).parents[1] / "examples" / "deploy"
COMPOSE = FOLDER / "compose.yaml"
SERVICE = "words"

YAML: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Process:
    """A container of our own image, in whichever file.

    Attributes:
        where: Which one, for people.
        arguments: What follows ``slingshot-microservice``.
        environment: Its variables.
    """

    where: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Described:
    """What ``sys-map.toml`` says, with the kinds of servers that it must name."""

    inbound: str
    rabbitmq: RabbitMQSettings
    postgresql: PostgreSQLSettings
    s3: S3Settings

    @property
    def secrets(self) -> set[str]:
        """The names of all secrets."""
        return {
            self.rabbitmq.password_entry,
            self.postgresql.password_entry,
            self.s3.access_key_entry,
            self.s3.secret_key_entry,
        }


def system_map() -> Described:
    """Return what the configuration service will say."""
    file = FileSystemMap(FOLDER / "sys-map.toml")
    rabbitmq, postgresql, s3 = file.broker(), file.database(), file.storage()
    assert isinstance(rabbitmq, RabbitMQSettings)
    assert isinstance(postgresql, PostgreSQLSettings)
    assert isinstance(s3, S3Settings)
    return Described(file.service(SERVICE).inbound, rabbitmq, postgresql, s3)


def compose() -> YAML:
    """Return the compose file."""
    content: YAML = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    return content


def manifests() -> list[tuple[str, YAML]]:
    """Return every document of every manifest, with the name of its file."""
    return [
        (path.name, document)
        for path in sorted((FOLDER / "kubernetes").glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]


def manifest(kind: str, name: str) -> YAML:
    """Return the only document of this kind and name."""
    (found,) = (
        document
        for _, document in manifests()
        if document["kind"] == kind and document.get("metadata", {}).get("name") == name
    )
    return found


def pod(name: str) -> YAML:
    """Return the specification of a Deployment's pods."""
    specification: YAML = manifest("Deployment", name)["spec"]["template"]["spec"]
    return specification


def container(name: str) -> YAML:
    """Return the only container of a Deployment's pods."""
    (only,) = pod(name)["containers"]
    found: YAML = only
    return found


def compose_processes() -> Iterator[Process]:
    """Yield the containers of our image in the compose file."""
    for name, service in compose()["services"].items():
        if "build" in service:
            environment = service.get("environment", {})
            yield Process(f"compose.yaml: {name}", tuple(service["command"]), environment)


def kubernetes_processes() -> Iterator[Process]:
    """Yield the containers of our image in the manifests."""
    for file, document in manifests():
        if document["kind"] == "Deployment":
            name = document["metadata"]["name"]
            it = container(name)
            environment = {entry["name"]: entry["value"] for entry in it.get("env", ())}
            yield Process(f"{file}: {name}", tuple(it["args"]), environment)


def dockerfile() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile, each with what follows it on its lines."""
    text = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
    lines = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
    joined = lines.replace("\\\n", " ")
    pairs = (line.split(maxsplit=1) for line in joined.splitlines() if line.strip())
    return [(instruction, " ".join(rest.split())) for instruction, rest in pairs]


def shell_commands() -> list[list[str]]:
    """Return the commands that the README has people enter, each as a list of its words."""
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    inline = re.findall(r"`(rabbitmqctl [^`]+)`", text)
    lines = [line for block in blocks for line in block.splitlines()] + inline
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def seconds(duration: str) -> float:
    """Read a duration of the compose file, which has no other unit than seconds."""
    found = re.fullmatch(r"(\d+)s", duration)
    assert found, f"{duration} is no number of seconds"
    return float(found[1])
