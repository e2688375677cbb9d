"""What a service has parked itself, and what becomes of it."""

from __future__ import annotations

import json
from collections.abc import Iterable

from servers.parked import ParkedService
from servers.ports import wait_for
from servers.world import running

from slingshot_microservice import Microservice, Reject
from slingshot_microservice.typing import Output, ReadFileFn, WriteFileFn


def test_what_a_service_parks_is_listed_and_can_be_replayed(shout: ParkedService) -> None:
    done: list[int] = []
    mended = False

    def process(
        request: int, read_file: ReadFileFn, write_file: WriteFileFn, connection: object
    ) -> Iterable[Output]:
        if not mended:
            raise Reject("not today")
        done.append(request)
        return []

    shout.remove(shout.dead)  # the service makes its own
    shout.rabbitmq.publish(shout.inbound, [b"7", b"\x00 is no id"])
    service = Microservice("shout", str(shout.folder / "sys-map.toml"), process)
    with running(service):
        wait_for(lambda: shout.rabbitmq.exists(shout.dead), what="the queue of the dead")
        wait_for(lambda: shout.rabbitmq.depth(shout.dead) == 2, what="both to be parked")

        listed = [json.loads(line) for line in shout.run("list", "shout", "--json").output]
        by_reason = {one["reason"]: one for one in listed}
        assert set(by_reason) == {"rejected", "malformed-id"}
        rejected = by_reason["rejected"]
        assert (rejected["id"], rejected["error_type"], rejected["error"]) == (
            "7",
            "slingshot_microservice.errors.Reject",
            "not today",
        )
        assert rejected["attempts"] == 1
        assert 'raise Reject("not today")' in rejected["traceback"]
        assert rejected["last_time"] >= rejected["first_time"] > "2020"

        mended = True
        assert shout.run("replay", "shout", "--id", 7).wait() == 0
        wait_for(lambda: done == [7], what="the replayed id")
    assert shout.bodies(shout.dead) == [b"\x00 is no id"]
