"""Azure Container Registry for real clients: a fake exchange, a real registry.

The real host names are used end to end: a CONNECT proxy leads to the fakes, and
Debian's docker-registry judges the tokens that the clients end up with.
"""

import json
import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import do_without
from kit.desk import BIN, Done
from kit.registrydesk import HOST, IMAGE, OTHER, RegistryDesk
from servers.acr import NULL_GUID
from servers.authority import Authority
from servers.entra import ALICE, CONTOSO, FABRIKAM, REGISTRY
from servers.process import Missing
from servers.registry import add_buildx, find_client

pytestmark = pytest.mark.contract
NOT_FOUND = b"credentials not found in native keychain\n"


def started(folder: Path, authority: Authority) -> Iterator[RegistryDesk]:
    folder.mkdir()
    desk = RegistryDesk(folder, authority)
    try:
        try:
            desk.start()
        except Missing as reason:
            do_without(reason)
        yield desk
        assert desk.leaks() == []
    finally:
        desk.stop()


@pytest.fixture
def desk(tmp_path: Path, authority: Authority) -> Iterator[RegistryDesk]:
    """Nobody has signed in, and docker knows nothing of hushkey."""
    yield from started(tmp_path / "desk", authority)


@pytest.fixture(scope="module")
def kept_desk(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority
) -> Iterator[RegistryDesk]:
    yield from started(tmp_path_factory.mktemp("kept") / "desk", authority)


@pytest.fixture
def signed_in(kept_desk: RegistryDesk) -> RegistryDesk:
    """Somebody is signed in, and no registry has given anything yet."""
    kept_desk.acr.reset()
    kept_desk.configure()
    if not kept_desk.browser.visits():
        assert kept_desk.hushkey("login", HOST).returncode == 0
    kept_desk.helper("erase", HOST)
    kept_desk.age(1)
    shutil.rmtree(kept_desk.folder / "data" / "state", ignore_errors=True)
    return kept_desk


def client(desk: RegistryDesk, name: str, *words: str, **more: str) -> Done:
    try:
        return desk.client(name, *words, **more)
    except Missing as reason:
        do_without(reason)
        raise


def answered(done: Done) -> dict[str, str]:
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


# -- the main job ------------------------------------------------------------------


def test_acr_needs_no_config_one_sign_in_and_one_exchange(desk: RegistryDesk) -> None:
    first, second = answered(desk.get()), answered(desk.get())

    assert first == second
    assert (first["ServerURL"], first["Username"]) == (HOST, "<token>")
    assert len(desk.browser.visits()) == 1
    (exchange,) = desk.acr.exchanges()
    assert exchange["form"].keys() == {"grant_type", "service", "access_token"}
    grant = desk.entra.token(exchange["form"]["access_token"])
    assert grant is not None
    assert (grant.resource, grant.user) == (REGISTRY, ALICE)
    asked = len(desk.detour.asked)
    assert json.loads(desk.helper("list", "unused").stdout) == {HOST: "<token>"}
    assert len(desk.detour.asked) == asked
    assert desk.detour.refused == []


def test_real_clients_open_a_real_registry(desk: RegistryDesk) -> None:
    desk.register(HOST)
    desk.hushkey("install", "podman", HOST)

    commands = [
        ("docker", "manifest", "inspect", IMAGE),
        ("skopeo", "inspect", f"docker://{IMAGE}"),
        ("skopeo", "copy", f"docker://{IMAGE}", "dir:copied"),
        ("podman", "manifest", "inspect", IMAGE),
    ]
    for name, *words in commands:
        done = client(desk, name, *words)
        assert done.returncode == 0, (name, done.stderr)

    assert (desk.folder / "copied" / "manifest.json").exists()
    served = desk.registry.log().count('"GET /v2/app/manifests/1 HTTP/1.1" 200')
    assert served >= len(commands)
    assert len(desk.browser.visits()) == 1
    assert len(desk.acr.exchanges()) == 1
    assert {r["form"]["grant_type"] for r in desk.acr.log("token")} == {"refresh_token"}


def test_oras_and_buildx_open_it_too(desk: RegistryDesk) -> None:
    desk.register(HOST)
    try:
        add_buildx(desk.docker_config.parent)
    except Missing as reason:
        do_without(reason)

    fetched = client(desk, "oras", "manifest", "fetch", IMAGE)
    shown = client(desk, "docker", "buildx", "imagetools", "inspect", IMAGE)
    left = client(desk, "oras", "logout", HOST)

    for done in (fetched, shown, left):
        assert done.returncode == 0, done.stderr
    assert b"azure stays signed in" in left.stderr
    assert len(desk.browser.visits()) == 1
    assert len(desk.acr.exchanges()) == 1


def test_docker_logout_forgets_the_registry_token_and_says_the_rest(
    desk: RegistryDesk,
) -> None:
    desk.register(HOST)
    before = desk.secret()

    done = client(desk, "docker", "logout", HOST)

    assert done.returncode == 0
    assert done.stderr.count(b"hushkey: ") == 1
    assert b"azure stays signed in" in done.stderr
    assert b"hushkey logout azure" in done.stderr
    assert desk.secret() != before
    assert len(desk.browser.visits()) == 1
    assert len(desk.acr.exchanges()) == 2


def test_sign_out_forgets_the_registry_token_too(desk: RegistryDesk) -> None:
    desk.secret()
    assert desk.hushkey("logout", "azure").returncode == 0

    done = desk.get(CI="true")

    assert done.returncode == 1
    assert b"hushkey login contoso.azurecr.io" in done.stdout


def test_user_name_can_be_the_guid_of_password_clients(desk: RegistryDesk) -> None:
    desk.configure(
        '[identity.azure]\nprovider = "entra"\n'
        f'[host."{HOST}"]\nidentity = "azure"\nexchange = "acr"\nusername = "guid"\n'
        f'scopes = ["{REGISTRY}/.default"]\n'
    )
    desk.register()

    found = answered(desk.get())
    done = client(desk, "skopeo", "inspect", f"docker://{IMAGE}")

    assert found["Username"] == NULL_GUID
    assert done.returncode == 0, done.stderr
    assert {r["method"] for r in desk.acr.log("token")} == {"GET"}


def test_tenant_of_the_identity_is_sent_and_signs_in_there(desk: RegistryDesk) -> None:
    desk.configure(f'[identity.azure]\nprovider = "entra"\ntenant = "{CONTOSO.id}"\n')

    desk.secret()

    (exchange,) = desk.acr.exchanges(status=200)
    assert exchange["form"]["tenant"] == CONTOSO.id
    assert {r["tenant"] for r in desk.entra.token_requests()} == {CONTOSO.id}


def test_registry_of_another_tenant_names_its_fix_once(desk: RegistryDesk) -> None:
    """And the command that the line names is one that helps."""
    desk.acr.tenants[OTHER] = FABRIKAM.id
    desk.register(OTHER)

    refused = client(desk, "docker", "manifest", "inspect", f"{OTHER}/app:1")

    assert refused.returncode != 0
    fix = f"hushkey setup {OTHER} --tenant"
    assert refused.stderr.count(f"{fix} TENANT".encode()) == 1
    assert b" refuses alice" not in refused.stderr
    again = client(desk, "oras", "manifest", "fetch", f"{OTHER}/app:1")
    assert f"{fix} TENANT".encode() in again.stderr
    assert len(desk.acr.exchanges()) == 1

    words = (*fix.split()[1:], FABRIKAM.id, "--no-login")
    done = desk.hushkey(*words, "--yes")
    assert done.returncode == 0, done.stderr
    assert desk.get(OTHER).returncode == 0  # within the minute that a refusal counts
    (exchange,) = desk.acr.exchanges(status=200)
    assert exchange["form"]["tenant"] == FABRIKAM.id


def test_sovereign_registry_signs_in_at_its_own_cloud(desk: RegistryDesk) -> None:
    desk.browser.user = "grace@agency.example"

    desk.secret("agency.azurecr.us")

    asked = {host.rpartition(":")[0] for host in desk.detour.asked}
    assert "login.microsoftonline.us" in asked
    assert "login.microsoftonline.com" not in asked
    assert desk.acr.exchanges()[0]["host"] == "agency.azurecr.us"


def test_two_registries_share_a_sign_in_and_no_token(desk: RegistryDesk) -> None:
    mine, theirs = desk.secret(HOST), desk.secret(OTHER)

    assert mine != theirs
    assert len(desk.browser.visits()) == 1
    assert [r["host"] for r in desk.acr.exchanges()] == [HOST, OTHER]


# -- silence -----------------------------------------------------------------------


def test_cached_answer_costs_no_network(signed_in: RegistryDesk) -> None:
    first = signed_in.secret()
    asked = len(signed_in.detour.asked)

    assert signed_in.secret() == first
    assert len(signed_in.detour.asked) == asked


def test_expired_registry_token_is_renewed_in_silence(signed_in: RegistryDesk) -> None:
    first = signed_in.secret()
    signed_in.age_registry_tokens(10800 - 200)

    assert signed_in.secret() != first
    assert len(signed_in.browser.visits()) == 1
    assert len(signed_in.acr.exchanges()) == 2


CROWD = pytest.mark.parametrize("crowd", [8, pytest.param(50, marks=pytest.mark.long)])


@CROWD
def test_crowd_with_an_expired_token_exchanges_once(
    signed_in: RegistryDesk, crowd: int
) -> None:
    signed_in.secret()
    signed_in.age_registry_tokens(10800)
    before = len(signed_in.acr.exchanges())

    answers = signed_in.get_at_once([HOST] * crowd)

    assert len({answered(done)["Secret"] for done in answers}) == 1
    assert len(signed_in.acr.exchanges()) == before + 1


@CROWD
def test_cold_crowd_signs_in_once_and_exchanges_once(
    desk: RegistryDesk, crowd: int
) -> None:
    answers = desk.get_at_once([HOST] * crowd)

    assert len({answered(done)["Secret"] for done in answers}) == 1
    assert len(desk.browser.visits()) == 1
    assert len(desk.entra.token_requests("authorization_code")) == 1
    assert len(desk.acr.exchanges()) == 1


@pytest.mark.long
def test_kill_at_any_moment_of_an_exchange_loses_nothing(
    signed_in: RegistryDesk,
) -> None:
    program = str(BIN / "docker-credential-hushkey")
    chance = random.Random(5)
    for _ in range(25):
        signed_in.helper("erase", HOST)
        victim = subprocess.Popen(
            [program, "get"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=signed_in.environ,
        )
        assert victim.stdin
        victim.stdin.write(HOST.encode())
        victim.stdin.close()
        victim.stdin = None
        time.sleep(chance.uniform(0, 0.6))
        victim.kill()
        victim.communicate(timeout=60)

        done = signed_in.get()

        assert done.returncode == 0, done.stdout
        assert done.stderr == b""
    assert len(signed_in.browser.visits()) == 1


@pytest.mark.long
def test_fifty_at_once_of_two_registries_after_a_night(desk: RegistryDesk) -> None:
    for host in (HOST, OTHER):
        desk.secret(host)
    desk.age(12 * 3600)

    answers = desk.get_at_once([HOST, OTHER] * 25)

    assert len({answered(done)["Secret"] for done in answers}) == 2
    assert len(desk.browser.visits()) == 1
    assert len(desk.entra.token_requests("refresh_token")) <= 2
    assert len(desk.acr.exchanges()) == 4


@CROWD
def test_crowd_shares_one_failure(signed_in: RegistryDesk, crowd: int) -> None:
    signed_in.acr.settings["delay"] = 1
    signed_in.acr.fail("exchange.server_error")

    answers = signed_in.get_at_once([HOST] * crowd)

    assert {done.returncode for done in answers} == {1}
    # Who begins after the failure tries anew; nobody who waited does.
    assert len(signed_in.acr.exchanges()) <= 5


# -- each fault of the exchange its own line -----------------------------------------

FAULTS = {
    "exchange.bad_request": b"rejects the exchange (HTTP 400): invalid access token *",
    "exchange.unauthorized": b"refuses this sign-in (HTTP 401)",
    "exchange.forbidden": b"a firewall or network rule (HTTP 403): client with IP",
    "exchange.not_found": b"this registry has no token exchange (HTTP 404)",
    "exchange.too_many_requests": b"too many requests (HTTP 429)",
    "exchange.server_error": b"the server failed (HTTP 500)",
    "exchange.unavailable": b"the server failed (HTTP 503)",
    "exchange.redirect": b"a redirect instead of an answer (HTTP 307)",
    "exchange.page": b"a web page instead of an answer (HTTP 200)",
    "exchange.nothing": b"the answer holds no registry token",
    "hang": b"no answer in time",
    "drop": b"cannot be reached",
}


@pytest.mark.parametrize("name", FAULTS)
def test_fault_of_the_exchange_is_one_line(signed_in: RegistryDesk, name: str) -> None:
    signed_in.configure(settings="silent_timeout = 3")
    signed_in.acr.fail(name)
    visits, asked = len(signed_in.browser.visits()), len(signed_in.detour.asked)
    began = time.monotonic()

    done = signed_in.get()

    assert done.returncode == 1
    assert done.stdout.count(b"\n") == 1
    assert FAULTS[name] in done.stdout
    assert b"contoso.azurecr.io" in done.stdout
    assert time.monotonic() - began < 8
    assert len(signed_in.browser.visits()) == visits
    reached = {host for host in signed_in.detour.asked[asked:]}
    assert reached <= {f"{HOST}:443", "login.microsoftonline.com:443"}
    sent = [r["form"]["access_token"] for r in signed_in.acr.exchanges()]
    assert sent
    assert all(token.encode() not in done.stdout + done.stderr for token in sent)


def test_retry_after_of_the_registry_is_obeyed(signed_in: RegistryDesk) -> None:
    signed_in.acr.fail("exchange.too_many_requests", times=1)

    first, second = signed_in.get(), signed_in.get()

    assert b"HTTP 429" in first.stdout
    assert b"HTTP 429" in second.stdout
    assert len(signed_in.acr.exchanges()) == 1


def test_refused_token_of_an_hour_ago_is_renewed_and_exchanged(
    signed_in: RegistryDesk,
) -> None:
    signed_in.secret()
    signed_in.age(1800)
    signed_in.helper("erase", HOST)
    signed_in.entra.revoke(kind="access")
    before = len(signed_in.acr.exchanges())

    done = signed_in.get()

    assert done.returncode == 0, done.stdout
    sent = signed_in.acr.exchanges()[before:]
    assert [record["status"] for record in sent] == [401, 200]


def test_old_registry_token_serves_while_the_exchange_fails(
    signed_in: RegistryDesk,
) -> None:
    first = signed_in.secret()
    signed_in.age_registry_tokens(10800 - 120)
    signed_in.acr.fail("exchange.unavailable")

    assert signed_in.secret() == first


def test_token_without_an_end_is_used_for_a_while_and_says_so(
    signed_in: RegistryDesk,
) -> None:
    signed_in.acr.settings["lifetime"] = None

    first, second = signed_in.get(), signed_in.get()

    assert answered(first) == answered(second)
    assert b"gave a token without an end" in first.stderr
    assert second.stderr == b""
    assert len(signed_in.acr.exchanges()) == 1


def test_opaque_token_serves_as_well(signed_in: RegistryDesk) -> None:
    signed_in.acr.settings["opaque"] = True

    assert signed_in.secret() == signed_in.secret()


def test_token_that_has_ended_is_not_handed_out(signed_in: RegistryDesk) -> None:
    signed_in.acr.settings["lifetime"] = -60

    done = signed_in.get()

    assert done.returncode == 1
    assert b"has ended already" in done.stdout


def test_token_of_six_kilobytes_comes_through(signed_in: RegistryDesk) -> None:
    signed_in.acr.settings["size"] = 6000

    first = signed_in.secret()

    assert len(first) > 6000
    assert signed_in.secret() == first


# -- who is asked, and for what --------------------------------------------------------


def test_sign_in_that_cannot_happen_is_one_line_at_once(desk: RegistryDesk) -> None:
    began = time.monotonic()

    done = desk.get(CI="true")

    assert done.returncode == 1
    assert done.stdout.count(b"\n") == 1
    assert HOST.encode() in done.stdout
    assert b"run: hushkey login contoso.azurecr.io" in done.stdout
    assert time.monotonic() - began < 5
    assert desk.browser.visits() == []


def test_caller_that_nobody_knows_opens_no_window_and_ends_no_build(
    desk: RegistryDesk,
) -> None:
    """docker-py, below ansible and compose 1, asks for every key."""
    program = str(BIN / "docker-credential-hushkey")

    done = desk.start_program(program, "get", stdin=HOST)

    assert (done.stdout, done.returncode) == (NOT_FOUND, 1)
    assert f"run: hushkey login {HOST}".encode() in done.stderr
    assert desk.browser.visits() == []
    assert desk.get().returncode == 0
    desk.age_registry_tokens(10800)
    renewed = answered(desk.start_program(program, "get", stdin=HOST))
    assert renewed["Username"] == "<token>"


def as_docker(desk: RegistryDesk, host: str, *words: str, **extra: str) -> Done:
    """Ask for *host* as a process would whose command line is docker's *words*."""
    script = f"printf %s {host} | {BIN / 'docker-credential-hushkey'} get; exit $?"
    done = subprocess.run(
        ["docker", "-c", script, *words],
        executable="/bin/sh",
        capture_output=True,
        env=desk.environ | extra,
        cwd=desk.folder,
        timeout=60,
        check=False,
    )
    desk.ear.hear("docker", done.stdout, done.stderr)
    return done


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("build", "-t", IMAGE, "."), ()),
        (("image", "build", "."), ()),
        (("run", "--use-api-socket", IMAGE), (HOST,)),
        (("container", "create", "--use-api-socket", f"{OTHER}/app"), (OTHER,)),
    ],
    ids=["classic-build", "image-build", "api-socket", "api-socket-other"],
)
def test_registry_that_was_not_asked_for_opens_no_window(
    desk: RegistryDesk, words: tuple[str, ...], named: tuple[str, ...]
) -> None:
    for host in (HOST, OTHER):
        if host not in named:
            done = as_docker(desk, host, *words)
            assert (done.stdout, done.returncode) == (NOT_FOUND, 1)

    assert desk.browser.visits() == []
    assert desk.detour.asked == []
    for host in named:
        assert as_docker(desk, host, *words).returncode == 0
        assert len(desk.browser.visits()) == 1


def test_registry_that_was_not_asked_for_gets_what_is_cached(
    signed_in: RegistryDesk,
) -> None:
    first = signed_in.secret()
    signed_in.age_registry_tokens(10800 - 120)
    asked = len(signed_in.detour.asked)

    done = as_docker(signed_in, HOST, "build", ".")

    assert answered(done)["Secret"] == first
    assert len(signed_in.detour.asked) == asked


def test_buildkit_and_pull_may_ask(desk: RegistryDesk) -> None:
    assert as_docker(desk, HOST, "build", ".", DOCKER_BUILDKIT="1").returncode == 0
    assert as_docker(desk, OTHER, "pull", f"{OTHER}/app").returncode == 0


def test_classic_build_of_the_real_docker_asks_nobody(desk: RegistryDesk) -> None:
    """docker's own classic builder asks for both keys before it looks for an engine."""
    try:
        find_client("docker")
    except Missing as reason:
        do_without(reason)
    desk.register(HOST, OTHER)
    (desk.folder / "Dockerfile").write_text("FROM scratch\n")
    log = desk.folder / "asked"
    wrapper = desk.folder / "bin" / "docker-credential-hushkey"
    wrapper.parent.mkdir()
    real = BIN / "docker-credential-hushkey"
    wrapper.write_text(f'#!/bin/sh\necho "$1" >>{log}\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    path = f"{wrapper.parent}{os.pathsep}{desk.environ['PATH']}"

    desk.client("docker", "build", ".", PATH=path, DOCKER_BUILDKIT="0")

    assert log.read_text().split() == ["get", "get"]
    assert desk.browser.visits() == []
