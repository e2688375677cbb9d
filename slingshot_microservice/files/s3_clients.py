"""Which client talks to S3: obstore where it is installed, boto3 otherwise.

What one object of 1 KiB read and one written cost the client, and ids a second with 8 threads, on
two shared cores with the store beside it (medians of 5 interleaved rounds; on a quicker machine
boto3 takes 2.2 ms, and all the others less in proportion):

===========================  ======  =========
the client's own two calls   CPU ms  8 threads
===========================  ======  =========
boto3 1.44                     6.39        140
minio-py 7.2                   1.83        426
obstore 0.12                   0.46      1,377
a whole request, on boto3      6.47        127
a whole request, on obstore    0.61      1,259
===========================  ======  =========

All of boto3's time is spent under the interpreter's lock, so that threads do not help. Repeat it
with ``make bench BENCH_ARGS=files``; these are of commit fcd56b4, and bench/README.md has those of
larger objects.
"""

from __future__ import annotations

import logging
import os
import re
from importlib import metadata
from typing import TYPE_CHECKING

from ..errors import OptionError
from ..options import ObjectStoreClient
from .store import ObjectStore

if TYPE_CHECKING:
    from .s3 import S3Store
    from .s3_obstore import ObstoreStore

__all__ = ["OBSTORE_VERSIONS", "open_s3_store"]

_log = logging.getLogger(__name__)

OBSTORE_VERSIONS = (0, 11), (0, 13)
"""The first version of obstore that will do, since it knows time-outs for silence; and the first
that was not tried. The extra ``[fast]`` has the same range."""

_INSTALL = "pip install 'slingshot-microservice[fast]'"


def open_s3_store(
    client: ObjectStoreClient,
    endpoint: str,
    access_key: str,
    secret_key: str,
    *,
    memory_limit: int,
    pool_size: int = 16,
    read_timeout: float,
) -> ObjectStore:
    """Choose a client, say in the log which one it is, and make its store. Nothing is sent.

    Args:
        client: The option ``object_store_client``.
        endpoint: The URL of the S3 API, with its scheme.
        access_key: The access key itself.
        secret_key: The secret key itself.
        memory_limit: Bytes up to which a file is held in memory, and sent as one put.
        pool_size: Connections that are kept open.
        read_timeout: Seconds of silence after which one of three attempts is given up.

    Raises:
        OptionError: obstore was asked for, and cannot be used.
    """
    make = _choose(client)
    return make(
        endpoint,
        access_key,
        secret_key,
        memory_limit=memory_limit,
        pool_size=pool_size,
        read_timeout=read_timeout,
    )


def _choose(client: ObjectStoreClient) -> type[S3Store] | type[ObstoreStore]:
    if client == "boto3":
        return _boto3("as option object_store_client says")
    try:
        version = metadata.version("obstore")
    except metadata.PackageNotFoundError:
        return _instead(client, f"obstore is not installed: {_INSTALL}")
    first, end = OBSTORE_VERSIONS
    if not first <= _numbers(version) < end:
        return _instead(client, f"obstore {version} is too old or too new: {_INSTALL}")
    try:
        from .s3_obstore import ObstoreStore, unwanted_settings
    except ImportError as error:
        return _instead(client, f"obstore {version} cannot be loaded: {error}")
    if names := unwanted_settings(os.environ):
        return _instead(client, f"obstore would obey {' and '.join(names)}: unset it")
    _log.info("objects are read and written through obstore %s", version)
    return ObstoreStore


def _instead(client: ObjectStoreClient, obstacle: str) -> type[S3Store]:
    if client == "obstore":
        raise OptionError(f"option object_store_client is 'obstore', but {obstacle}")
    return _boto3(obstacle)


def _boto3(reason: str) -> type[S3Store]:
    from .s3 import S3Store

    _log.info("objects are read and written through boto3 (%s)", reason)
    return S3Store


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])
