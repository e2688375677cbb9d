"""The clients of S3, which are all put to the same tests."""

from __future__ import annotations

from typing import TypeAlias

from slingshot_microservice.files.s3 import S3Store
from slingshot_microservice.files.s3_obstore import ObstoreStore

__all__ = ["STORES", "StoreClass"]

StoreClass: TypeAlias = type[S3Store] | type[ObstoreStore]

STORES: dict[str, StoreClass] = {"boto3": S3Store, "obstore": ObstoreStore}
"""By the value of the option ``object_store_client``."""
