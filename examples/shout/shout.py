from collections.abc import Iterator

from sqlalchemy import Connection

from slingshot_microservice import Microservice
from slingshot_microservice.typing import Output, ReadFileFn, WriteFileFn


def process(
    request: int, read_file: ReadFileFn, write_file: WriteFileFn, connection: Connection
) -> Iterator[Output]:
    text = read_file("in", request).read()
    write_file("out", request).write(text.upper())
    yield request, True


Microservice("shout", "sys-map.example.com", process).start()
