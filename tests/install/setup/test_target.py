"""Every spelling of a server that people have at hand."""

import os
import subprocess
from pathlib import Path

import pytest

from hushkey.errors import Permanent
from hushkey_install.setup import target


@pytest.mark.parametrize(
    ("text", "url", "kind"),
    [
        ("git.example.com", "https://git.example.com", ""),
        ("GIT.example.com/", "https://git.example.com", ""),
        ("git.example.com:8443", "https://git.example.com:8443", ""),
        ("git.example.com:8443/a/b", "https://git.example.com:8443/a/b", ""),
        ("https://git.example.com/a/b.git", "https://git.example.com/a/b.git", "git"),
        ("https://git.example.com:443/a?x=1#y", "https://git.example.com/a", ""),
        ("http://127.0.0.1:3000/a", "http://127.0.0.1:3000/a", ""),
        ("git@git.example.com:a/b.git", "https://git.example.com/a/b.git", "git"),
        ("git.example.com:a/b", "https://git.example.com/a/b", "git"),
        ("me@git.example.com:b", "https://git.example.com/b", "git"),
        ("ssh://git@git.example.com:2222/a/b", "https://git.example.com/a/b", "git"),
        ("ssh://git@ssh.github.com:443/a/b", "https://github.com/a/b", "git"),
        ("git@altssh.bitbucket.org:a/b", "https://bitbucket.org/a/b", "git"),
        (
            "registry.example.com:5000/a:v1",
            "https://registry.example.com:5000/a:v1",
            "docker",
        ),
        ("docker://registry.example.com/a", "https://registry.example.com/a", "docker"),
        ("oci://registry.example.com/a", "https://registry.example.com/a", "docker"),
        ("https://pkg.example.com/simple/", "https://pkg.example.com/simple", "python"),
    ],
)
def test_server_of_an_address(text: str, url: str, kind: str) -> None:
    found = target.parse(text)

    assert (found.url, found.kind) == (url, kind)


@pytest.mark.parametrize("end", ["", "/"])
@pytest.mark.parametrize("path", ["", "/realms/dev"])
def test_discovery_document_names_the_issuer(path: str, end: str) -> None:
    address = f"https://id.example.com{path}"

    found = target.parse(f"{address}/.well-known/openid-configuration{end}")

    assert found.issuer == address


def test_password_in_an_address_is_neither_used_nor_shown() -> None:
    found = target.parse("https://me:CANARY@git.example.com/a")
    ssh = target.parse("ssh://me:CANARY@git.example.com/a")

    assert "CANARY" not in repr(found) + repr(ssh)


@pytest.mark.parametrize(
    "text",
    ["ftp://a.test", "", "https://", "file:///etc/passwd", "https://a b.test",
     "https://a.test\\@b.test", "git@:a/b", "\uff47it.example.com"],
)  # fmt: skip
def test_no_server_is_one_line(text: str) -> None:
    with pytest.raises(Permanent):
        target.parse(text)


def test_remotes_of_a_repository_with_origin_first(tmp_path: Path, home: Path) -> None:
    def git(*words: str) -> None:
        subprocess.run(["git", "-C", tmp_path, *words], check=True, timeout=30)

    git("init", "-q")
    git("remote", "add", "a", "https://a.test/x")
    git("remote", "add", "local", str(tmp_path))
    git("remote", "add", "origin", "git@b.test:x")
    environ = dict(os.environ)
    assert target.of_repository(environ, str(tmp_path)) == [
        "git@b.test:x",
        "https://a.test/x",
    ]
    assert target.of_repository(environ, str(home)) == []
