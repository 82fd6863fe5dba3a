"""The fake registry in front of the real one, and its answers as data."""

import json
from collections.abc import Iterator

import pytest
import requests

from conftest import do_without
from servers.acr import ISSUER, Acr, Signer, access_claims
from servers.authority import Authority
from servers.entra import Entra, answer
from servers.process import Missing
from servers.registry import DockerRegistry, seed

pytestmark = pytest.mark.contract
HOST = "contoso.azurecr.io"
NAMES = sorted(path.stem for path in Acr.answers.glob("*.json"))


@pytest.fixture(scope="module")
def signer(authority: Authority) -> Signer:
    return Signer(authority)


@pytest.fixture(scope="module")
def registry(authority: Authority, signer: Signer) -> Iterator[DockerRegistry]:
    ca_file = authority.ca_file
    with_tokens = DockerRegistry(host=HOST, issuer=ISSUER, certificates=ca_file)
    try:
        with_tokens.start()
    except Missing as reason:
        do_without(reason)
    scopes = ["repository:app:pull,push"]
    token = signer.sign(access_claims(HOST, "seed", scopes))
    seed(with_tokens.port, "app", token=token)
    yield with_tokens
    with_tokens.stop()


def status(registry: DockerRegistry, token: str) -> int:
    url = f"http://{registry.place}/v2/app/tags/list"
    headers = {"Authorization": f"Bearer {token}", "Host": HOST}
    return requests.get(url, headers=headers, timeout=10).status_code


def test_registry_itself_judges_every_token(
    registry: DockerRegistry, signer: Signer, authority: Authority
) -> None:
    pull = access_claims(HOST, "alice", ["repository:app:pull"])
    good = signer.sign(pull)
    stranger = Signer(Authority(authority.ca_file.parent / "stranger"))
    bad = {
        "tampered": good[:-6] + "AAAAAA",
        "another signer": stranger.sign(pull),
        "another registry": signer.sign(pull | {"aud": "fabrikam.azurecr.io"}),
        "another issuer": signer.sign(pull | {"iss": "somebody"}),
        "expired": signer.sign(pull | {"exp": pull["iat"] - 600}),
        "another repository": signer.sign(
            access_claims(HOST, "alice", ["repository:other:pull"])
        ),
    }

    assert status(registry, good) == 200
    assert {
        name: status(registry, token) for name, token in bad.items()
    } == dict.fromkeys(bad, 401)


@pytest.mark.parametrize("name", NAMES)
def test_answer_names_where_it_was_shaped(name: str) -> None:
    found = answer(name, Acr.answers)

    assert found.source
    assert all(each.startswith("https://") for each in found.source)
    assert 200 <= found.status < 600


def test_exchange_takes_only_the_registrys_own_tokens(authority: Authority) -> None:
    with Entra(authority) as entra, Acr(authority, entra) as acr:
        url = f"https://127.0.0.1:{acr.port}/oauth2/exchange"
        form = {
            "grant_type": "access_token",
            "service": HOST,
            "access_token": "made-up",
        }
        ca_file = str(authority.ca_file)

        refused = requests.post(
            url, data=form, headers={"Host": HOST}, verify=ca_file, timeout=10
        )
        asked = requests.get(url, headers={"Host": HOST}, verify=ca_file, timeout=10)

    assert refused.status_code == 401
    assert json.loads(refused.text)["errors"][0]["code"] == "UNAUTHORIZED"
    assert asked.status_code == 404
