"""Letting a broker run out of memory or disk, as far as it can tell."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from servers.rabbitmq import RabbitMQNode

__all__ = ["ALARMS", "alarm"]

# By resource: what sets the limit, to what no broker keeps to, and to the default.
ALARMS = {
    "memory": ("vm_memory_monitor:set_vm_memory_high_watermark", "0.0", "0.4"),
    "disk": ("rabbit_disk_monitor:set_disk_free_limit", "1000000000000000", "50000000"),
}


@contextmanager
def alarm(node: RabbitMQNode, resource: str) -> Iterator[list[float]]:
    """Let a resource run out; the list gets the moment of the end, in Unix seconds."""
    function, nothing, enough = ALARMS[resource]
    ended: list[float] = []
    try:
        node.control("eval", f"ok = {function}({nothing}).")
        yield ended
    finally:
        # rabbitmqctl takes a second to say what happens at once.
        answer = node.control("eval", f"ok = {function}({enough}), os:system_time(millisecond).")
        ended.append(int(answer) / 1000)
