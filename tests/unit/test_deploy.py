"""The deployment example: valid as far as can be without a cluster, and at one with the package.

Schemas: Compose's comes with check-jsonschema, Kubernetes' with kubernetes-validate, and KEDA's as
models with cloudcoil-models-keda. That the files agree with each other, with the command line and
with what the code reads is checked here.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from collections.abc import Iterator
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import kubernetes_validate
import pytest
from cloudcoil.models.keda.v1alpha1 import ScaledObject, TriggerAuthentication
from deployment import (
    FOLDER,
    SERVICE,
    Process,
    compose,
    compose_processes,
    container,
    dockerfile,
    kubernetes_processes,
    manifest,
    manifests,
    pod,
    seconds,
    shell_commands,
    system_map,
)

from slingshot_microservice import Options, __version__, cli
from slingshot_microservice.cli.loading import load_services
from slingshot_microservice.cli.program import PROGRAM
from slingshot_microservice.observe.health import LIVE_PATH, READY_PATH

KUBERNETES_VERSION = "1.32"
KEDA = {"ScaledObject": ScaledObject, "TriggerAuthentication": TriggerAuthentication}
PROCESSES = [*compose_processes(), *kubernetes_processes()]
WORKERS = [process for process in PROCESSES if process.arguments[0] == "run"]
SERVERS = [process for process in PROCESSES if process.arguments[0] == "serve-map"]
# What the code reads besides the options.
OTHER_VARIABLES = {"SLINGSHOT_SYS_MAP", "SLINGSHOT_SECRETS_DIR", "SLINGSHOT_LOG_LEVEL"}
AMQP_PORT = 5672
POSTGRESQL_PORT = 5432
APPLIED_BY_HAND = {"kustomization.yaml", "secret.yaml", "keda.yaml"}


def name_of(value: object) -> str | None:
    return value.where if isinstance(value, Process) else None


def parse(arguments: tuple[str, ...]) -> Any:
    """Parse a command line as the program does; it raises where the program would complain."""
    return cli._parser().parse_args(arguments)


# Schemas.


def check_compose(content: object) -> None:
    package = resources.files("check_jsonschema")
    schema = package / "builtin_schemas" / "vendor" / "compose-spec.json"
    jsonschema.validate(content, json.loads(schema.read_text(encoding="utf-8")))


def check_manifest(document: dict[str, Any]) -> None:
    """Check a document of the manifests; the kustomization is no object of a cluster."""
    group = document["apiVersion"].partition("/")[0]
    if group == "keda.sh":
        model = KEDA[document["kind"]].model_validate(document)
        # What a model does not know it drops, so what comes back must be what went in.
        assert model.model_dump(mode="json", by_alias=True, exclude_unset=True) == document
    elif group == "kustomize.config.k8s.io":
        assert set(document) == {"apiVersion", "kind", "resources", "images"}
    else:
        kubernetes_validate.validate(document, KUBERNETES_VERSION, strict=True)


def test_the_compose_file_is_valid() -> None:
    check_compose(compose())


@pytest.mark.parametrize(
    ("file", "document"),
    manifests(),
    ids=[f"{file}-{document['kind']}" for file, document in manifests()],
)
def test_a_manifest_is_valid(file: str, document: dict[str, Any]) -> None:
    check_manifest(document)


def mistakes(content: Any) -> Iterator[Any]:
    """Yield copies of a document, each with one more field than there is, at every level."""
    for path in tables(content):
        wrong = copy.deepcopy(content)
        inner = wrong
        for step in path:
            inner = inner[step]
        inner["replicaz"] = {}
        yield wrong


def tables(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the paths of the tables whose fields are the schema's and not the user's."""
    free = {"metadata", "matchLabels", "labels", "data", "stringData", "environment", "requests"}
    if isinstance(content, dict):
        if not path or (path[-1] not in free | {"limits"} and "metadata" not in path):
            yield path
        for key, value in content.items():
            yield from tables(value, (*path, key))
    elif isinstance(content, list):
        for index, value in enumerate(content):
            yield from tables(value, (*path, index))


@pytest.mark.parametrize(("kind", "name"), [("Deployment", SERVICE), ("ScaledObject", SERVICE)])
def test_a_field_that_there_is_not_would_be_found(kind: str, name: str) -> None:
    wrong = list(mistakes(manifest(kind, name)))
    assert len(wrong) > 5
    for document in wrong:
        with pytest.raises((AssertionError, jsonschema.ValidationError)):
            check_manifest(document)


def test_a_field_that_there_is_not_in_the_compose_file_would_be_found() -> None:
    content = compose()
    content["services"][SERVICE]["stop_grace_periode"] = "30s"
    with pytest.raises(jsonschema.ValidationError, match="stop_grace_periode"):
        check_compose(content)


# Commands and variables.


def test_there_are_two_of_each_process() -> None:
    assert len(WORKERS) == len(SERVERS) == 2
    assert len(PROCESSES) == 4
    assert len({process.arguments for process in WORKERS}) == 1
    assert len({process.arguments for process in SERVERS}) == 1


@pytest.mark.parametrize("process", PROCESSES, ids=name_of)
def test_a_command_is_one_that_the_program_takes(process: Process) -> None:
    parse(process.arguments)


@pytest.mark.parametrize("process", PROCESSES, ids=name_of)
def test_a_variable_is_one_that_the_code_reads(process: Process) -> None:
    options = {f"SLINGSHOT_{field.name.upper()}" for field in dataclasses.fields(Options)}
    ours = {name for name in process.environment if name.startswith("SLINGSHOT_")}
    assert ours <= options | OTHER_VARIABLES
    assert all(isinstance(value, str) for value in process.environment.values())
    Options.gather({}, process.environment)


def test_the_image_begins_what_the_service_is() -> None:
    instructions = dict(dockerfile())
    assert json.loads(instructions["ENTRYPOINT"]) == ["slingshot-microservice"]
    command = json.loads(instructions["CMD"])
    assert command == ["run", f"{SERVICE}.py"]
    assert all(list(process.arguments[:2]) == command for process in WORKERS)


def test_the_commands_of_the_readme_are_there() -> None:
    commands = shell_commands()
    ours = [words[words.index(PROGRAM) + 1 :] for words in commands if PROGRAM in words]
    assert len(ours) >= 4
    for arguments in ours:
        parse(tuple(arguments))
    sent = [words[words.index("send.py") + 1 :] for words in commands if "send.py" in words]
    assert sent
    for words in commands:
        for option in ("--filename", "--kustomize"):
            if option in words:
                path = words[words.index(option) + 1].replace(".local.yaml", ".yaml")
                assert (FOLDER / path).exists(), path


def test_the_readme_leads_to_files() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (FOLDER / target).exists(), target


def test_the_readme_makes_every_variable_of_the_compose_file() -> None:
    text = (FOLDER / "compose.yaml").read_text(encoding="utf-8")
    needed = set(re.findall(r"\$\{(\w+):\?", text))
    needed |= {secret["environment"] for secret in compose()["secrets"].values()}
    (made,) = ({*words[3:]} for words in shell_commands() if words[0] == "for")
    assert made - {"do"} == needed
    assert not re.search(r"\$\{\w+\}|\$\w", text), "a variable that may be missing in silence"


def test_the_service_is_the_one_of_the_map() -> None:
    (service,) = load_services([str(FOLDER / f"{SERVICE}.py")])
    assert service.name == SERVICE
    assert system_map().inbound


# Ports, paths and probes.


@pytest.mark.parametrize("process", WORKERS, ids=name_of)
def test_the_configuration_service_is_asked_where_it_listens(process: Process) -> None:
    url = urlsplit(process.environment["SLINGSHOT_SYS_MAP"])
    assert url.scheme == "http"
    assert url.hostname in compose()["services"]
    (entry,) = manifest("Service", str(url.hostname))["spec"]["ports"]
    assert entry["port"] == url.port
    (port,) = container("sys-map")["ports"]
    assert entry["targetPort"] == port["name"]
    for server in SERVERS:
        arguments = parse(server.arguments)
        assert arguments.port == url.port == port["containerPort"]
        assert arguments.host == "0.0.0.0"


def test_the_map_is_mounted_where_it_is_read() -> None:
    (path,) = {str(parse(server.arguments).file) for server in SERVERS}
    folder, _, file = path.rpartition("/")
    (mount,) = container("sys-map")["volumeMounts"]
    (volume,) = pod("sys-map")["volumes"]
    assert (mount["name"], mount["mountPath"]) == (volume["name"], folder)
    assert list(manifest("ConfigMap", volume["configMap"]["name"])["data"]) == [file]
    assert f"./sys-map.toml:{path}:ro" in compose()["services"]["sys-map"]["volumes"]


def test_the_config_map_is_the_file() -> None:
    copied = manifest("ConfigMap", "sys-map")["data"]["sys-map.toml"]
    assert copied == (FOLDER / "sys-map.toml").read_text(encoding="utf-8")


def test_probes_ask_for_what_is_answered_where_it_is() -> None:
    it = container(SERVICE)
    (port,) = it["ports"]
    variables = {entry["name"]: entry["value"] for entry in it["env"]}
    assert variables["SLINGSHOT_HEALTH_PORT"] == str(port["containerPort"])
    asked = {name: it[name]["httpGet"] for name in it if name.endswith("Probe")}
    assert asked == {
        "startupProbe": {"path": LIVE_PATH, "port": port["name"]},
        "readinessProbe": {"path": READY_PATH, "port": port["name"]},
        "livenessProbe": {"path": LIVE_PATH, "port": port["name"]},
    }


def test_the_configuration_service_is_probed_for_what_it_has() -> None:
    it = container("sys-map")
    asked = {it[name]["httpGet"]["path"] for name in it if name.endswith("Probe")}
    assert asked == {f"/{SERVICE}"}


@pytest.mark.parametrize(
    ("service", "path", "variable"),
    [(SERVICE, READY_PATH, "SLINGSHOT_HEALTH_PORT"), ("sys-map", f"/{SERVICE}", None)],
)
def test_compose_asks_for_what_is_answered(service: str, path: str, variable: str | None) -> None:
    it = compose()["services"][service]
    *interpreter, program = it["healthcheck"]["test"]
    assert interpreter == ["CMD", "python", "-c"]
    compile(program, "healthcheck", "exec")
    (asked,) = re.findall(r"http://[^\"]+", program)
    url = urlsplit(asked)
    port = it["environment"][variable] if variable else parse(tuple(it["command"])).port
    assert (url.hostname, str(url.port), url.path) == ("127.0.0.1", str(port), path)


def test_the_image_names_its_ports() -> None:
    ports = {container(name)["ports"][0]["containerPort"] for name in ("sys-map", SERVICE)}
    exposed = dict(dockerfile())["EXPOSE"]
    assert {int(port) for port in exposed.split()} == ports


def test_servers_are_named_alike_everywhere() -> None:
    described = system_map()
    (broker,) = described.rabbitmq.hosts
    hosts = {broker, described.postgresql.host, str(urlsplit(described.s3.endpoint).hostname)}
    services = compose()["services"]
    assert hosts == set(services) - {SERVICE, "sys-map"}
    aliases = [doc for file, doc in manifests() if file == "servers.yaml"]
    assert {alias["metadata"]["name"] for alias in aliases} == hosts
    assert all(alias["spec"]["type"] == "ExternalName" for alias in aliases)
    assert (described.rabbitmq.port, described.postgresql.port) == (AMQP_PORT, POSTGRESQL_PORT)
    assert f":{urlsplit(described.s3.endpoint).port}" in services["objects"]["command"]
    assert services["rabbitmq"]["environment"]["RABBITMQ_DEFAULT_USER"] == (
        described.rabbitmq.username
    )
    variables = services["postgresql"]["environment"]
    assert (variables["POSTGRES_USER"], variables["POSTGRES_DB"]) == (
        described.postgresql.username,
        described.postgresql.database,
    )
    assert {"--username", described.postgresql.username, described.postgresql.database} <= {
        *services["postgresql"]["healthcheck"]["test"]
    }


def test_everything_in_compose_is_waited_for_and_can_be() -> None:
    services = compose()["services"]
    waits = services[SERVICE]["depends_on"]
    assert set(waits) == set(services) - {SERVICE}
    assert all(wait == {"condition": "service_healthy"} for wait in waits.values())
    assert all("healthcheck" in service for service in services.values())


# Ends.


def test_the_grace_period_is_longer_than_the_drain() -> None:
    for process in WORKERS:
        drain = Options.gather({}, process.environment).drain_timeout
        assert drain < pod(SERVICE)["terminationGracePeriodSeconds"]
        assert drain < seconds(compose()["services"][SERVICE]["stop_grace_period"])


def test_there_are_two_replicas() -> None:
    assert compose()["services"][SERVICE]["deploy"]["replicas"] == 2
    assert "replicas" not in manifest("Deployment", SERVICE)["spec"], "KEDA would be undone"


# Secrets.


def test_secrets_are_called_what_the_map_calls_them() -> None:
    names = system_map().secrets
    assert set(compose()["services"][SERVICE]["secrets"]) == set(compose()["secrets"]) == names
    assert set(manifest("Secret", SERVICE)["stringData"]) == names


def test_secrets_are_mounted_where_they_are_read() -> None:
    directories = {
        process.where.partition(":")[0]: process.environment["SLINGSHOT_SECRETS_DIR"]
        for process in WORKERS
    }
    assert directories["compose.yaml"] == "/run/secrets"  # where Compose puts them
    mounts = {mount["name"]: mount["mountPath"] for mount in container(SERVICE)["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod(SERVICE)["volumes"]}
    assert mounts["secrets"] == directories["words.yaml"]
    # Readable for the group that the pod's files are given to.
    assert volumes["secrets"]["secret"] == {
        "secretName": manifest("Secret", SERVICE)["metadata"]["name"],
        "defaultMode": 0o440,
    }
    context = pod(SERVICE)["securityContext"]
    assert context["fsGroup"] == context["runAsGroup"]


def test_no_secret_is_in_a_file() -> None:
    placeholders = manifest("Secret", SERVICE)["stringData"].values()
    assert all(re.fullmatch(r"<the .+ of .+>", text) for text in placeholders)
    for service in compose()["services"].values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASS|KEY|SECRET", name):
                assert re.search(r"\$\{\w+:\?", value) or value.startswith("/run/secrets"), name
    ignored = (FOLDER / ".gitignore").read_text(encoding="utf-8").split()
    assert {"/.env", "/kubernetes/secret.local.yaml"} <= set(ignored)


# Scaling.


def test_keda_scales_the_service_by_its_queue() -> None:
    scaled = manifest("ScaledObject", SERVICE)["spec"]
    assert scaled["scaleTargetRef"] == {"name": manifest("Deployment", SERVICE)["metadata"]["name"]}
    assert scaled["minReplicaCount"] < scaled["maxReplicaCount"]
    (trigger,) = scaled["triggers"]
    metadata = trigger["metadata"]
    assert trigger["type"] == "rabbitmq"
    assert set(metadata) == {"host", "protocol", "mode", "queueName", "value"}
    assert (metadata["protocol"], metadata["mode"]) == ("amqp", "QueueLength")
    assert metadata["queueName"] == system_map().inbound
    assert int(metadata["value"]) > 0


def test_keda_logs_in_as_the_service_does() -> None:
    described = system_map()
    (trigger,) = manifest("ScaledObject", SERVICE)["spec"]["triggers"]
    url = urlsplit(trigger["metadata"]["host"])
    (host,) = described.rabbitmq.hosts
    namespace = manifest("Namespace", SERVICE)["metadata"]["name"]
    assert (url.scheme, url.port, url.path) == ("amqp", described.rabbitmq.port, "/")
    assert url.hostname == f"{host}.{namespace}.svc.cluster.local"
    assert url.username is url.password is None
    name = trigger["authenticationRef"]["name"]
    login = manifest("TriggerAuthentication", name)["spec"]
    assert login["secretTargetRef"] == [
        {"parameter": "password", "name": SERVICE, "key": described.rabbitmq.password_entry}
    ]
    (user,) = login["configMapTargetRef"]
    assert user["parameter"] == "username"
    assert manifest("ConfigMap", user["name"])["data"] == {user["key"]: described.rabbitmq.username}


# The cluster.


def test_everything_is_in_one_namespace() -> None:
    namespace = manifest("Namespace", SERVICE)["metadata"]["name"]
    for file, document in manifests():
        if document["kind"] not in ("Namespace", "Kustomization"):
            assert document["metadata"]["namespace"] == namespace, file


def test_what_selects_pods_selects_these() -> None:
    for name in ("sys-map", SERVICE):
        deployment = manifest("Deployment", name)["spec"]
        labels = deployment["template"]["metadata"]["labels"]
        assert deployment["selector"]["matchLabels"] == labels
    assert (
        manifest("Service", "sys-map")["spec"]["selector"]
        == (manifest("Deployment", "sys-map")["spec"]["template"]["metadata"]["labels"])
    )
    labels = manifest("Deployment", SERVICE)["spec"]["template"]["metadata"]["labels"]
    (spread,) = pod(SERVICE)["topologySpreadConstraints"]
    budget = manifest("PodDisruptionBudget", SERVICE)["spec"]
    assert spread["labelSelector"] == budget["selector"] == {"matchLabels": labels}


def test_the_kustomization_has_every_file_but_those_that_are_applied_by_hand() -> None:
    (content,) = (doc for _, doc in manifests() if doc["kind"] == "Kustomization")
    assert set(content["resources"]) == {file for file, _ in manifests()} - APPLIED_BY_HAND
    (image,) = content["images"]
    assert image["name"] == container(SERVICE)["image"] == container("sys-map")["image"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", image["newTag"])


@pytest.mark.parametrize("name", ["sys-map", SERVICE])
def test_a_pod_may_do_nothing_that_it_need_not(name: str) -> None:
    outer, inner = pod(name)["securityContext"], container(name)["securityContext"]
    user, _, group = dict(dockerfile())["USER"].partition(":")
    assert (outer["runAsUser"], outer["runAsGroup"]) == (int(user), int(group))
    assert outer["runAsNonRoot"]
    assert outer["seccompProfile"] == {"type": "RuntimeDefault"}
    assert inner == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod(name)["automountServiceAccountToken"] is False
    # Or a Service that is called slingshot-… would set variables of ours.
    assert pod(name)["enableServiceLinks"] is False
    assert "memory" in container(name)["resources"]["limits"]


def test_files_of_requests_have_a_place_on_a_read_only_root() -> None:
    mounts = {mount["mountPath"]: mount for mount in container(SERVICE)["volumeMounts"]}
    (volume,) = (v for v in pod(SERVICE)["volumes"] if v["name"] == mounts["/tmp"]["name"])
    assert "emptyDir" in volume
    assert not mounts["/tmp"].get("readOnly")


# The images.


def test_images_have_versions() -> None:
    images = [service["image"] for service in compose()["services"].values()]
    images += [rest for instruction, rest in dockerfile() if instruction == "FROM"]
    for image in images:
        assert re.fullmatch(r"[\w./-]+:\d+\.?[\w.-]*", image), image


def test_the_image_is_not_roots_and_hears_signals() -> None:
    instructions = dockerfile()
    names = [instruction for instruction, _ in instructions]
    assert set(names) <= {
        *("FROM", "ENV", "RUN", "WORKDIR", "COPY", "USER", "EXPOSE", "STOPSIGNAL"),
        *("ENTRYPOINT", "CMD"),
    }
    assert names[0] == "FROM"
    users = [rest for instruction, rest in instructions if instruction == "USER"]
    assert [re.fullmatch(r"(\d+):(\d+)", user) is not None for user in users] == [True]
    assert not users[0].startswith("0:")
    assert "RUN" not in names[names.index("USER") :]
    assert dict(instructions)["STOPSIGNAL"] == "SIGTERM"
    for name in ("ENTRYPOINT", "CMD"):  # a list: a shell would keep signals to itself
        assert names.count(name) == 1
        assert isinstance(json.loads(dict(instructions)[name]), list)


def test_what_is_copied_into_the_image_is_there_and_not_ignored() -> None:
    ignored = (FOLDER / ".dockerignore").read_text(encoding="utf-8").split()
    assert ignored[0] == "*"
    allowed = {line.removeprefix("!") for line in ignored[1:]}
    assert all(line.startswith("!") for line in ignored[1:])
    copied = [rest.split()[:-1] for name, rest in dockerfile() if name == "COPY"]
    for source in (source for sources in copied for source in sources):
        assert any(source == pattern or source.endswith(pattern.lstrip("*")) for pattern in allowed)
        assert source == "*.whl" or (FOLDER / source).is_file(), source
    assert {f"{SERVICE}.py", "send.py"} <= {name for sources in copied for name in sources}


def test_the_image_has_this_package_on_a_python_that_it_is_tested_with() -> None:
    (line,) = (FOLDER / "requirements.txt").read_text(encoding="utf-8").splitlines()
    found = re.fullmatch(r"slingshot-microservice>=(\d+)\.(\d+),<(\d+)\.(\d+)", line)
    assert found
    major, minor = (int(part) for part in __version__.split(".")[:2])
    low, high = (int(found[1]), int(found[2])), (int(found[3]), int(found[4]))
    assert low <= (major, minor) < high
    (python,) = re.findall(r"^python:(3\.\d+)-slim", dict(dockerfile())["FROM"])
    project = (FOLDER.parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    assert f"Programming Language :: Python :: {python}" in project
