import pytest
from hypothesis import given

from hushkey_helpers.docker import registries
from hushkey_helpers.docker.registries import HUB_KEY, Registry, parse
from kit.core import ANY

ACR = "contoso.azurecr.io"


@pytest.mark.parametrize(
    "written",
    [
        ACR,
        f"{ACR}:443",
        f"https://{ACR}",
        f"https://{ACR}:443",
        f"http://{ACR}",
        f"https://{ACR}/",
        f"https://{ACR}/v1/",
        f"https://{ACR}/v2",
        f"HTTPS://{ACR.upper()}/v2/",
        f" {ACR}\n",
        f"{ACR}.",
        f"{ACR}/team/app",
        f"https://{ACR}/v2/?x=1#y",
    ],
)
def test_every_spelling_of_a_client_is_one_place(written: str) -> None:
    found = parse(written)

    assert found is not None
    assert found.place == ACR
    assert found.key == ACR


@pytest.mark.parametrize(
    "written",
    [
        HUB_KEY,
        "index.docker.io",
        "docker.io",
        "https://docker.io/",
        "registry-1.docker.io",
        "https://registry-1.docker.io/v2/",
        "index.docker.io/v1/",
        "docker.io/library/alpine",
    ],
)
def test_every_name_of_docker_hub_is_one_place(written: str) -> None:
    found = parse(written)

    assert found is not None
    assert (found.place, found.key) == ("docker.io", HUB_KEY)


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("localhost:5000", "localhost:5000"),
        ("http://localhost", "localhost"),
        ("http://localhost:80", "localhost:80"),
        ("localhost:80", "localhost:80"),
        ("http://localhost:443", "localhost:443"),
        ("[::1]:5000", "[::1]:5000"),
        ("r.example:8443/team", "r.example:8443"),
        ("mydocker.io", "mydocker.io"),
        ("docker.io.example", "docker.io.example"),
    ],
)
def test_other_ports_and_names_stay_what_they_are(written: str, place: str) -> None:
    found = parse(written)

    assert found is not None
    assert found.place == place


@pytest.mark.parametrize(
    "written",
    [
        "",
        " ",
        "ftp://r.example",
        "unix:///var/run/docker.sock",
        f"user@{ACR}",
        f"https://{ACR}@evil.example",
        f"evil.example\\@{ACR}",
        "r.example:port",
        "r example",
        "https://",
        "*.azurecr.io",
        "\0",
    ],
)
def test_what_is_no_registry_is_none(written: str) -> None:
    assert parse(written) is None


@given(ANY)
def test_anything_is_a_registry_or_none(text: str) -> None:
    found = parse(text)

    assert found is None or parse(found.place) == Registry(found.place)


@pytest.mark.parametrize("written", ["", "v1", "/v1/", "v2/", "/v2"])
def test_version_of_the_protocol_is_no_path(written: str) -> None:
    found = parse(f"r.example/{written}".replace("//", "/"))

    assert found == Registry("r.example")


@pytest.mark.parametrize(
    ("written", "holds_token"),
    [
        (f"{HUB_KEY}access-token", True),
        (f"{HUB_KEY}refresh-token", True),
        ("registry-1.docker.io/v1/refresh-token/", True),
        ("docker.io/access-token", True),
        (HUB_KEY, False),
        ("docker.io/library/app", False),
        ("docker.io/access-token/app", False),
        (f"{ACR}/v1/access-token", False),
    ],
)
def test_where_docker_keeps_the_tokens_of_a_hub_sign_in(
    written: str, holds_token: bool
) -> None:
    found = parse(written)

    assert found is not None
    assert found.holds_token is holds_token


@pytest.mark.parametrize(
    ("written", "key"),
    [
        (HUB_KEY, HUB_KEY),
        (f"{HUB_KEY}access-token", f"{HUB_KEY}access-token"),
        ("docker.io/me/app", "docker.io/me/app"),
        ("https://r.example/v2/", "r.example"),
        ("https://r.example/group/", "r.example/group"),
        ("http://r.example/group", "http://r.example/group"),
        ("http://r.example:80/group", "r.example:80/group"),
    ],
)
def test_key_of_a_client_leads_back_to_the_same_place(written: str, key: str) -> None:
    found = parse(written)
    assert found is not None

    made = registries.key_of(found.scheme or "https", found.place, found.path)

    again = parse(made)
    assert made == key
    assert again is not None
    assert (again.place, again.path) == (found.place, found.path)


def test_bare_name_may_be_http_where_the_config_says_so() -> None:
    schemes = [request.protocol for request in Registry("localhost:5000").requests()]

    assert schemes == ["https", "http"]


@pytest.mark.parametrize("written", [f"{ACR}:443", f"{ACR}.:443", "[::1]:0443"])
def test_port_of_https_is_its_scheme(written: str) -> None:
    found = parse(written)

    assert found is not None
    assert {request.protocol for request in found.requests()} == {"https"}
    assert found.protocols == ("https",)


@pytest.mark.parametrize(
    ("written", "protocols"),
    [
        ("r.test", ("https",)),
        ("r.test:5000", ("https",)),
        ("r.test:80", ("http", "https")),
        ("[::1]:80", ("http", "https")),
        ("http://r.test", ("http",)),
        ("http://r.test:80", ("http",)),
        ("https://r.test:80", ("https",)),
        ("http://docker.io", ("http",)),
        (HUB_KEY, ("https",)),
    ],
)
def test_protocols_under_which_a_password_lies(
    written: str, protocols: tuple[str, ...]
) -> None:
    found = parse(written)

    assert found is not None
    assert found.protocols == protocols


def test_written_scheme_is_kept_to() -> None:
    found = parse(f"http://{ACR}")

    assert found is not None
    assert {request.protocol for request in found.requests()} == {"http"}


def test_repository_is_looked_up_as_a_path() -> None:
    found = parse("r.example/team/app")

    assert found is not None
    assert {request.path for request in found.requests()} == {"team/app"}


def test_hub_is_looked_up_by_each_of_its_names() -> None:
    hosts = {request.host for request in registries.Registry("docker.io").requests()}

    assert {"docker.io", "index.docker.io", "registry-1.docker.io"} <= hosts
