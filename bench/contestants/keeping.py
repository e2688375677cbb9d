"""Files and rows as users of the other frameworks have them: boto3 and SQLAlchemy, kept."""

from __future__ import annotations

import boto3
from botocore.config import Config
from sqlalchemy import URL, create_engine, text

from .work import OBJECTS, ROW, Assignment

__all__ = ["Keeper"]


class Keeper:
    """One S3 client and one engine for all threads of a process, with a connection for each.

    Args:
        assignment: Where they lead to, and for how many threads.
    """

    def __init__(self, assignment: Assignment) -> None:
        stores = assignment.stores
        assert stores is not None
        self._stores = stores
        self._s3 = boto3.client(
            "s3",
            endpoint_url=stores.endpoint,
            region_name=stores.region,
            aws_access_key_id=stores.access_key,
            aws_secret_access_key=stores.secret_key,
            config=Config(
                s3={"addressing_style": "path"},
                max_pool_connections=max(10, assignment.at_once),  # 10 is its default
                request_checksum_calculation="when_required",  # as ours
                response_checksum_validation="when_required",
            ),
        )
        url = URL.create("postgresql+psycopg2", **stores.database)  # type: ignore[arg-type]
        self._engine = create_engine(url, pool_size=assignment.at_once)
        self._row = text(ROW)

    def keep(self, id: int) -> None:
        """Read an object, write one and insert a row; all is safe when this returns."""
        name = str(id % OBJECTS)
        body = self._s3.get_object(Bucket=self._stores.bucket_in, Key=name)["Body"].read()
        self._s3.put_object(Bucket=self._stores.bucket_out, Key=str(id), Body=body)
        with self._engine.begin() as connection:
            connection.execute(self._row, {"id": id, "size": len(body)})
