import http.client
import re
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from hushkey.errors import Cancelled, Permanent
from hushkey.signin import listener, pages
from hushkey.signin.receiver import Receiver
from kit.signin import another_user, needs_another_user

STATE = "the-state"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no ::1 here")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver("http://127.0.0.1/", "git.example.com") as made:
        made.expect(STATE)
        yield made


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(60) as made:
        yield made


def port_of(receiver: Receiver) -> int:
    port = urlsplit(receiver.redirect_uri).port
    assert port
    return port


def ask(
    receiver: Receiver,
    target: str,
    method: str = "GET",
    *,
    body: str | None = None,
    headers: dict[str, str] | None = None,
    address: str = "127.0.0.1",
) -> tuple[int, str]:
    connection = http.client.HTTPConnection(address, port_of(receiver), timeout=10)
    try:
        host = {"Host": urlsplit(receiver.redirect_uri).netloc}
        connection.request(method, target, body, {**host, **(headers or {})})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def talk(receiver: Receiver, data: bytes, then: Callable[[], object] = str) -> bytes:
    """Send *data* as it is; return all that comes back."""
    with socket.create_connection(("127.0.0.1", port_of(receiver)), 10) as peer:
        try:
            peer.sendall(data)
            then()
        except OSError:
            return b"gone"
        answer = b""
        try:
            while part := peer.recv(65_536):
                answer += part
        except ConnectionResetError:
            pass
        return answer


def wait(receiver: Receiver, seconds: float = 10) -> dict[str, str] | None:
    return receiver.wait(time.monotonic() + seconds)


def test_redirect_is_taken_and_its_page_waits_for_the_outcome(
    receiver: Receiver, pool: ThreadPoolExecutor
) -> None:
    browser = pool.submit(ask, receiver, f"/?code=c&state={STATE}&iss=https%3A%2F%2Fi")

    assert wait(receiver) == {"code": "c", "state": STATE, "iss": "https://i"}
    assert not browser.done()
    receiver.conclude(pages.signed_in("git.example.com", "me"))
    status, page = browser.result(10)
    assert status == 200
    assert "You are signed in" in page


def test_form_post_is_taken(receiver: Receiver, pool: ThreadPoolExecutor) -> None:
    body = f"code=c+d&state={STATE}"
    browser = pool.submit(ask, receiver, "/", "POST", body=body, headers=FORM)

    assert wait(receiver) == {"code": "c d", "state": STATE}
    receiver.conclude(pages.failed("git.example.com", "no"))
    assert "The sign-in failed" in browser.result(10)[1]


def test_error_redirect_is_handed_on(
    receiver: Receiver, pool: ThreadPoolExecutor
) -> None:
    browser = pool.submit(ask, receiver, f"/?error=access_denied&state={STATE}")

    assert wait(receiver) == {"error": "access_denied", "state": STATE}
    receiver.close()
    assert "Back to your tool" in browser.result(10)[1]


@pytest.mark.parametrize(
    "target",
    [
        "/?code=c",
        "/?code=c&state=",
        "/?code=c&state=other",
        f"/?code=c&state={STATE}x",
        f"/?code=c&state=other&state={STATE}",
        f"/?code=c&state={STATE}&state={STATE}",
        f"/?code=a&code=b&state={STATE}",
        "/",
    ],
)
def test_wrong_state_or_a_name_twice_is_400_and_waiting_goes_on(
    target: str, receiver: Receiver, pool: ThreadPoolExecutor
) -> None:
    assert ask(receiver, target)[0] == 400

    browser = pool.submit(ask, receiver, f"/?code=right&state={STATE}")
    answer = wait(receiver)
    receiver.conclude("")
    browser.result(10)
    assert answer == {"code": "right", "state": STATE}


def test_nothing_is_taken_before_a_state_is_expected() -> None:
    with Receiver("http://127.0.0.1/", "h") as receiver:
        assert ask(receiver, "/?code=c&state=")[0] == 400
        assert ask(receiver, "/?code=c")[0] == 400


@pytest.mark.parametrize(
    "target",
    ["/favicon.ico", "/other?code=c&state=the-state", "//?code=c&state=the-state"],
)
def test_other_paths_are_404(target: str, receiver: Receiver) -> None:
    assert ask(receiver, target)[0] == 404


def test_path_is_kept_and_compared_exactly(pool: ThreadPoolExecutor) -> None:
    with Receiver("http://127.0.0.1/callback", "h") as receiver:
        receiver.expect(STATE)
        assert receiver.redirect_uri.endswith("/callback")
        for target in ("/", "/callback/", "/Callback", "/call%62ack"):
            assert ask(receiver, f"{target}?code=c&state={STATE}")[0] == 404
        browser = pool.submit(ask, receiver, f"/callback?code=c&state={STATE}")
        assert wait(receiver) == {"code": "c", "state": STATE}
        receiver.conclude("")
        browser.result(10)


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "localhost:{port}", "127.0.0.1:{port}.evil"]
)
def test_wrong_host_header_is_refused(host: str, receiver: Receiver) -> None:
    name = host.replace("{port}", str(port_of(receiver)))

    status, _ = ask(receiver, f"/?code=c&state={STATE}", headers={"Host": name})
    assert status == 400


@pytest.mark.parametrize("hosts", [0, 2])
def test_missing_or_double_host_header_is_refused(
    hosts: int, receiver: Receiver
) -> None:
    host = f"Host: 127.0.0.1:{port_of(receiver)}\r\n" * hosts
    request = f"GET /?code=c&state={STATE} HTTP/1.1\r\n{host}\r\n"

    assert talk(receiver, request.encode()).startswith(b"HTTP/1.1 400 ")


def test_head_takes_and_cancels_nothing(receiver: Receiver) -> None:
    assert ask(receiver, f"/?code=c&state={STATE}", "HEAD") == (200, "")
    assert ask(receiver, urlsplit(receiver.cancel_url).path, "HEAD") == (200, "")
    assert ask(receiver, "/favicon.ico", "HEAD") == (404, "")

    assert receiver.wait(time.monotonic() + 10, at_most=0) is None


def test_other_methods_are_405(receiver: Receiver) -> None:
    assert ask(receiver, f"/?code=c&state={STATE}", "PUT")[0] == 405


def test_second_redirect_is_told_that_it_is_late(
    receiver: Receiver, pool: ThreadPoolExecutor
) -> None:
    first = pool.submit(ask, receiver, f"/?code=one&state={STATE}")
    assert wait(receiver) == {"code": "one", "state": STATE}

    status, page = ask(receiver, f"/?code=two&state={STATE}")
    assert status == 200
    assert "already used" in page
    assert wait(receiver) == {"code": "one", "state": STATE}
    receiver.conclude("")
    first.result(10)


def test_fifty_at_once_are_answered_and_one_is_taken(
    receiver: Receiver, pool: ThreadPoolExecutor
) -> None:
    asked: list[Future[tuple[int, str]]] = [
        pool.submit(ask, receiver, f"/?code={n}&state={STATE}") for n in range(50)
    ]
    assert wait(receiver)
    receiver.conclude(pages.signed_in("h", "me"))
    results = [one.result(20) for one in asked]

    assert [status for status, _ in results] == [200] * 50
    assert sum("You are signed in" in page for _, page in results) == 1


def test_idle_connections_keep_nobody_out(
    receiver: Receiver, pool: ThreadPoolExecutor
) -> None:
    address = ("127.0.0.1", port_of(receiver))
    idle = [socket.create_connection(address, 10) for _ in range(100)]
    try:
        browser = pool.submit(ask, receiver, f"/?code=c&state={STATE}")
        assert wait(receiver) == {"code": "c", "state": STATE}
        more = [socket.create_connection(address, 10) for _ in range(70)]
        idle += more
        assert ask(receiver, "/favicon.ico")[0] == 404
        receiver.conclude(pages.signed_in("h", "me"))
        assert "You are signed in" in browser.result(10)[1]
    finally:
        for one in idle:
            one.close()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", b"431"),
        (b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n", b"431"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", b"400"),
        (b"GET /\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\na=b", b"415"),
    ],
)
def test_malformed_requests_are_refused(
    request_bytes: bytes, status: bytes, receiver: Receiver
) -> None:
    assert talk(receiver, request_bytes).startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"Content-Length: 65537\r\n", b"413"),
        (b"Content-Length: 99999999999999999999\r\n", b"413"),
        (b"Content-Length: -1\r\n", b"400"),
        (b"Content-Length: 1_0\r\n", b"400"),
        (b"", b"411"),
        (b"Content-Length: 3\r\nContent-Length: 4\r\n", b"411"),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", b"411"),
    ],
)
def test_forms_without_one_honest_length_are_refused(
    headers: bytes, status: bytes, receiver: Receiver
) -> None:
    kind = b"Content-Type: application/x-www-form-urlencoded\r\n"
    request = b"POST / HTTP/1.1\r\n" + kind + headers + b"\r\n"

    assert talk(receiver, request).startswith(b"HTTP/1.1 " + status)


def test_slow_body_is_given_up_and_delays_nobody(
    receiver: Receiver, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "PATIENCE", 1)
    request = (
        b"POST / HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        b"Content-Length: 100\r\n\r\nstate=the-"
    )
    began = time.monotonic()
    slow = pool.submit(talk, receiver, request)
    assert ask(receiver, "/favicon.ico")[0] == 404

    assert slow.result(10).startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - began > 0.9


def test_answer_carries_the_security_headers(receiver: Receiver) -> None:
    host = f"Host: 127.0.0.1:{port_of(receiver)}\r\n"
    answer = talk(receiver, f"GET /x HTTP/1.1\r\n{host}\r\n".encode()).decode()

    for name in ("Cache-Control: no-store", "Referrer-Policy: no-referrer", "nosniff"):
        assert name in answer
    assert "Content-Security-Policy: default-src 'none'" in answer
    assert "Server:" not in answer


def test_cancel_link_ends_the_waiting(receiver: Receiver) -> None:
    status, page = ask(receiver, urlsplit(receiver.cancel_url).path)

    assert status == 200
    assert "cancelled" in page
    with pytest.raises(Cancelled, match="cancelled in the browser"):
        wait(receiver)
    assert "already used" in ask(receiver, f"/?code=c&state={STATE}")[1]


def test_cancel_link_is_another_each_time() -> None:
    with (
        Receiver("http://127.0.0.1/", "h") as one,
        Receiver("http://[::1]/", "h") as two,
    ):
        assert urlsplit(one.cancel_url).path != urlsplit(two.cancel_url).path


def test_wait_raises_when_the_deadline_passes(receiver: Receiver) -> None:
    with pytest.raises(Cancelled, match="no answer within 0 s"):
        receiver.wait(time.monotonic() + 0.01)


def test_wait_returns_none_when_the_other_descriptor_is_ready(
    receiver: Receiver,
) -> None:
    near, far = socket.socketpair()
    with near, far:
        far.send(b"x")

        assert receiver.wait(time.monotonic() + 60, near.fileno()) is None
        assert select.select([near], [], [], 0)[0]


def test_wait_returns_none_after_at_most(receiver: Receiver) -> None:
    assert receiver.wait(time.monotonic() + 60, at_most=0.01) is None


def test_late_conclusion_does_not_replace_the_first(
    receiver: Receiver, pool: ThreadPoolExecutor
) -> None:
    browser = pool.submit(ask, receiver, f"/?code=c&state={STATE}")
    assert wait(receiver)
    receiver.conclude(pages.signed_in("h", "me"))
    receiver.conclude(pages.failed("h", "no"))

    assert "You are signed in" in browser.result(10)[1]


def test_close_flushes_the_last_page_and_leaves_nothing(
    pool: ThreadPoolExecutor,
) -> None:
    before = threading.active_count()
    receiver = Receiver("http://127.0.0.1/", "h")
    receiver.expect(STATE)
    idle = socket.create_connection(("127.0.0.1", port_of(receiver)), 10)
    browser = pool.submit(ask, receiver, f"/?code=c&state={STATE}")
    assert wait(receiver)
    receiver.conclude(pages.signed_in("h", "me"))
    began = time.monotonic()
    receiver.close()

    assert time.monotonic() - began < 2
    assert "You are signed in" in browser.result(10)[1]
    assert threading.active_count() <= before + 1  # the pool's own
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port_of(receiver)), 5)
    idle.close()


def test_fixed_port_can_be_used_again_at_once() -> None:
    with Receiver("http://127.0.0.1/", "h") as first:
        port = port_of(first)
        ask(first, "/favicon.ico")
    with Receiver(f"http://127.0.0.1:{port}/cb", "h") as second:
        assert second.redirect_uri == f"http://127.0.0.1:{port}/cb"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_busy_fixed_port_is_named(host: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        with pytest.raises(Permanent, match=f"port {port} .* in use.*redirect_uri"):
            Receiver(f"http://{host}:{port}/", "h")


@needs_ipv6
def test_localhost_listens_on_both_families(pool: ThreadPoolExecutor) -> None:
    with Receiver("http://localhost", "h") as receiver:
        receiver.expect(STATE)
        assert receiver.redirect_uri == f"http://localhost:{port_of(receiver)}"
        assert ask(receiver, "/favicon.ico", address="127.0.0.1")[0] == 404
        browser = pool.submit(ask, receiver, f"/?code=c&state={STATE}", address="::1")
        assert wait(receiver) == {"code": "c", "state": STATE}
        receiver.conclude("")
        browser.result(10)


@needs_ipv6
def test_localhost_with_its_ipv6_port_busy_is_refused() -> None:
    with socket.socket(socket.AF_INET6) as other:
        other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        other.bind(("::1", 0))
        other.listen()

        with pytest.raises(Permanent, match="in use"):
            Receiver(f"http://localhost:{other.getsockname()[1]}", "h")


@needs_ipv6
def test_literal_listens_on_that_address_only() -> None:
    with Receiver("http://[::1]/", "h") as receiver:
        assert ask(receiver, "/favicon.ico", address="::1")[0] == 404
        with pytest.raises(ConnectionRefusedError):
            ask(receiver, "/", address="127.0.0.1")


# -- the short address -----------------------------------------------------------

REQUEST = "https://id.example.com/authorize?state=the-state&nonce=n"


def look(
    receiver: Receiver, target: str, method: str = "GET", **headers: str
) -> tuple[int, str, str]:
    """Return status, Location and page, without following a redirect."""
    connection = http.client.HTTPConnection("127.0.0.1", port_of(receiver), timeout=10)
    try:
        connection.request(method, target, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers["Location"] or "", answer.read().decode()
    finally:
        connection.close()


def path_of(receiver: Receiver) -> str:
    return urlsplit(receiver.open_url).path


def test_short_address_leads_to_the_request_once(receiver: Receiver) -> None:
    receiver.expect(STATE, REQUEST)

    assert look(receiver, path_of(receiver)) == (302, REQUEST, "")
    status, location, page = look(receiver, path_of(receiver))
    assert (status, location) == (410, "")
    assert "opened before" in page
    assert REQUEST not in page


def test_redirect_is_kept_by_nobody_and_names_no_referrer(receiver: Receiver) -> None:
    receiver.expect(STATE, REQUEST)
    host = f"Host: 127.0.0.1:{port_of(receiver)}"

    head = talk(
        receiver, f"GET {path_of(receiver)} HTTP/1.1\r\n{host}\r\n\r\n".encode()
    )

    assert b"\r\nCache-Control: no-store\r\n" in head
    assert b"\r\nReferrer-Policy: no-referrer\r\n" in head


@pytest.mark.parametrize("redirect_uri", ["http://localhost", "http://127.0.0.1/back"])
def test_short_address_names_our_own_address(redirect_uri: str) -> None:
    with Receiver(redirect_uri, "h") as receiver:
        receiver.expect(STATE, REQUEST)
        port = port_of(receiver)
        assert receiver.open_url.startswith(f"http://127.0.0.1:{port}/")
        assert receiver.cancel_url.startswith(f"http://127.0.0.1:{port}/cancel-")
        assert look(receiver, path_of(receiver))[0] == 302


@needs_ipv6
def test_short_address_of_an_ipv6_literal() -> None:
    with Receiver("http://[::1]/", "h") as receiver:
        assert receiver.open_url.startswith(f"http://[::1]:{port_of(receiver)}/")


def test_short_addresses_cannot_be_guessed() -> None:
    paths = set()
    for _ in range(3):
        with Receiver("http://127.0.0.1/", "h") as receiver:
            paths.add(path_of(receiver))
    assert len(paths) == 3
    assert all(len(path) > 20 for path in paths)


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("HEAD", {}, 200),
        ("POST", {"Content-Type": FORM["Content-Type"], "Content-Length": "0"}, 405),
        ("GET", {"Sec-Purpose": "prefetch;prerender"}, 503),
        ("GET", {"Purpose": "prefetch"}, 503),
        ("GET", {"X-Moz": "prefetch"}, 503),
        ("GET", {"X-Purpose": "preview"}, 503),
        ("GET", {"Host": "localhost.evil.example"}, 400),
    ],
)
def test_what_no_person_opened_does_not_use_the_short_address_up(
    method: str, headers: dict[str, str], status: int, receiver: Receiver
) -> None:
    receiver.expect(STATE, REQUEST)

    assert look(receiver, path_of(receiver), method, **headers)[:2] == (status, "")
    assert look(receiver, path_of(receiver))[0] == 302


def test_short_address_leads_nowhere_before_there_is_a_request(
    receiver: Receiver,
) -> None:
    assert look(receiver, path_of(receiver))[0] == 503
    receiver.expect(STATE, REQUEST)
    assert look(receiver, path_of(receiver))[0] == 302


def test_second_visit_is_led_on_where_it_is_known_to_be_ours(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A window that was lost: the person comes again, by a link on the page."""
    monkeypatch.setattr(receiver, "_can_tell", True)
    monkeypatch.setattr("hushkey.signin.peer.is_ours", lambda _: True)
    receiver.expect(STATE, REQUEST)
    look(receiver, path_of(receiver))

    link = re.search(r'<a href="(/again-[^"]+)">', look(receiver, path_of(receiver))[2])

    assert link
    assert look(receiver, link[1]) == (302, REQUEST, "")


def test_second_visit_is_led_nowhere_where_it_could_be_anybodys(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver, "_can_tell", False)
    receiver.expect(STATE, REQUEST)
    look(receiver, path_of(receiver))

    page = look(receiver, path_of(receiver))[2]
    assert "<a " not in page
    assert "somebody else on this machine" in page


def test_short_address_is_over_once_the_answer_is_there(
    receiver: Receiver, pool: ThreadPoolExecutor
) -> None:
    receiver.expect(STATE, REQUEST)
    browser = pool.submit(ask, receiver, f"/?code=c&state={STATE}")
    wait(receiver)

    status, location, page = look(receiver, path_of(receiver))
    receiver.conclude("")
    browser.result(10)

    assert (status, location) == (200, "")
    assert "Nothing more to do" in page


# -- other users of this machine -------------------------------------------------


@needs_another_user
@pytest.mark.parametrize("what", ["code", "open", "cancel", "nothing"])
@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1"])
def test_another_user_neither_finishes_nor_cancels_nor_learns_anything(
    what: str, address: str, receiver: Receiver, pool: ThreadPoolExecutor
) -> None:
    receiver.expect(STATE, REQUEST)
    targets = {
        "code": f"/?code=mallory&state={STATE}",
        "open": path_of(receiver),
        "cancel": urlsplit(receiver.cancel_url).path,
        "nothing": "/",
    }
    host = f"Host: 127.0.0.1:{port_of(receiver)}"
    request = f"GET {targets[what]} HTTP/1.1\r\n{host}\r\n\r\n".encode()

    stranger = another_user(address, port_of(receiver), request)
    answer, _ = stranger.communicate(timeout=10)

    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"git.example.com" not in answer
    assert b"Location" not in answer
    assert receiver.wait(time.monotonic() + 10, at_most=0) is None
    assert look(receiver, path_of(receiver))[0] == 302
    browser = pool.submit(ask, receiver, f"/?code=mine&state={STATE}")
    assert wait(receiver) == {"code": "mine", "state": STATE}
    receiver.conclude("")
    browser.result(10)


@needs_another_user
def test_another_user_who_is_gone_before_we_look_finishes_nothing(
    receiver: Receiver,
) -> None:
    host = f"Host: 127.0.0.1:{port_of(receiver)}"
    request = f"GET /?code=mallory&state={STATE} HTTP/1.1\r\n{host}\r\n\r\n".encode()

    for _ in range(5):
        gone = another_user("127.0.0.1", port_of(receiver), request, leave=True)
        gone.communicate(timeout=10)

    assert receiver.wait(time.monotonic() + 10, at_most=0.5) is None
