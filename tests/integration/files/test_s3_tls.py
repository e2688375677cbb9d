"""S3 stores over TLS, which is how a configuration names them: whose certificates are trusted."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from servers.ports import LOOPBACK, free_port, listens
from servers.processes import ServerProcess
from servers.s3 import RcloneServer
from stores import StoreClass

from slingshot_microservice.errors import StorageUnavailableError

DAY = datetime.timedelta(days=1)


def certificate(
    name: str, issuer: str, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    names = [
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)]) for common in (name, issuer)
    ]
    now = datetime.datetime.now(datetime.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(names[0])
        .issuer_name(names[1])
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .add_extension(x509.BasicConstraints(ca=name == issuer, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOOPBACK))]),
            critical=False,
        )
        .sign(signer, hashes.SHA256())
    )


def pem(one: x509.Certificate) -> bytes:
    return one.public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate authority, and a server's certificate and key."""
    folder = tmp_path_factory.mktemp("authority")
    root, leaf = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    (folder / "ca.pem").write_bytes(pem(certificate("authority", "authority", root, root)))
    (folder / "server.pem").write_bytes(pem(certificate("server", "authority", leaf, root)))
    (folder / "server.key").write_bytes(
        leaf.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return folder


@pytest.fixture
def endpoint(rclone_s3: RcloneServer, authority: Path, tmp_path: Path) -> Iterator[str]:
    (tmp_path / "data" / "texts").mkdir(parents=True)
    port = free_port()
    command = rclone_s3.command(port, tmp_path / "data")
    tls: list[str | Path] = ["--cert", authority / "server.pem", "--key", authority / "server.key"]
    server = ServerProcess([*command, *tls], tmp_path / "server.log")
    server.wait_until(lambda: listens(LOOPBACK, port))
    yield f"https://{LOOPBACK}:{port}"
    server.kill()


def test_an_authority_that_the_environment_names_is_trusted(
    rclone_s3: RcloneServer,
    store_class: StoreClass,
    endpoint: str,
    authority: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority / "ca.pem"))
    store = store_class(endpoint, rclone_s3.access_key, rclone_s3.secret_key, memory_limit=1000)
    (tmp_path / "file").write_bytes(b"content")
    store.upload("texts", 7, tmp_path / "file")
    with store.read("texts", 7) as file:
        assert file.read() == b"content"
    store.check("texts")
    store.close()


def test_nobody_is_trusted_without_a_reason(
    rclone_s3: RcloneServer, store_class: StoreClass, endpoint: str
) -> None:
    store = store_class(endpoint, rclone_s3.access_key, rclone_s3.secret_key, memory_limit=1000)
    with pytest.raises(StorageUnavailableError, match=r"(?i)certificate"):
        store.read("texts", 7)
    store.close()
