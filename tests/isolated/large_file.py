"""Reads a large object and writes it back as a request does, and prints what memory that took.

usage: python large_file.py CLIENT ENDPOINT INBOUND OUTBOUND, the two keys in the environment

Copies object 1 first, so that what is loaded once is there. Then prints by how many bytes the most
memory in use, while object 2 is copied, is over what was in use before.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from stores import STORES

from slingshot_microservice.files import FileAccess, RequestFiles

MIB = 1024 * 1024


def status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))


def main() -> None:
    client, endpoint, inbound, outbound = sys.argv[1:]
    keys = os.environ["ACCESS_KEY"], os.environ["SECRET_KEY"]
    store = STORES[client](endpoint, *keys, memory_limit=8 * MIB)
    buckets = {"in": inbound, "out": outbound}
    access = FileAccess(store, buckets.__getitem__)

    def copy(id: int) -> None:
        files = RequestFiles(id, access)
        shutil.copyfileobj(files.read_file("in", id), files.write_file("out", id), MIB)
        files.close()
        files.upload()
        files.discard()

    copy(1)
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak; proc(5)
    before = status("VmRSS")
    copy(2)
    print(status("VmHWM") - before)
    store.close()


if __name__ == "__main__":
    main()
