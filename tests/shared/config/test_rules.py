import marshal
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from hushkey import runtime
from hushkey.config import rules
from hushkey.config.rules import MAX_BYTES, load
from hushkey.errors import ConfigError, Permanent
from hushkey.model import Request
from hushkey_helpers.agent.memory import Memory, Watch
from hushkey_helpers.agent.renewal import RenewalSchedule
from kit.core import (
    IDENTITIES,
    config_of,
    pattern_of,
    preload,
    reachable,
    rule,
    said_by,
)

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can give files away"
)
SOMEBODY = 65534
LONG_AGO = 1_600_000_000 * 10**9
ONE = IDENTITIES + rule("one.example")
TWO = IDENTITIES + rule("two.example")


class Home:
    """A config file and a data folder, and what they serve."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "config.toml"
        self.data = folder / "data"
        self.environ = {
            "HUSHKEY_CONFIG": str(self.source),
            "HUSHKEY_DATA_DIR": str(self.data),
        }

    def write(self, text: str | bytes, mtime_ns: int = LONG_AGO) -> None:
        data = text.encode() if isinstance(text, str) else text
        self.source.write_bytes(data)
        os.utime(self.source, ns=(mtime_ns, mtime_ns))

    def serves(self) -> str:
        own = (s for s in load(self.environ).rules() if s.origin == "user")
        return ",".join(s.pattern for s in own)

    @property
    def side(self) -> Path:
        (side,) = self.data.iterdir()
        return side

    def has_side(self) -> bool:
        return self.data.exists() and any(self.data.iterdir())


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def kept(home: Home) -> Home:
    """A home whose side file says ONE, while the source, unseen, says TWO."""
    home.write(ONE)
    assert home.serves() == "one.example"
    home.write(TWO)
    return home


# ---------------------------------------------------------------- the side file


def test_load_reads_the_side_file_while_the_stamp_holds(kept: Home) -> None:
    assert kept.serves() == "one.example"


def test_load_writes_a_private_side_file_and_nothing_else(kept: Home) -> None:
    assert stat.S_IMODE(kept.side.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.data.stat().st_mode) == 0o700


def test_load_after_another_mtime_compiles_again(kept: Home) -> None:
    os.utime(kept.source, ns=(LONG_AGO, LONG_AGO + 1))

    assert kept.serves() == "two.example"


def test_load_after_another_size_compiles_again(kept: Home) -> None:
    kept.write(TWO + "#")

    assert kept.serves() == "two.example"


def test_load_after_another_inode_compiles_again(kept: Home) -> None:
    copy = kept.source.with_name("copy")
    kept.source.rename(copy)
    kept.write(TWO)

    assert kept.serves() == "two.example"


def test_load_by_another_version_compiles_again(
    kept: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "FORMAT", rules.FORMAT + 1)

    assert kept.serves() == "two.example"


def test_load_after_the_file_went_away_has_presets_only(kept: Home) -> None:
    kept.source.unlink()

    assert kept.serves() == ""


def test_load_of_another_file_does_not_take_this_side_file(kept: Home) -> None:
    other = Home(kept.source.parent)
    other.source = kept.source.with_name("other.toml")
    other.environ["HUSHKEY_CONFIG"] = str(other.source)
    os.link(kept.source, other.source)

    assert other.serves() == "two.example"
    assert kept.serves() == "one.example"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660, 0o666, 0o601])
def test_side_file_that_others_can_touch_is_ignored(kept: Home, mode: int) -> None:
    kept.side.chmod(mode)

    assert kept.serves() == "two.example"
    assert stat.S_IMODE(kept.side.stat().st_mode) == 0o600


@needs_root
def test_side_file_of_another_user_is_ignored(kept: Home) -> None:
    os.chown(kept.side, SOMEBODY, SOMEBODY)

    assert kept.serves() == "two.example"


def test_side_file_that_is_a_link_is_ignored(kept: Home) -> None:
    elsewhere = kept.source.with_name("elsewhere")
    side = kept.side
    side.rename(elsewhere)
    side.symlink_to(elsewhere)

    assert kept.serves() == "two.example"
    assert not side.is_symlink()


def test_side_file_that_is_a_folder_is_ignored(kept: Home) -> None:
    side = kept.side
    side.unlink()
    side.mkdir()

    assert kept.serves() == "two.example"
    assert list(kept.data.iterdir()) == [side]


def test_side_file_cut_short_is_ignored(kept: Home) -> None:
    side, whole = kept.side, kept.side.read_bytes()

    for length in range(0, len(whole), len(whole) // 30):
        side.write_bytes(whole[:length])
        assert kept.serves() == "two.example"
        kept.write(TWO)


OTHERS: list[Any] = [None, 1, "text", [], (), ("x",), {}, {0: 1}, {1, 2}, (1, 2, 3)]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\0" * 4096, id="zeros after a power cut"),
        pytest.param(b"\xff" * 99, id="no marshal"),
        pytest.param(b"[\xff\xff\x3f\0", id="list longer than the file"),
        pytest.param(b"(\x01\0\0\0" * 5000, id="endless nesting"),
        *(pytest.param(marshal.dumps(value), id=repr(value)) for value in OTHERS),
    ],
)
def test_side_file_of_something_else_is_ignored(kept: Home, data: bytes) -> None:
    kept.side.write_bytes(data)

    assert kept.serves() == "two.example"


def test_file_changed_a_moment_ago_is_not_kept(home: Home) -> None:
    home.write(ONE, mtime_ns=time.time_ns())
    assert home.serves() == "one.example"

    assert not home.has_side()


def test_file_from_the_future_is_not_kept(home: Home) -> None:
    home.write(ONE, mtime_ns=time.time_ns() + 10**12)
    assert home.serves() == "one.example"

    assert not home.has_side()


def test_presets_alone_are_kept(home: Home) -> None:
    assert home.serves() == ""

    assert home.has_side()


def test_wrong_file_is_not_kept(kept: Home) -> None:
    kept.write(TWO + "[zzz]")
    with pytest.raises(ConfigError):
        kept.serves()

    kept.write(TWO)
    assert kept.serves() == "one.example"


def test_side_file_that_cannot_be_replaced_leaves_nothing(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    home.write(ONE)
    monkeypatch.setattr(os, "replace", full)

    assert home.serves() == "one.example"
    assert not home.has_side()


@needs_root
def test_data_folder_of_another_user_is_not_written(home: Home) -> None:
    home.write(ONE)
    home.data.mkdir()
    os.chown(home.data, SOMEBODY, SOMEBODY)

    assert home.serves() == "one.example"
    assert not home.has_side()


# ---------------------------------------------------------------- the source


def refusal(home: Home) -> str:
    with pytest.raises(ConfigError) as caught:
        load(home.environ)
    return caught.value.line()


def test_byte_order_mark_is_skipped(home: Home) -> None:
    home.write(b"\xef\xbb\xbf" + ONE.encode())

    assert home.serves() == "one.example"


def test_crlf_lines_are_fine(home: Home) -> None:
    home.write(ONE.replace("\n", "\r\n"))

    assert home.serves() == "one.example"


def test_latin_1_text_is_refused_with_its_line(home: Home) -> None:
    home.write(b"[settings]\n# caf\xe9\n")

    assert (
        refusal(home) == f"{home.source}:2: not UTF-8 text; run `hushkey config edit`"
    )


def test_huge_file_is_refused(home: Home) -> None:
    home.write(b"#" * 5 * 1024 * 1024)

    what = f"{home.source} is larger than {MAX_BYTES >> 20} MiB"
    assert refusal(home) == f"{what}; run `hushkey config edit`"


def test_folder_in_place_of_the_file_is_refused(home: Home) -> None:
    home.source.mkdir()

    assert refusal(home).startswith(f"cannot read {home.source}: Is a directory; make")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
def test_pipe_in_place_of_the_file_is_refused(home: Home) -> None:
    os.mkfifo(home.source)

    assert refusal(home).startswith(f"cannot read {home.source}: Is a pipe; make")


def test_file_below_a_file_is_as_good_as_none(home: Home) -> None:
    home.write("")
    home.environ["HUSHKEY_CONFIG"] = f"{home.source}/config.toml"

    assert home.serves() == ""


def test_unreadable_file_is_refused(home: Home, tmp_path: Path) -> None:
    home.write(ONE)
    home.source.chmod(0)
    reachable(tmp_path)
    preload()

    def say() -> str:
        return refusal(home)

    said = said_by(say, uid=SOMEBODY if os.geteuid() == 0 else None)

    assert said.startswith(f"cannot read {home.source}: Permission denied; make it")


def test_relative_config_is_refused(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.write(ONE)
    monkeypatch.chdir(home.source.parent)
    home.environ["HUSHKEY_CONFIG"] = "config.toml"

    assert refusal(home) == "HUSHKEY_CONFIG must be an absolute path"


# ---------------------------------------------------------------- who wrote it


@pytest.mark.parametrize("bits", [0o020, 0o002, 0o022, 0o062])
def test_config_that_others_can_write_is_refused_with_the_cure(
    kept: Home, bits: int
) -> None:
    """Also the compiled form of it, which is still there."""
    kept.source.chmod(0o644 | bits)

    said = refusal(kept)

    assert said.startswith(f"{kept.source} can be changed by others")
    assert f"run `chmod go-w {kept.source}`" in said
    kept.source.chmod(0o644)
    assert kept.serves() == "one.example"


@pytest.mark.parametrize("bits", [0o020, 0o002])
def test_config_in_a_folder_that_others_can_write_is_refused(
    home: Home, tmp_path: Path, bits: int
) -> None:
    home.write(ONE)
    tmp_path.chmod(0o755 | bits)

    assert f"run `chmod go-w {tmp_path}`" in refusal(home)
    tmp_path.chmod(0o700)


@needs_root
@pytest.mark.parametrize("whose", ["file", "folder", "link"])
def test_config_of_another_user_is_refused(tmp_path: Path, whose: str) -> None:
    (tmp_path / "place").mkdir()
    home = Home(tmp_path / "place")
    home.write(ONE)
    if whose == "link":
        home.source.rename(tmp_path / "real")
        home.source.symlink_to(tmp_path / "real")
    path = home.source.parent if whose == "folder" else home.source
    os.chown(path, SOMEBODY, SOMEBODY, follow_symlinks=False)

    assert f"{path} belongs to another user" in refusal(home)


def test_remembered_config_is_refused_once_others_can_write_it(home: Home) -> None:
    """The agent looks each time: chmod changes no date."""
    home.write(ONE)
    memory = Memory(Watch(), RenewalSchedule())

    def served() -> str:
        with runtime.AgentContext(memory, time.time(), quick=False):
            return home.serves()

    assert served() == "one.example"
    home.source.chmod(0o666)
    with pytest.raises(ConfigError, match="can be changed by others"):
        served()


# ---------------------------------------------------------------- which site

RULES = config_of(
    rule("*.example.com"),
    rule("*.example.com/p"),
    rule("git.example.com"),
    rule("git.example.com/a"),
    rule("git.example.com/a/b"),
    rule("git.example.com:8443"),
    rule("only.example.com/a"),
)


@pytest.mark.parametrize(
    ("host", "path", "pattern"),
    [
        ("git.example.com", "", "git.example.com"),
        ("git.example.com", "z", "git.example.com"),
        ("git.example.com", "a/x", "git.example.com/a"),
        ("git.example.com", "a/b/c", "git.example.com/a/b"),
        ("git.example.com", "p/x", "git.example.com"),
        ("git.example.com", "a/bc", "git.example.com/a"),
        ("git.example.com:8443", "a", "git.example.com:8443"),
        ("git.example.com:9", "a", ""),
        ("other.example.com", "", "*.example.com"),
        ("other.example.com", "p/x", "*.example.com/p"),
        ("other.example.com", "z", "*.example.com"),
        ("only.example.com", "a", "only.example.com/a"),
        ("only.example.com", "z", "*.example.com"),
        ("only.example.com", "", "only.example.com/a"),
    ],
)
def test_most_specific_rule_wins(host: str, path: str, pattern: str) -> None:
    assert pattern_of(RULES.rule_for(Request("https", host, path))) == pattern


CONTOSO = rule("dev.azure.com/contoso", "work")
FABRIKAM = rule("dev.azure.com/fabrikam")


@pytest.mark.parametrize(
    ("path", "username", "identity"),
    [
        ("contoso/_git/app", "", "work"),
        ("fabrikam/_git/app", "", "corp"),
        ("", "contoso", "work"),
        ("/", "fabrikam", "corp"),
        ("fabrikam/_git/app", "contoso", "corp"),
        ("Contoso/_git/app", "", "work"),  # forges ignore case
        ("", "Contoso", "work"),
        ("", "FABRIKAM", "corp"),
        ("FABRIKAM\u0130/_git/app", "", "azure"),
        ("other/_git/app", "", "azure"),  # the preset
        ("other/_git/app", "contoso", "azure"),
    ],
)
def test_two_organisations_on_one_host(path: str, username: str, identity: str) -> None:
    config = config_of(CONTOSO, FABRIKAM)

    site = config.rule_for(Request("https", "dev.azure.com", path, username))

    assert (site.identity.name if site else "") == identity


@pytest.mark.parametrize("username", ["", "me", "contoso/x", "contoso;x"])
def test_two_organisations_without_a_path_are_never_guessed(username: str) -> None:
    config = config_of(CONTOSO, FABRIKAM)

    with pytest.raises(Permanent, match="several identities serve") as caught:
        config.rule_for(Request("https", "x@dev.azure.com:443", "", username))

    assert caught.value.line().endswith(
        "; run `git config --global credential.https://dev.azure.com.useHttpPath true`"
    )


@pytest.mark.parametrize(
    "path",
    [
        *("contoso/../fabrikam", "contoso%2f..", "contoso//x", "contoso;x/app"),
        *("contoso%3bx/app", "other/..%255cfabrikam", "%2566abrikam/x"),
        *("x/\udcc0\udcae\udcc0\udcae/fabrikam", "x/\uff0e\uff0e/fabrikam"),
    ],
)
def test_path_that_may_climb_is_an_error_where_paths_decide(path: str) -> None:
    config = config_of(CONTOSO, FABRIKAM)

    with pytest.raises(Permanent, match="the path holds"):
        config.rule_for(Request("https", "dev.azure.com", path, "contoso"))


def test_path_that_may_climb_is_fine_where_paths_do_not_decide() -> None:
    config = config_of(rule("dev.azure.com"))

    assert config.rule_for(Request("https", "dev.azure.com", "a/../b")) is not None


def test_one_identity_for_all_paths_needs_no_path() -> None:
    config = config_of(CONTOSO, rule("dev.azure.com/northwind", "work"))

    site = config.rule_for(Request("https", "dev.azure.com"))

    assert site is not None
    assert site.identity.name == "work"


@pytest.mark.parametrize("more", [{"account": "you"}, {"scheme": "bearer"}])
def test_one_identity_in_two_ways_is_never_guessed(more: dict[str, str]) -> None:
    config = config_of(CONTOSO, rule("dev.azure.com/northwind", "work", **more))

    with pytest.raises(Permanent):
        config.rule_for(Request("https", "dev.azure.com"))


@pytest.mark.parametrize(
    ("username", "pattern"),
    [
        ("", "dev.azure.com"),
        ("me", "dev.azure.com"),
        ("contoso", "dev.azure.com/contoso"),
    ],
)
def test_rule_for_the_whole_host_serves_without_a_path(
    username: str, pattern: str
) -> None:
    config = config_of(CONTOSO, rule("dev.azure.com"))

    site = config.rule_for(Request("https", "dev.azure.com", "", username))

    assert pattern_of(site) == pattern


def test_site_joins_the_rule_with_its_identity(home: Home) -> None:
    home.write(
        '[identity.me]\nprovider = "entra"\nscopes = ["a", "b"]\naccount = "x"\n'
        '[host."one.example"]\nidentity = "me"\nscopes = ["b", "c"]\nmin_lifetime = 9\n'
    )
    for _ in ("compiled", "from the side file"):
        site = load(home.environ).rule_for(Request("https", "one.example"))

        assert site is not None
        assert site.scopes == ("b", "c", "a")
        assert (site.account, site.min_lifetime, site.username) == ("x", 9, "")


def test_missing_for_a_host_that_nobody_knows_is_nothing() -> None:
    assert RULES.missing_for(Request("https", "unknown.example")) == ""


# ---------------------------------------------------------------- aliases


def test_alias_stands_for_the_place_of_its_rule() -> None:
    config = config_of(
        rule("one.example/a/b") + 'aliases = ["team/feed", "x/y"]\n',
        rule("http://127.0.0.1:8080") + 'aliases = ["local/feed"]\n',
    )

    for name in ("team/feed", "x/y"):
        request = config.aliased(name)
        assert request == Request("https", "one.example:443", "a/b")
        assert pattern_of(config.rule_for(request)) == "one.example/a/b"
    assert config.aliased("local/feed") == Request("http", "127.0.0.1:8080")
    for name in ("", "team/feeds", "one.example"):
        assert config.aliased(name) is None


# ---------------------------------------------------------------- letters

FORGES = ["github.com", "gitlab.com", "bitbucket.org", "codeberg.org", "git.example"]


@pytest.mark.parametrize("host", FORGES)
@pytest.mark.parametrize("path", ["Contoso/App", "contoso/app", "CONTOSO/APP/x"])
def test_owner_in_any_case_is_the_same_owner(host: str, path: str) -> None:
    config = config_of(rule(f"{host}/Contoso/app"), rule(host, "work"))

    site = config.rule_for(Request("https", host, path))

    assert pattern_of(site) == f"{host}/Contoso/app"


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("\u00dcbung", "\u00fcbung"),
        ("\u00fcbung", "%C3%9Cbung"),
        ("\u00fcbung", "u\u0308bung"),
        ("stra\u00dfe", "STRASSE"),
        ("fabrikam", "\uff46abrikam"),
        ("fabrikam", "fabri\u212aam"),
        ("\u00fcbung", "\u00dcBUNG.\uff47it"),
    ],
)
def test_letters_that_servers_fold_differently_are_never_guessed(
    written: str, asked: str
) -> None:
    config = config_of(rule(f"git.example/{written}"), rule("git.example", "work"))

    with pytest.raises(Permanent, match="in letters that the server may"):
        config.rule_for(Request("https", "git.example", f"{asked}/app"))
    for path, identity in ((written, "corp"), ("ubung", "work"), ("x", "work")):
        site = config.rule_for(Request("https", "git.example", f"{path}/app"))
        assert site is not None
        assert site.identity.name == identity


def test_letters_beyond_ascii_serve_where_the_rule_is_written_in_them() -> None:
    config = config_of(rule("git.example/\u00dc"), rule("git.example/\u00fc", "work"))

    for path, identity in (("\u00dc", "corp"), ("\u00fc/x", "work")):
        site = config.rule_for(Request("https", "git.example", path))
        assert site is not None
        assert site.identity.name == identity


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("stra\u00dfe", "STRASSE"),
        ("fabrikam", "\uff46abrikam"),
        ("fabrikam", "FABRI\u212aAM"),
        ("\u00fcbung/app", "\u00dcbung"),
        ("fabrikam", "\u0316\u0301" * 16),
    ],
)
def test_letters_of_a_user_name_are_judged_as_those_of_a_path(
    written: str, name: str
) -> None:
    config = config_of(rule(f"git.example/{written}"), rule("git.example", "work"))

    with pytest.raises(Permanent, match="the user name is that of a rule"):
        config.rule_for(Request("https", "git.example", username=name))
    for other, identity in ((written.partition("/")[0], "corp"), ("\u00e4", "work")):
        site = config.rule_for(Request("https", "git.example", username=other))
        assert site is not None
        assert site.identity.name == identity


@pytest.mark.parametrize("written", ["team/repo", "team/repo.git", "Team/Repo.GIT"])
@pytest.mark.parametrize("tail", ["", ".git", ".GIT", ".git/info/refs", "/x.git"])
def test_repository_with_and_without_git_at_the_end_is_one(
    written: str, tail: str
) -> None:
    config = config_of(rule(f"git.example/{written}"), rule("git.example", "work"))

    for path, identity in (("team/repo", "corp"), ("team/repos", "work")):
        site = config.rule_for(Request("https", "git.example", path + tail))
        assert site is not None
        assert site.identity.name == identity
