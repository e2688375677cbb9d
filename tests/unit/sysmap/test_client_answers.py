"""What the configuration service answers and cannot be used is refused, and at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from servers.sys_map import Answer, SysMapServer

from slingshot_microservice.errors import ConfigurationError, ConfigurationUnavailableError
from slingshot_microservice.options import Options
from slingshot_microservice.sysmap.client import HttpSystemMap


def never(seconds: float) -> None:
    raise AssertionError(f"it waited {seconds} s to ask again")


@pytest.fixture
def client(sys_map_server: SysMapServer) -> Iterator[HttpSystemMap]:
    client = HttpSystemMap(sys_map_server.url, Options(), sleep=never)
    yield client
    client.close()


def test_an_unknown_service_is_an_error_at_once(
    sys_map_server: SysMapServer, client: HttpSystemMap
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        client.service("shuot")
    assert not isinstance(caught.value, ConfigurationUnavailableError)
    message = str(caught.value)
    assert message.startswith(f'{sys_map_server.url}/shuot: there is no service "shuot" (HTTP 404')


def test_an_unknown_bucket_key_names_service_and_key(client: HttpSystemMap) -> None:
    with pytest.raises(ConfigurationError, match='service "shout" has no bucket key "nowhere"'):
        client.bucket("shout", "nowhere")


@pytest.mark.parametrize("status", [204, 304, 400, 401, 403, 410])
def test_any_other_status_is_an_error_at_once(
    status: int, sys_map_server: SysMapServer, client: HttpSystemMap
) -> None:
    sys_map_server.answers["/db"] = Answer(status)
    with pytest.raises(ConfigurationError, match=f"/db: HTTP {status}, expected 200"):
        client.database()


def test_a_loop_of_redirects_is_an_error(
    sys_map_server: SysMapServer, client: HttpSystemMap
) -> None:
    sys_map_server.answers["/db"] = Answer(302, headers={"Location": "/db"})
    with pytest.raises(ConfigurationError, match=r"/db: it cannot be asked \(TooManyRedirects"):
        client.database()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<!doctype html><title>Welcome</title>", 'HTML ("<!doctype html><title>Welcome'),
        (b"", 'nothing ("")'),
        (b"{'in': 1}", "something that is not JSON (\"{'in': 1}\")"),
        (b"\xff\xfe", "something that is not JSON"),
        (b'{"in": NaN}', "something that is not JSON"),
    ],
)
def test_what_is_not_json_is_shown(
    body: bytes, words: str, sys_map_server: SysMapServer, client: HttpSystemMap
) -> None:
    sys_map_server.answers["/shout"] = Answer(body=body)
    with pytest.raises(ConfigurationError) as caught:
        client.service("shout")
    assert str(caught.value).startswith(f"{sys_map_server.url}/shout: it answered {words}")


@pytest.mark.parametrize(
    ("answer", "field"),
    [
        ({"in": "q"}, "out"),
        ({"in": 1, "out": []}, "in"),
        ({"in": "q", "out": [{"case": 1.0, "queues": []}]}, "out[0].case"),
        ({"in": "q", "out": [{"case": None, "queues": []}]}, "out[0].case"),
        ({"in": "q", "out": [{"case": 1, "queues": ["x" * 256]}]}, "out[0].queues[0]"),
    ],
)
def test_a_mistake_in_an_answer_names_url_and_field(
    answer: object, field: str, sys_map_server: SysMapServer, client: HttpSystemMap
) -> None:
    sys_map_server.answer_json("/shout", answer)
    with pytest.raises(ConfigurationError) as caught:
        client.service("shout")
    assert str(caught.value).startswith(f"{sys_map_server.url}/shout: {field} is ")
    assert caught.value.field == field


def test_the_bounds_of_integer_cases(sys_map_server: SysMapServer, client: HttpSystemMap) -> None:
    sys_map_server.describe("shout", "q", [(2**64 - 1, ["a"]), (-(2**63), ["b"])])
    assert [route.case for route in client.service("shout").routes] == [2**64 - 1, -(2**63)]
    sys_map_server.describe("shout", "q", [(2**64, ["a"])])
    with pytest.raises(ConfigurationError, match=r"out\[0\]\.case is 1\.8"):
        client.service("shout")


@pytest.mark.parametrize("text", ["", " \n", "<html>texts</html>", "two words", "a\nb", "\x00"])
def test_an_answer_that_is_no_bucket_is_refused(
    text: str, sys_map_server: SysMapServer, client: HttpSystemMap
) -> None:
    sys_map_server.answer_text("/shout/in", text)
    with pytest.raises(ConfigurationError, match=r"/shout/in: the answer is .*; expected the name"):
        client.bucket("shout", "in")


def test_a_bucket_that_is_not_utf_8_is_refused(
    sys_map_server: SysMapServer, client: HttpSystemMap
) -> None:
    sys_map_server.answers["/shout/in"] = Answer(body=b"b\xff", content_type="text/plain")
    with pytest.raises(ConfigurationError, match="expected the name of a bucket"):
        client.bucket("shout", "in")
