"""What git is told about the network, and what of it counts for us."""

import os
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hushkey.errors import HushkeyError, Permanent
from hushkey.net.gitsettings import GitConfig, GitSettings
from kit.oauth import Reply, Scripted, network
from servers.authority import Authority

ID, GIT = "https://id.test/token", "https://git.test/a/b"
TOKEN = {"access_token": "at", "token_type": "Bearer"}


@pytest.fixture
def gitconfig(home: Path) -> Path:
    return home / ".gitconfig"


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def tls_server(ca: Authority) -> Iterator[Scripted]:
    with Scripted(ca.server_context()) as running:
        running.on("/token", Reply(TOKEN))
        yield running


def told(url: str = ID, **environ: str) -> GitSettings:
    return GitConfig(GIT, {**os.environ, **environ}).for_url(url)


def proxies(url: str = ID, setting: str = "", **environ: str) -> dict[str, str]:
    asked = network(environ={**os.environ, **environ}, git_url=GIT, proxy=setting)
    return asked.proxies(url)


@pytest.mark.parametrize(
    ("written", "proxy"),
    [
        ('[http]\nproxy = "http://all:1"', "http://all:1"),
        ('[http "https://git.test"]\nproxy = "http://git:1"', "http://git:1"),
        ('[http "https://id.test"]\nproxy = "http://id:1"', "http://id:1"),
        ('[http "https://*.test/"]\nproxy = "http://wild:1"', "http://wild:1"),
        (
            '[http]\nproxy = "http://all:1"\n'
            '[http "https://git.test"]\nproxy = "http://git:1"',
            "http://git:1",
        ),
        (
            '[http "https://id.test"]\nproxy = "http://id:1"\n'
            '[http "https://git.test"]\nproxy = "http://git:1"\n'
            '[http]\nproxy = "http://all:1"',
            "http://id:1",
        ),
        ('[http "https://other.test"]\nproxy = "http://other:1"', None),
        ('[http]\nproxy = ""', ""),
        ("", None),
    ],
)
def test_most_specific_proxy_counts(
    gitconfig: Path, written: str, proxy: str | None
) -> None:
    gitconfig.write_text(written)

    assert told().proxy == proxy


def test_command_line_counts_and_the_repository_s_own_file_does_not(
    gitconfig: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path / "r")], check=True)
    monkeypatch.chdir(tmp_path / "r")
    for key in ("http.proxy", "http.https://git.test.proxy"):
        subprocess.run(["git", "config", key, "http://evil:1"], check=True)
    inside = {"GIT_DIR": str(tmp_path / "r" / ".git")}

    assert told().proxy is None
    assert told(**inside).proxy is None
    said = {"GIT_CONFIG_PARAMETERS": "'http.proxy=http://typed:1'"}
    assert told(**inside, **said).proxy == "http://typed:1"


def test_variables_override_the_files(gitconfig: Path, home: Path) -> None:
    gitconfig.write_text(
        '[http]\nsslCAInfo = "~/own.pem"\nsslCert = /c.pem\nsslKey = rel.pem\n'
        "sslCAPath = /certs\n"
    )

    assert told().ca == (str(home / "own.pem"), "/certs")
    assert (told().certificate, told().key) == ("/c.pem", "")
    assert told(GIT_SSL_CAINFO="/v.pem").ca == ("/v.pem", "/certs")
    assert told(GIT_SSL_CERT="/d.pem", GIT_SSL_KEY="/k.pem").key == "/k.pem"


@pytest.mark.parametrize(
    ("written", "variables", "unverified"),
    [
        ("[http]\nsslVerify = false", {}, True),
        ("[http]\nsslVerify = 0", {}, True),
        ('[http "https://git.test"]\nsslVerify = no', {}, True),
        ("[http]\nsslVerify", {}, False),
        ("[http]\nsslVerify = true", {"GIT_SSL_NO_VERIFY": "1"}, True),
        ("", {}, False),
    ],
)
def test_unverified_is_noticed(
    gitconfig: Path, written: str, variables: dict[str, str], unverified: bool
) -> None:
    gitconfig.write_text(written)

    assert told(**variables).unverified is unverified


def test_machine_without_git_is_told_nothing(tmp_path: Path) -> None:
    assert told(PATH=str(tmp_path)) == GitSettings()


def test_proxy_is_after_ours_and_before_the_environment_s(
    gitconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://environ:1")
    assert proxies()["https"] == "http://environ:1"

    gitconfig.write_text("[http]\nproxy = git:1")

    assert proxies()["https"] == "http://git:1"
    assert proxies(setting="http://ours:1")["https"] == "http://ours:1"
    assert proxies("https://127.0.0.1:1/token") == {}
    assert network(environ=os.environ).proxies(ID)["https"] == "http://environ:1"


def test_no_proxy_is_heard_and_an_empty_proxy_is_none(
    gitconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gitconfig.write_text("[http]\nproxy = git:1")
    monkeypatch.setenv("no_proxy", "id.test")
    assert "https" not in proxies()

    monkeypatch.delenv("no_proxy")
    monkeypatch.setenv("https_proxy", "http://environ:1")
    gitconfig.write_text('[http]\nproxy = ""')

    assert proxies() == {}


def test_socks_proxy_is_said_not_to_be_spoken(gitconfig: Path) -> None:
    gitconfig.write_text("[http]\nproxy = socks5h://me:s3cret@p:1")

    with pytest.raises(Permanent, match=r"git's http\.proxy") as caught:
        proxies()

    assert "s3cret" not in caught.value.line()


@pytest.mark.parametrize("how", ["file", "variable", "url", "folder"])
def test_certificate_that_git_trusts_is_trusted(
    gitconfig: Path, ca: Authority, tls_server: Scripted, how: str, tmp_path: Path
) -> None:
    environ = dict(os.environ)
    if how == "variable":
        environ["GIT_SSL_CAINFO"] = str(ca.ca_file)
    elif how == "folder":
        folder = tmp_path / "certs"
        folder.mkdir()
        (folder / "ca.pem").write_bytes(Path(ca.ca_file).read_bytes())
        subprocess.run(["openssl", "rehash", str(folder)], check=True)
        gitconfig.write_text(f"[http]\nsslCAPath = {folder}")
    else:
        place = f' "{tls_server.url}"' if how == "url" else ""
        gitconfig.write_text(f"[http{place}]\nsslCAInfo = {ca.ca_file}")
    url = f"{tls_server.url}/token"

    with network(environ=environ, git_url=GIT).session() as session:
        assert session.post(url).json() == TOKEN
    # and for nobody but git
    with pytest.raises(Permanent), network(environ=environ).session() as session:
        session.post(url)


def test_certificate_that_others_can_change_is_refused(
    gitconfig: Path, ca: Authority, tls_server: Scripted, tmp_path: Path
) -> None:
    loose = tmp_path / "loose.pem"
    loose.write_bytes(Path(ca.ca_file).read_bytes())
    loose.chmod(0o666)
    gitconfig.write_text(f"[http]\nsslCAInfo = {loose}")

    with (
        pytest.raises(Permanent, match=r"git's http\.sslCAInfo"),
        network(environ=os.environ, git_url=GIT).session() as session,
    ):
        session.post(f"{tls_server.url}/token")

    assert tls_server.calls == []


def test_unverified_is_not_obeyed_and_said(
    gitconfig: Path, tls_server: Scripted
) -> None:
    gitconfig.write_text("[http]\nsslVerify = false")

    with (
        pytest.raises(Permanent) as caught,
        network(environ=os.environ, git_url=GIT).session() as session,
    ):
        session.post(f"{tls_server.url}/token")

    assert "git's http.sslVerify does not count here" in caught.value.line()
    assert tls_server.calls == []


def test_nothing_is_asked_of_git_before_a_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("git was started")

    monkeypatch.setattr(subprocess, "run", fail)

    network(environ=os.environ, git_url=GIT).session().close()


@pytest.fixture
def client(tmp_path: Path) -> tuple[Path, Path]:
    """Return a client certificate and its key."""
    files = tmp_path / "client.pem", tmp_path / "client.key"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=me"
    subprocess.run(
        ["openssl", *words.split(), "-out", str(files[0]), "-keyout", str(files[1])],
        check=True,
        capture_output=True,
    )
    return files


def test_client_certificate_is_shown_where_git_shows_it(
    gitconfig: Path, ca: Authority, client: tuple[Path, Path]
) -> None:
    context = ca.server_context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(client[0])
    # TLS 1.3 tells a refusal only after the request was sent
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    def asks(server: Scripted) -> object:
        asked = network(environ=os.environ, git_url=GIT, ca_file=str(ca.ca_file))
        with asked.session() as session:
            return session.post(f"{server.url}/token").json()

    with Scripted(context) as server:
        server.on("/token", Reply(TOKEN))
        with pytest.raises(HushkeyError):
            asks(server)
        gitconfig.write_text(f"[http]\nsslCert = {client[0]}\nsslKey = {client[1]}")

        assert asks(server) == TOKEN


def test_client_certificate_with_a_passphrase_asks_nobody(
    gitconfig: Path, client: tuple[Path, Path], tmp_path: Path
) -> None:
    locked = str(tmp_path / "locked.key")
    words = ["ec", "-aes256", "-passout", "pass:x", "-in", str(client[1])]
    subprocess.run(["openssl", *words, "-out", locked], check=True, capture_output=True)
    gitconfig.write_text(f"[http]\nsslCert = {client[0]}\nsslKey = {locked}")

    with (
        pytest.raises(Permanent, match="have no passphrase"),
        network(environ=os.environ, git_url=GIT).session() as session,
    ):
        session.post(ID)


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ("[http]\nproxy = http://me:s3cret@p:1", ["http.proxy"]),
        (
            '[http "https://me:s3cret@git.test/"]\nsslCAInfo = /x',
            ["http.https://git.test/.sslcainfo"],
        ),
        ("[http]\nsslVerify = false\npostBuffer = 1", ["http.sslverify"]),
        ("[http]\nsslVerify = true", []),
    ],
)
def test_what_counts_is_named_without_secrets(
    gitconfig: Path, written: str, named: list[str]
) -> None:
    gitconfig.write_text(written)

    assert GitConfig("", os.environ).counts() == named
