import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hushkey_install.cli import main
from hushkey_install.register import docker
from kit.oauth import Machine

Done = subprocess.CompletedProcess[bytes]

MORE = """
[host."reg.test"]
identity = "corp"
scopes = ["reg"]
exchange = "acr"
[host."*.many.test"]
identity = "corp"
scopes = ["reg"]
exchange = "acr"
"""
BEFORE = """{
  "auths": {"contoso.azurecr.io": {"auth": "c2VjcmV0"}, "other.test": {}},
  "credHelpers": {
    "old.test": "ecr-login"
  },
  "credsStore": "desktop"
}
"""


class Person(Machine):
    """A machine with docker's config file."""

    @property
    def file(self) -> Path:
        return self.home / ".docker" / "config.json"

    def wrote(self, text: str) -> None:
        self.file.parent.mkdir(exist_ok=True)
        self.file.write_text(text)

    def hushkey(self, *words: str) -> Done:
        """Run `hushkey` in this process, which is quicker."""
        result = CliRunner().invoke(main, words, env=self.environ)
        return Done(words, result.exit_code, result.stdout_bytes, result.stderr_bytes)

    def does(self, *words: str) -> Done:
        done = self.hushkey(*words)
        assert done.returncode == 0, done.stderr
        return done

    def helpers(self) -> Any:
        return json.loads(self.file.read_text()).get("credHelpers")


@pytest.fixture
def person(home: Path) -> Person:
    made = Person(home)
    made.configure(MORE)
    return made


def test_named_registries_get_a_key_each_and_the_rest_stays(person: Person) -> None:
    person.wrote(BEFORE)

    done = person.does("install", "docker", "a.test", "https://b.test:443/v2/")

    text = person.file.read_text()
    added = ',\n    "a.test": "hushkey",\n    "b.test": "hushkey"'
    assert text == BEFORE.replace('"ecr-login"', f'"ecr-login"{added}')
    assert b"docker asks hushkey for: a.test, b.test" in done.stderr


def test_registries_that_are_known_need_no_name(person: Person) -> None:
    person.wrote(BEFORE)

    done = person.does("install", "docker")

    assert person.helpers() == {
        "old.test": "ecr-login",
        "reg.test": "hushkey",
        "contoso.azurecr.io": "hushkey",
    }
    assert b"has no identity" not in done.stderr


def test_registry_without_an_identity_is_said_to_be_kept(person: Person) -> None:
    done = person.does("install", "docker", "typed.test")

    assert b"note: typed.test has no identity" in done.stderr


HIDING = """{
  "auths": {
    "typed.test": {"auth": "bWU6c2VjcmV0"}, "marked.test": {}, "other.test": {},
    "reg.test": {"auth": "bWU6c2VjcmV0"}
  },
  "credsStore": "desktop"
}
"""


@pytest.mark.parametrize("words", [(), ("--dry-run",)])
def test_login_that_registering_hides_is_said(
    person: Person, words: tuple[str, ...]
) -> None:
    person.wrote(HIDING)
    hosts = ("typed.test", "marked.test", "reg.test", "new.test")

    done = person.does("install", "docker", *words, *hosts)

    notes = [x for x in done.stderr.decode().splitlines() if "no longer used" in x]
    start, take = "note: docker's login to", "to take it over: hushkey import docker"
    gone, store = "is no longer used", "docker-credential-desktop"
    assert notes == [
        f"{start} typed.test in {person.file} {gone}; {take}",
        f"{start} marked.test in {store} {gone}; {take}",
        f"{start} reg.test in {person.file} {gone}: identity corp signs in instead",
    ]


def test_store_for_all_hides_all_but_what_has_a_helper(person: Person) -> None:
    content = json.loads(HIDING) | {"credHelpers": {"other.test": "pass"}}
    person.wrote(json.dumps(content))

    done = person.does("install", "docker", "--all-hosts")

    hidden = [x.split()[4] for x in done.stderr.decode().splitlines() if "longer" in x]
    assert hidden == ["typed.test", "marked.test", "reg.test"]


@pytest.mark.parametrize(
    ("body", "is_said"),
    [('echo \'{"unmarked.test": "me"}\'', True), ("exit 3", False), ("true", False)],
)
def test_other_store_is_asked_what_it_has(
    person: Person, tmp_path: Path, body: str, is_said: bool
) -> None:
    program = tmp_path / "bin" / "docker-credential-other"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    person.environ["PATH"] = f"{program.parent}:{person.environ['PATH']}"
    person.wrote('{"credsStore": "other"}')

    done = person.does("install", "docker", "unmarked.test")

    hidden = b"unmarked.test in docker-credential-other is no longer used"
    assert (hidden in done.stderr) is is_said


def test_podmans_name_of_the_hub_is_said(person: Person, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "skopeo"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    person.environ["PATH"] = f"{program.parent}:{person.environ['PATH']}"

    done = person.does("install", "docker", "docker.io")

    assert b"for them run: hushkey install podman docker.io" in done.stderr


@pytest.mark.parametrize("named", [False, True])
def test_podman_is_promised_what_its_login_does(person: Person, named: bool) -> None:
    file = person.home / ".config" / "containers" / "auth.json"
    if named:
        person.environ["REGISTRY_AUTH_FILE"] = str(file)

    said = person.does("install", "podman", "typed.test").stderr.decode()

    assert ("hushkey keeps what `podman login` is told" in said) is named
    assert (f"podman login --authfile {file} typed.test" in said) is not named


@pytest.mark.parametrize("word", ["*.azurecr.io", "ftp://x", "a b"])
def test_what_docker_could_not_use_is_refused(person: Person, word: str) -> None:
    done = person.hushkey("install", "docker", word)

    assert done.returncode == 1
    assert b"name each registry" in done.stderr
    assert not person.file.exists()


def test_nothing_known_says_what_to_type(person: Person) -> None:
    person.configure()

    done = person.hushkey("install", "docker")

    assert done.returncode == 1
    assert b"hushkey install docker contoso.azurecr.io" in done.stderr


def test_dry_run_changes_nothing_and_shows_no_password(person: Person) -> None:
    person.wrote(BEFORE.replace("\n", " "))

    done = person.does("install", "docker", "--dry-run", "old.test")

    assert done.stdout.decode().splitlines() == [
        str(person.file),
        "- credHelpers old.test: ecr-login",
        "+ credHelpers old.test: hushkey",
    ]
    assert person.file.read_text() == BEFORE.replace("\n", " ")
    assert not (person.data / "installed").exists()


def test_backup_is_beside_and_the_mode_stays(person: Person) -> None:
    person.wrote('{"auths": {"other.test": {}}}')
    person.file.chmod(0o640)

    person.does("install", "docker", "a.test")

    backup = person.file.with_name("config.json.hushkey-backup")
    assert backup.read_text() == '{"auths": {"other.test": {}}}'
    assert person.file.stat().st_mode & 0o777 == 0o640
    person.does("uninstall", "docker")
    assert not backup.exists()


def test_store_for_all_is_touched_only_on_request(person: Person) -> None:
    person.wrote(BEFORE)
    person.does("install", "docker", "a.test")
    assert json.loads(person.file.read_text())["credsStore"] == "desktop"

    person.does("install", "docker", "--all-hosts")

    assert json.loads(person.file.read_text())["credsStore"] == "hushkey"
    person.does("uninstall", "docker")
    assert person.file.read_text() == BEFORE


def test_docker_hub_has_dockers_own_key(person: Person) -> None:
    person.does("install", "docker", "docker.io")

    assert person.helpers() == {"https://index.docker.io/v1/": "hushkey"}


@pytest.mark.parametrize(
    "before",
    [
        BEFORE,
        "{}",
        '{"auths":{}}',
        BEFORE.replace("\n", "\r\n"),
        '{\n\t"credHelpers": {}\n}',
        '{"credHelpers": {"a.test": "ecr-login"}}',
        '{"credHelpers": {"a.test": ""}, "credsStore": "desktop"}',
        '{"credHelpers": null, "auths": {}}',
        '{"credHelpers": { }, "auths": {}}',
        '{"credHelpers": {\n}}\n',
        "{ }\n",
        "{\n}",
        " \n",
        "",
    ],
)
def test_uninstall_gives_back_the_file_to_the_byte(person: Person, before: str) -> None:
    person.file.parent.mkdir()
    person.file.write_bytes(before.encode())
    person.does("install", "docker", "a.test")
    person.does("install", "docker", "b.test", "old.test")

    person.does("uninstall", "docker")

    assert person.file.read_bytes() == before.encode()
    assert not list((person.data / "installed").iterdir())


def test_store_that_was_set_to_nothing_is_so_again(person: Person) -> None:
    person.wrote('{"credsStore": ""}')
    person.does("install", "docker", "--all-hosts")

    person.does("uninstall", "docker")

    assert person.file.read_text() == '{"credsStore": ""}'


def test_helper_that_another_tool_put_in_meanwhile_comes_back(person: Person) -> None:
    person.does("install", "docker", "a.test")
    person.wrote('{"credHelpers": {"a.test": "ecr-login"}}')
    person.does("install", "docker", "a.test")

    person.does("uninstall", "docker")

    assert person.helpers() == {"a.test": "ecr-login"}


def test_each_config_folder_of_docker_is_undone_by_itself(
    person: Person, tmp_path: Path
) -> None:
    person.wrote('{"credHelpers": {"a.test": "ecr-login"}}')
    person.does("install", "docker", "a.test")
    person.environ["DOCKER_CONFIG"] = str(tmp_path / "other")
    person.does("install", "docker", "b.test")
    person.does("uninstall", "docker")
    del person.environ["DOCKER_CONFIG"]

    person.does("uninstall", "docker")

    assert person.helpers() == {"a.test": "ecr-login"}
    assert not (tmp_path / "other" / "config.json").exists()


def test_installs_at_once_lose_nothing(person: Person) -> None:
    names = [f"r{number}.test" for number in range(6)]

    with ThreadPoolExecutor(len(names)) as pool:
        install = ("hushkey", "install", "docker")
        done = list(pool.map(lambda name: person.run(*install, name), names))

    assert [each.stderr for each in done if each.returncode] == []
    assert person.helpers() == dict.fromkeys(names, "hushkey")
    person.does("uninstall", "docker")
    assert not person.file.exists()


def test_file_that_install_made_is_gone_again(person: Person) -> None:
    person.does("install", "docker", "a.test")
    assert person.file.stat().st_mode & 0o777 == 0o600

    person.does("uninstall", "docker")

    assert not person.file.exists()


def test_uninstall_after_docker_rewrote_the_file_takes_only_ours(
    person: Person,
) -> None:
    person.wrote(BEFORE)
    person.does("install", "docker", "a.test", "old.test")
    content = json.loads(person.file.read_text()) | {"new": True}
    person.file.write_text(json.dumps(content, indent="\t", sort_keys=True))

    person.does("uninstall", "docker")

    assert json.loads(person.file.read_text()) == json.loads(BEFORE) | {"new": True}


def test_one_registry_can_be_taken_out(person: Person) -> None:
    person.does("install", "docker", "a.test", "b.test")

    person.does("uninstall", "docker", "a.test")

    assert person.helpers() == {"b.test": "hushkey"}


def test_twice_is_once(person: Person) -> None:
    person.does("install", "docker", "a.test")

    done = person.does("install", "docker", "a.test")

    assert b"nothing to change" in done.stderr


def test_helper_that_is_not_on_path_is_not_registered(
    person: Person, tmp_path: Path
) -> None:
    done = person.hushkey("install", "docker", "a.test")
    assert done.returncode == 0
    person.does("uninstall", "docker")
    empty = tmp_path / "bin"
    empty.mkdir()
    person.environ["PATH"] = f"{empty}{os.pathsep}bin"

    done = person.hushkey("install", "docker", "a.test")

    assert done.returncode == 1
    assert b"not on PATH" in done.stderr
    assert not person.file.exists()


def test_broken_file_is_left_alone(person: Person) -> None:
    person.wrote('{"auths": {')

    done = person.hushkey("install", "docker", "a.test")

    assert done.returncode == 1
    assert b"nothing was changed" in done.stderr
    assert person.file.read_text() == '{"auths": {'


def test_link_into_a_dotfiles_repository_stays_one(person: Person) -> None:
    target = person.home / "dotfiles.json"
    target.write_text("{}")
    person.file.parent.mkdir()
    person.file.symlink_to(target)

    person.does("install", "docker", "a.test")

    assert person.file.is_symlink()
    assert "a.test" in target.read_text()


def test_podman_has_its_own_file_and_names(person: Person) -> None:
    file = person.home / ".config" / "containers" / "auth.json"

    person.does("install", "podman", "reg.test", "docker.io")

    assert json.loads(file.read_text())["credHelpers"] == {
        "reg.test": "hushkey",
        "docker.io": "hushkey",
    }
    person.does("uninstall", "podman")
    assert not file.exists()
    assert b"--all-hosts" not in person.hushkey("install", "podman", "-h").stdout


def test_clients_are_those_of_the_command() -> None:
    assert {docker.DOCKER.name, docker.PODMAN.name} == {"docker", "podman"}


@pytest.mark.parametrize("tool", ["docker", "podman"])
def test_uninstall_needs_no_valid_config(person: Person, tool: str) -> None:
    path = {"podman": person.home / ".config" / "containers" / "auth.json"}.get(
        tool, person.file
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(BEFORE)
    person.does("install", tool, "reg.test", "a.many.test")
    assert "a.many.test" in path.read_text()
    person.configure(text="[settings")

    person.does("uninstall", tool, "reg.test")
    left = json.loads(path.read_text())["credHelpers"]
    person.does("uninstall", tool)

    assert left == {"old.test": "ecr-login", "a.many.test": "hushkey"}
    assert path.read_text() == BEFORE


@pytest.mark.parametrize("word", ["*.many.test", "not a registry", ""])
def test_uninstall_of_what_is_no_registry_takes_out_none(
    person: Person, word: str
) -> None:
    person.wrote(BEFORE)
    person.does("install", "docker", "reg.test")
    before = person.file.read_text()

    done = person.hushkey("uninstall", "docker", word)

    assert done.returncode == 1
    assert b"is not a registry's address" in done.stderr
    assert person.file.read_text() == before


def test_uninstall_of_another_registry_says_that_it_was_not_there(
    person: Person,
) -> None:
    person.wrote(BEFORE)
    person.does("install", "docker", "reg.test")
    before = person.file.read_text()

    done = person.does("uninstall", "docker", "two.test")

    assert b"docker was not told to ask hushkey for two.test" in done.stderr
    assert person.file.read_text() == before


def test_registries_of_the_config_are_registered_without_being_named(
    person: Person,
) -> None:
    for pattern, more in (
        ("registry.example.com", ""),
        ("five.test:5000/team", ""),
        ("two.test", 'tools = ["docker", "git"]'),
        ("three.test", 'tools = ["git"]'),
        ("four.test", ""),
    ):
        with person.config_file.open("a") as file:
            file.write(f'[host."{pattern}"]\nidentity = "corp"\n{more}\n')

    person.does("install", "docker")

    registered = ("reg.test", "registry.example.com", "five.test:5000", "two.test")
    assert person.helpers() == dict.fromkeys(registered, "hushkey")
    assert "four.test" not in person.file.read_text()
