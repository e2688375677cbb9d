"""Write a queue-driven microservice as one function: ids in, ids out, nothing lost.

::

    from slingshot_microservice import Microservice

    def process(request, read_file, write_file, connection):
        text = read_file("in", request).read()
        write_file("out", request).write(text.upper())
        yield request, True

    Microservice("shout", "sys-map.example.com", process).start()

Importing the package is cheap: what talks to RabbitMQ, S3, PostgreSQL and HTTP is loaded when a
service starts.
"""

from ._version import __version__
from .errors import Reject, Retry, SlingshotError
from .microservice import Microservice
from .options import Options

__all__ = ["Microservice", "Options", "Reject", "Retry", "SlingshotError", "__version__"]
