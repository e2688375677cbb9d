"""``read_file`` and ``write_file``: object stores, and the files of one request.

`S3Store` is not among these names: it lives in `slingshot_microservice.files.s3`, which loads
boto3, and is imported only where the configuration says S3.
"""

from __future__ import annotations

from .directory import DirectoryStore
from .request import FileAccess, RequestFiles
from .staging import LocalCopy, StagedFile, StagingFolder
from .store import Content, ObjectStore

__all__ = [
    "Content",
    "DirectoryStore",
    "FileAccess",
    "LocalCopy",
    "ObjectStore",
    "RequestFiles",
    "StagedFile",
    "StagingFolder",
]
