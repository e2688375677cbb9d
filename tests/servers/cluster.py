"""Three RabbitMQ nodes on one machine, as one cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

from .ports import wait_for
from .queues import QueueClient
from .rabbitmq import RabbitMQNode

if TYPE_CHECKING:
    from pika.adapters.blocking_connection import BlockingChannel

__all__ = ["RabbitMQCluster"]

# One port on several addresses, because a service is told one port for all hosts of a cluster.
_ADDRESSES = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
# A node that falls silent is missed in ten seconds at most, rather than in seventy-five; until then
# queues whose leader it was can be waited for only.
_SETTINGS = """\
net_ticktime = 8
cluster_partition_handling = pause_minority
"""
_ELECTION_SECONDS = 60.0
# Asked of the replica on the node itself: a listing would wait for nodes that are away.
_WHO_LEADS = """
    {ok, Queue} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"%s">>)),
    {Name, _} = amqqueue:get_pid(Queue),
    case ra:members({Name, node()}) of {ok, _, Leader} -> Leader; Other -> Other end.
"""


class RabbitMQCluster(QueueClient):
    """A cluster of private nodes, each of which may be stopped, killed, paused and started.

    As a client it speaks to a node that can answer.

    Attributes:
        nodes: The nodes; all know the same user.
        hosts: Their addresses.
    """

    hosts = _ADDRESSES

    def __init__(self) -> None:
        first = RabbitMQNode(settings=_SETTINGS)
        others = (
            RabbitMQNode(address=address, port=first.port, settings=_SETTINGS, beside=first)
            for address in _ADDRESSES[1:]
        )
        self.nodes = [first, *others]
        super().__init__(first.url)

    def __enter__(self) -> RabbitMQCluster:
        try:
            first, *others = self.nodes
            first.start()
            for node in others:
                node.start()
                node.join(first)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def up(self) -> RabbitMQNode:
        """A node that can answer."""
        return next(node for node in self.nodes if node.running and not node.paused)

    @property
    def running(self) -> bool:
        """Whether all nodes run."""
        return all(node.running for node in self.nodes)

    @property
    def log(self) -> str:
        """What the nodes have logged so far, from warnings on."""
        return "".join(node.log for node in self.nodes)

    @contextmanager
    def channel(self) -> Iterator[BlockingChannel]:
        """Open a connection to a node that can answer."""
        with self.up.channel() as channel:
            yield channel

    def answers(self) -> bool:
        """Whether there is a node that lets us log in now."""
        return self.up.answers()

    def start(self) -> None:
        """Bring back every node that is away."""
        for node in self.nodes:
            if node.paused:
                node.resume()
            if not node.running:
                node.start()

    def leader(self, queue: str) -> RabbitMQNode:
        """Return the node that leads a quorum queue; waits for an election that goes on.

        Raises:
            TimeoutError: No node became the leader.
        """
        found: list[RabbitMQNode] = []

        def ask() -> bool:
            answer = self.up.control("eval", _WHO_LEADS % queue)
            able = (node for node in self.nodes if node.running and not node.paused)
            found.extend(node for node in able if f"'{node.name}'" in answer)
            return bool(found)

        wait_for(ask, _ELECTION_SECONDS, f"a leader of queue {queue}")
        return found[0]

    def find(self, node: RabbitMQNode) -> None:
        """Bring back a node that was killed or paused; return when all are one cluster again.

        One that was paused goes on for a moment, and is then started over, as its operator would:
        the others have gone on without it, and it does not always notice.

        Raises:
            TimeoutError: They did not find each other.
        """
        if node.paused:
            node.resume()
            wait_for(node.answers, _ELECTION_SECONDS, f"node {node.name} to go on")
            node.kill()
        node.start()
        others = [other for other in self.nodes if other is not node]
        wait_for(lambda: all(map(self._is_whole, others)), _ELECTION_SECONDS, "a whole cluster")
        wait_for(node.answers, _ELECTION_SECONDS, f"node {node.name}")

    def _is_whole(self, node: RabbitMQNode) -> bool:
        answer = node.control("eval", "length(rabbit_mnesia:cluster_nodes(running)).")
        return int(answer) == len(self.nodes)

    def close(self) -> None:
        """End all nodes, and remove the data."""
        for node in reversed(self.nodes):
            node.close()
