import marshal
import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hushkey.config.compile import compile_config
from hushkey.config.rules import Config
from hushkey.errors import ConfigError
from hushkey.model import HostRule, Request
from hushkey.providers.registry import SPECS
from kit.core import IDENTITIES

DESIGN = """\
[settings]
interactive = "auto"          # auto | browser | device | paste | never
agent = true                  # keep tokens warm in a background process (POSIX)
key_store = "keyring"         # where the 32-byte data key lives

[identity.work]               # who signs you in
provider = "entra"            # entra | oidc | github | gitlab | ...
tenant = "contoso.onmicrosoft.com"
account = "me@contoso.com"    # optional: login hint and account choice
# client_id, cloud, authority, ...

[identity.corp]
provider = "oidc"
issuer = "https://id.example.com/realms/dev"
client_id = "hushkey"

[host."dev.azure.com/contoso"]           # host[:port][/path prefix]
identity = "work"
scopes = ["499b84ac-1321-427f-aa17-267ca6975798/.default"]

[host."*.azurecr.io"]
identity = "work"
scopes = ["https://containerregistry.azure.net/.default"]
exchange = "acr"

[host."git.example.com"]
identity = "corp"
scopes = ["openid", "offline_access", "git"]
username = "oauth2"           # what to answer as the user name
scheme = "basic"              # basic | bearer
"""

EVERY_KEY = """\
[settings]
interactive = "never"
agent = false
key_store = "keyring:keyring.backends.kwallet.DBusKeyring"
ca_file = "/etc/ssl/ca.pem"
proxy = "http://proxy:3128"
silent_timeout = 1
sign_in_timeout = 3600
keyring_timeout = 120
min_lifetime = 0

[identity.everything]
provider = "oauth2"
account = "me"
client_id = "c"
client_secret_env = "SECRET"
scopes = ["git"]
redirect_uri = "http://127.0.0.1:8400/done"
flows = ["device", "browser", "paste"]
authorization_endpoint = "https://id.example/authorize"
token_endpoint = "http://localhost:8080/token"
device_authorization_endpoint = "https://id.example/device"

[identity.robot]
provider = "static"

[host."http://git.example:8080/a/b"]
identity = "everything"
scopes = []
account = "you"
username = "u"
scheme = "bearer"
interactive = "device"
min_lifetime = 86400
aliases = ["team/registry-1"]
bare = false
"""


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        compile_config(text, "c.toml")
    assert caught.value.hint == "run `hushkey config check`"
    return caught.value.problems


# ---------------------------------------------------------------- what is right


@pytest.mark.parametrize("text", [DESIGN, EVERY_KEY, IDENTITIES, "", "\n# nothing\n"])
def test_valid_config_compiles_to_what_marshal_keeps(text: str) -> None:
    compiled = compile_config(text, "c.toml")

    assert marshal.loads(marshal.dumps(compiled)) == compiled


def test_design_example_serves_its_hosts() -> None:
    config = Config(compile_config(DESIGN, "c.toml"), "c.toml")

    registry = config.rule_for(Request("https", "one.azurecr.io"))
    assert registry is not None
    assert (registry.exchange, registry.account) == ("acr", "me@contoso.com")
    assert registry.identity.option("tenant") == "contoso.onmicrosoft.com"
    assert registry.identity.issuer == "https://login.microsoftonline.com"
    git = config.rule_for(Request("https", "git.example.com"))
    assert git is not None
    assert git.scopes == ("openid", "offline_access", "git")
    assert (git.username, git.scheme, git.origin) == ("oauth2", "basic", "user")


def test_settings_have_defaults() -> None:
    settings = compile_config("[settings]\nagent = false\n", "c.toml")["settings"]

    assert settings["agent"] is False
    assert settings["interactive"] == "auto"
    assert settings["silent_timeout"] == 30
    assert settings["sign_in_timeout"] == 300
    assert settings["keyring_timeout"] == 10
    assert settings["min_lifetime"] == 300


# ---------------------------------------------------------------- what is wrong

# One fault each, below a header on line 2; IDENTITIES and a rule follow.
SETTINGS_FAULTS = [
    ('interactive = "sometimes"', "interactive: expected one of auto, browser"),
    (
        'interactive = "devise"',
        "interactive: expected one of auto, browser, device, paste, never; "
        "did you mean device?",
    ),
    ("interactive = true", "interactive: expected one of auto, browser"),
    ('agent = "yes"', "agent: expected true or false"),
    ("agent = 1", "agent: expected true or false"),
    ('key_store = "plain"', 'key_store: expected keyring, file, or "keyring:mod'),
    ('key_store = "keyring:Class"', "key_store: expected keyring, file"),
    ('key_store = "keyring:a-b.Class"', "key_store: expected keyring, file"),
    ('ca_file = "ca.pem"', "ca_file: expected an absolute path"),
    ('ca_file = "~/ca.pem"', "ca_file: expected an absolute path"),
    ('proxy = "proxy:3128"', "proxy: expected a proxy URL such as http://proxy"),
    ("silent_timeout = 0", "silent_timeout: expected a whole number of seconds from 1"),
    ("silent_timeout = 1.5", "silent_timeout: expected a whole number of seconds"),
    ("silent_timeout = true", "silent_timeout: expected a whole number of seconds"),
    ('sign_in_timeout = "5"', "sign_in_timeout: expected a whole number of seconds"),
    ("keyring_timeout = 121", "keyring_timeout: expected a whole number of seconds"),
    ("min_lifetime = -1", "min_lifetime: expected a whole number of seconds from 0"),
    ("interactiv = 1", "interactiv: unknown key; did you mean interactive?"),
    ("zzz = 1", "zzz: unknown key; valid: agent, audit, ca_file, interactive"),
]


@pytest.mark.parametrize(("line", "expected"), SETTINGS_FAULTS)
def test_fault_in_settings_names_line_and_key(line: str, expected: str) -> None:
    (problem,) = problems(f"\n[settings]\n# a comment\n{line}\n{IDENTITIES}")

    assert problem.startswith(f"c.toml:4: [settings] {expected}")


IDENTITY_FAULTS = [
    ('provider = "oidc"', 2, "issuer: is required for provider oidc"),
    ('client_id = "c"', 2, "provider: is missing; one of entra, oidc, github"),
    (
        'provider = "azure"',
        3,
        "provider: 'azure' is not one; one of entra, oidc, github, gitlab, gitea, "
        "forgejo, bitbucket, bitbucket-dc, google, huggingface, oauth2, command, "
        "static, workload",
    ),
    ('provider = "gitlub"', 3, "provider: 'gitlub' is not one; one of entra"),
    ("provider = 3", 3, "provider: expected a non-empty string"),
    ('provider = "github"', 2, "client_id: is required for provider github"),
    ('provider = "workload"', 2, "kind: is required for provider workload"),
    (
        'provider = "workload"\nkind = "federatd"',
        4,
        "kind: expected one of service-principal, federated,",
    ),
    (
        'provider = "workload"\nkind = "exchange"\nissuer = "https://id.test"\n'
        'asertion = "github"',
        6,
        "asertion: unknown key; did you mean assertion",
    ),
    (
        'provider = "workload"\nkind = "federated"\nclient_secret = "s"',
        5,
        "client_secret: unknown key",
    ),
    (
        'provider = "workload"\nkind = "federated"\nissuer = "https://id.test"',
        5,
        "issuer: unknown key",
    ),
    (
        'provider = "workload"\nkind = "service-principal"\nsecret_from = "hunter2"',
        5,
        'secret_from: expected "env:NAME" or "file:/ABSOLUTE/PATH", never the secret',
    ),
    (
        'provider = "workload"\nkind = "service-principal"',
        2,
        "secret_from: is required, or one of certificate",
    ),
    (
        'provider = "workload"\nkind = "exchange"\nissuer = "https://id.test"\n'
        'assertion = "gihub"',
        6,
        "assertion: expected one of github, forgejo,",
    ),
    (
        'provider = "workload"\nkind = "exchange"\nissuer = "https://id.test"\n'
        'assertion = "file:relative"',
        6,
        "assertion: expected file:/ABSOLUTE/PATH",
    ),
    ('provider = "oauth2"', 2, "client_id: is required for provider oauth2"),
    (
        'provider = "entra"\ntennant = "x"',
        4,
        "tennant: unknown key; did you mean tenant",
    ),
    ('provider = "entra"\nissuer = "x"', 4, "issuer: unknown key"),
    ('provider = "entra"\nscopes = "git"', 4, "scopes: expected a list of words"),
    ('provider = "entra"\nscopes = ["a b"]', 4, "scopes: expected a list of words"),
    ('provider = "entra"\nscopes = [1]', 4, "scopes: expected a list of words"),
    ('provider = "entra"\nflows = []', 4, "flows: expected a list of browser, paste"),
    ('provider = "entra"\nflows = ["x"]', 4, "flows: expected a list of browser"),
    ('provider = "entra"\naccount = ""', 4, "account: expected a non-empty string"),
    ('provider = "entra"\naccount = "a\\u0000"', 4, "account: expected a non-empty"),
    (
        'provider = "entra"\nredirect_uri = "https://a.example"',
        4,
        "redirect_uri: expected an http:// URL on localhost, 127.0.0.1 or [::1]",
    ),
    (
        'provider = "entra"\nredirect_uri = "http://a.example"',
        4,
        "redirect_uri: expected an http:// URL on localhost",
    ),
    (
        'provider = "entra"\nauthority = "http://login.example"',
        4,
        "authority: expected an https:// URL (http:// only on a loopback address)",
    ),
    (
        'provider = "entra"\nclient_secret = "x"\nclient_secret_env = "X"',
        5,
        "client_secret_env: give client_secret or this, not both",
    ),
]


@pytest.mark.parametrize(("lines", "number", "expected"), IDENTITY_FAULTS)
def test_fault_in_identity_names_line_and_key(
    lines: str, number: int, expected: str
) -> None:
    first = problems(f"\n[identity.me]\n{lines}\n")[0]

    assert first.startswith(f"c.toml:{number}: [identity.me] {expected}")


@pytest.mark.parametrize(
    "url",
    [
        "id.example",
        "http://id.example",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "http://localhost@evil.example",
        "https://me@id.example",
        "https://id.example#x",
        "https://id.example/a b",
        "https://[::1",
        "https://",
        "file:///etc/passwd",
        "",
    ],
)
def test_issuer_that_is_not_safe_is_a_fault(url: str) -> None:
    text = f'[identity.a]\nprovider = "oidc"\nclient_id = "c"\nissuer = "{url}"\n'

    (problem,) = problems(text)

    assert problem.startswith("c.toml:4: [identity.a] issuer: expected an https:// URL")


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:1"])
def test_issuer_on_loopback_may_be_http(host: str) -> None:
    text = f'[identity.a]\nprovider = "oidc"\nclient_id = "c"\nissuer = "http://{host}"'

    assert compile_config(text, "c.toml")


HOST_FAULTS = [
    ("a.example", "", 2, "identity: is required: which [identity.NAME] serves this"),
    ("a.example", 'identity = "wrok"', 3, "identity: there is no [identity.wrok]; did"),
    ("a.example", 'identity = "q"', 3, "identity: there is no [identity.q]"),
    ("a.example", "identity = 1", 3, "identity: expected a non-empty string"),
    ("a.example", 'identity = "work"\nscheme = "digest"', 4, "scheme: expected one of"),
    (
        "a.example",
        'identity = "work"\nexchange = "ecz"',
        4,
        "exchange: expected one of",
    ),
    (
        "a.example",
        'identity = "work"\nscops = []',
        4,
        "scops: unknown key; did you mea",
    ),
    ("a..example", 'identity = "work"', 2, " not a host name"),
    ("ssh://a.example", 'identity = "work"', 2, " ssh:// is not a scheme"),
    ("*.com", 'identity = "work"', 2, " `*.` needs a domain of at least two labels"),
    ("me@a.example", 'identity = "work"', 2, " a user name does not belong"),
    ("a.example/../b", 'identity = "work"', 2, " a path prefix may not hold empty"),
]


@pytest.mark.parametrize(("pattern", "lines", "number", "expected"), HOST_FAULTS)
def test_fault_in_host_names_line_and_key(
    pattern: str, lines: str, number: int, expected: str
) -> None:
    text = f'\n[host."{pattern}"]\n{lines}\n{IDENTITIES}'

    (problem,) = problems(text)

    where = f'c.toml:{number}: [host."{pattern}"]'
    assert problem.startswith((f"{where} {expected}", f"{where}:{expected}"))


def test_nearest_identity_is_named() -> None:
    (problem,) = problems(f'[host."a.example"]\nidentity = "wrok"\n{IDENTITIES}')

    assert problem.endswith("there is no [identity.wrok]; did you mean work?")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "\nsetting = 1",
            "c.toml:2: setting: unknown key; did you mean settings?",
        ),
        (
            "\n[setings]\nagent = true",
            "c.toml:2: setings: unknown key; did you mean settings?",
        ),
        (
            '\n\n[hosts."a.example"]\nidentity = "work"',
            "c.toml:3: hosts: unknown key; did you mean host?",
        ),
        (
            "[[zzz]]",
            "c.toml:1: zzz: unknown key; valid: host, identity, settings",
        ),
        ("\nsettings = 1", "c.toml:2: settings: expected a table"),
        ("host = 1", "c.toml:1: host: expected tables such as [host.NAME]"),
        (
            "\nidentity = []",
            "c.toml:2: identity: expected tables such as [identity.NAME]",
        ),
        ("\n[[settings]]", "c.toml:2: settings: expected a table"),
        ("[identity]\nme = 1", "c.toml:2: [identity] me: expected a table"),
        ('[host]\n"a.example" = 1', "c.toml:2: [host] a.example: expected a table"),
    ],
)
def test_fault_at_the_top_names_line_and_key(text: str, problem: str) -> None:
    assert problems(text)[0] == problem


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a.example", "A.Example."),
        ("a.example", "https://a.example:443/"),
        ("a.example/x", "a.example/%78/"),
        ("[::1]", "[0:0::1]"),
        ("*.a.example", "*.A.example"),
    ],
)
def test_same_pattern_twice_is_a_fault(first: str, second: str) -> None:
    text = "".join(f'[host."{p}"]\nidentity = "work"\n' for p in (first, second))

    assert problems(text + IDENTITIES) == (
        f'c.toml:3: [host."{second}"]: is the same pattern as "{first}"',
    )


@pytest.mark.parametrize(
    ("pattern", "aliases", "problem"),
    [
        ("a.example", "https://x", "aliases: 'https://x' is a URL: give it a table"),
        ("*.a.example", "x/y", "aliases: need a rule for one host, without `*.`"),
        ("a.example", "two words", "aliases: expected a list of words"),
    ],
)
def test_alias_that_means_nothing_is_a_fault(
    pattern: str, aliases: str, problem: str
) -> None:
    text = f'[host."{pattern}"]\nidentity = "work"\naliases = ["{aliases}"]\n'

    (found,) = problems(text + IDENTITIES)

    assert found.startswith(f'c.toml:3: [host."{pattern}"] {problem}')


@pytest.mark.parametrize(
    "alias",
    [
        "poetry-repository-corp",
        "Poetry-Repository-corp",
        "poetry-repository-team/corp",
        "pdm-pypi-corp",
        "pdm-repository-team/corp",
        "conda-auth::token::team/feed",
        # what pip, uv and poetry ask for where a project names http://corp/x.whl
        "corp",
        "corp.example",
        "localhost:8080",
        "127.0.0.1",
        "[::1]:8080",
        "me@corp",
    ],
)
def test_alias_that_a_project_can_give_to_its_own_url_is_a_fault(alias: str) -> None:
    text = f'[host."a.example"]\nidentity = "work"\naliases = ["x/y", "{alias}"]\n'

    (found,) = problems(text + IDENTITIES)

    assert found.startswith(f"c.toml:3: [host.\"a.example\"] aliases: '{alias}' ")
    assert "any project" in found
    assert ": remove it" in found


@pytest.mark.parametrize(
    ("pattern", "value", "problem"),
    [
        ("a.example", '"yes"', "expected true or false"),
        ("a.example/x", "true", "say it for the whole host"),
    ],
)
def test_bare_is_for_a_whole_host(pattern: str, value: str, problem: str) -> None:
    text = f'[host."{pattern}"]\nidentity = "work"\nbare = {value}\n'

    (found,) = problems(text + IDENTITIES)

    assert found.startswith(f'c.toml:3: [host."{pattern}"] bare: ')
    assert problem in found


def test_alias_of_two_hosts_is_a_fault() -> None:
    rules = (
        f'[host."{host}"]\nidentity = "work"\naliases = ["a/feed"]\n'
        for host in ("a.example", "b.example")
    )

    assert problems("".join(rules) + IDENTITIES) == (
        "c.toml:6: [host.\"b.example\"] aliases: 'a/feed' is an alias of "
        '"a.example" already',
    )


def test_every_problem_is_listed_and_the_first_one_shown() -> None:
    text = """\
[settings]
agent = "yes"
intractive = "auto"

[identity.work]
provider = "entra"
tennant = "x"

[host."dev.azure.com"]
identity = "wrk"
"""
    with pytest.raises(ConfigError) as caught:
        compile_config(text, "/home/me/config.toml")

    assert caught.value.problems == (
        "/home/me/config.toml:2: [settings] agent: expected true or false",
        "/home/me/config.toml:3: [settings] intractive: unknown key; "
        "did you mean interactive?",
        "/home/me/config.toml:7: [identity.work] tennant: unknown key; "
        "did you mean tenant?",
        '/home/me/config.toml:10: [host."dev.azure.com"] identity: '
        "there is no [identity.wrk]; did you mean work?",
    )
    assert caught.value.line() == (
        "/home/me/config.toml:2: [settings] agent: expected true or false "
        "(and 3 more); run `hushkey config check`"
    )


@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\x85"])
def test_line_of_a_fault_is_counted_as_toml_counts(end: str) -> None:
    (problem,) = problems(f"# one{end}more\n[settings]\nagnet = true\n")

    assert problem.startswith("c.toml:3: ")


def test_order_of_unknown_tables_is_the_file_s() -> None:
    found = problems("d = 1\nb = 1\nc = 1\na = 1\ne = 1")

    assert [line.split(":")[2].strip() for line in found] == list("dbcae")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[settings", id="open header"),
        pytest.param("agent = yes", id="bare word"),
        pytest.param("a = 1\na = 2", id="key twice"),
        pytest.param("[a]\n[a]", id="table twice"),
        pytest.param('a = "\x01"', id="control character"),
        pytest.param("a = " + "1" * 5000, id="endless number"),
        pytest.param("a = 2023-02-31", id="no such day"),
        pytest.param("a = " + "[" * 5000, id="endless nesting"),
        pytest.param("a = " + '{a = "' * 3000, id="endless tables"),
        pytest.param("\ufeffa = 1", id="a second byte order mark"),
    ],
)
def test_text_that_is_no_toml_is_refused(text: str) -> None:
    (problem,) = problems(text)

    assert problem.startswith("c.toml: not valid TOML: ")


@pytest.mark.parametrize(
    "start", ["[identity.me]\nprovider", "[settings]\ninteractive", "identity", "z"]
)
def test_key_that_is_a_deep_table_is_refused(start: str) -> None:
    assert problems(f"{start}.{'a.' * 2000}a = 1\n")


def test_problem_is_one_harmless_line() -> None:
    (problem,) = problems('"a\\u001b\\n\\u202e" = 1')

    assert problem == "c.toml:1: a : unknown key; valid: host, identity, settings"


@given(st.text())
def test_any_text_compiles_or_is_a_config_error(text: str) -> None:
    _compiles_or_is_refused(text)


KEYS = st.sampled_from(
    [
        *("settings", "identity", "host", "identity.me", "identity.github", "host.x"),
        *('host."a.example"', "provider", "scopes", "agent", "scheme", "issuer", "zzz"),
        *("client_id", "interactive", "key_store"),
    ]
)
ATOMS = st.sampled_from(
    [
        *("1", "true", "[]", '["a"]', "{}", "{a=1}", "1.5", "nan", "[[]]", "'x'"),
        *('"work"', '"oidc"', '"github"', '"entra"', '""', '"http://a"', '"""y"""'),
        *("2024-01-01", "12:00:00"),
    ]
)
LINES = st.one_of(
    KEYS.map(lambda key: f"[{key}]"),
    KEYS.map(lambda key: f"[[{key}]]"),
    st.tuples(KEYS, ATOMS).map(" = ".join),
)


@given(st.lists(LINES, max_size=8).map("\n".join))
@settings(max_examples=400)
def test_any_toml_compiles_or_is_a_config_error(text: str) -> None:
    _compiles_or_is_refused(text)


def _compiles_or_is_refused(text: str) -> None:
    try:
        compiled = compile_config(text, "c.toml")
    except ConfigError as error:
        assert error.problems
        assert all(p.startswith("c.toml:") and p.isprintable() for p in error.problems)
    else:
        marshal.dumps(compiled)


# ---------------------------------------------------------------- presets

GITHUB = Request("https", "github.com", "acme/app")


def config(text: str) -> Config:
    return Config(compile_config(text, "c.toml"), "c.toml")


def test_preset_without_a_client_id_is_not_ours() -> None:
    assert config("").rule_for(GITHUB) is None
    assert config("").missing_for(GITHUB) == "[identity.github] client_id"


def test_preset_completed_by_the_user_serves() -> None:
    found = config('[identity.github]\nprovider = "github"\nclient_id = "mine"\n')

    rule = found.rule_for(GITHUB)
    assert rule is not None
    assert (rule.identity.client_id, rule.origin) == ("mine", "user")
    assert rule.identity.option("token_endpoint").startswith("https://github.com/")
    assert rule.scopes == ("repo", "workflow")
    assert found.missing_for(GITHUB) == ""


def test_preset_never_takes_another_provider_of_the_same_name() -> None:
    text = """\
[identity.github]
provider = "oidc"
issuer = "https://id.example.com"
client_id = "c"

[host."git.example.com"]
identity = "github"
"""
    found = config(text)

    assert found.rule_for(GITHUB) is None
    assert found.missing_for(GITHUB) == '[identity.github] provider = "github"'
    own = found.rule_for(Request("https", "git.example.com"))
    assert own is not None
    assert own.identity.option("issuer") == "https://id.example.com"


def test_rule_that_leans_on_an_incomplete_preset_is_not_ours() -> None:
    found = config('[host."altssh.gitlab.com"]\nidentity = "gitlab"\n')
    request = Request("https", "altssh.gitlab.com")

    assert found.rule_for(request) is None
    assert found.missing_for(request) == "[identity.gitlab] client_id"


def test_built_in_server_signs_nobody_in_to_another_host() -> None:
    text = '[identity.me]\nprovider = "gitea"\nclient_id = "c"\n'
    rule = '[host."git.example.com"]\nidentity = "me"\n'

    with pytest.raises(ConfigError, match=r"is signed in at codeberg\.org"):
        config(text + rule)
    own = 'token_endpoint = "https://git.example.com/login/oauth/access_token"\n'
    assert config(text + own + rule).rule_for(Request("https", "git.example.com"))


MINE = "https://git.example.com"
FORGES = {
    "github": ("/login/oauth/access_token", "/login/oauth/authorize"),
    "gitlab": ("/oauth/token", "/oauth/authorize"),
    "gitea": ("/login/oauth/access_token", "/login/oauth/authorize"),
    "bitbucket": ("/site/oauth2/access_token", "/site/oauth2/authorize"),
}
ENDPOINTS = (
    "token_endpoint",
    "authorization_endpoint",
    "device_authorization_endpoint",
)


def forge(provider: str, **keys: str) -> str:
    lines = "".join(f'{key} = "{value}"\n' for key, value in keys.items())
    table = f'[identity.me]\nprovider = "{provider}"\nclient_id = "c"\n{lines}'
    return table + '[host."git.example.com"]\nidentity = "me"\n'


@pytest.mark.parametrize("below", ["", "/forge"])
@pytest.mark.parametrize("provider", FORGES)
@pytest.mark.parametrize("named", ["base_url", *ENDPOINTS[:2]])
def test_forge_of_one_s_own_is_all_at_one_server(
    provider: str, named: str, below: str
) -> None:
    token, authorize = FORGES[provider]
    paths = {"base_url": "/", "token_endpoint": token}
    url = MINE + below + paths.get(named, authorize)

    identity = config(forge(provider, **{named: url})).identity("me")

    assert identity.option("token_endpoint") == MINE + below + token
    assert identity.option("authorization_endpoint") == MINE + below + authorize
    device = identity.option("device_authorization_endpoint", MINE)
    assert device.startswith(MINE)


@pytest.mark.parametrize("provider", FORGES)
@pytest.mark.parametrize(
    ("keys", "missing"),
    [
        ({"token_endpoint": f"{MINE}/t"}, "authorization_endpoint"),
        ({"authorization_endpoint": f"{MINE}/a"}, "token_endpoint"),
        ({"device_authorization_endpoint": f"{MINE}/d"}, "token_endpoint"),
    ],
    ids=["token", "authorization", "device"],
)
def test_half_a_server_of_one_s_own_is_refused(
    provider: str, keys: dict[str, str], missing: str
) -> None:
    with pytest.raises(ConfigError, match=f"{missing}: is required beside") as caught:
        config(forge(provider, **keys))
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize("provider", FORGES)
def test_own_endpoints_get_none_of_the_public_server_beside_them(provider: str) -> None:
    keys = {"token_endpoint": f"{MINE}/t", "authorization_endpoint": f"{MINE}/a"}

    identity = config(forge(provider, **keys)).identity("me")

    assert identity.options.keys() & {*ENDPOINTS} == keys.keys()


def test_endpoints_at_two_servers_tell_nothing_of_a_third() -> None:
    elsewhere = "https://id.example.com"
    keys = {
        "token_endpoint": f"{MINE}/oauth/token",
        "authorization_endpoint": f"{elsewhere}/oauth/authorize",
    }

    identity = config(forge("gitlab", **keys)).identity("me")

    assert "device_authorization_endpoint" not in identity.options


def test_built_in_host_is_not_served_by_a_forge_of_one_s_own() -> None:
    text = '[identity.codeberg]\nprovider = "gitea"\nclient_id = "c"\n'

    found = config(f'{text}base_url = "{MINE}"\n')

    request = Request("https", "codeberg.org")
    assert found.rule_for(request) is None
    assert "without a base_url" in found.missing_for(request)


def test_identities_that_share_server_and_client_must_say_whose() -> None:
    one = 'provider = "oidc"\nissuer = "https://i.example"\nclient_id = "c"\n'
    text = f"[identity.work]\n{one}[identity.home]\n{one}"

    with pytest.raises(ConfigError, match=r"\[identity.work\] account: is required"):
        config(text)
    work, home = ("account = 'a'\n", "account = 'b'\n")
    both = config(f"[identity.work]\n{work}{one}[identity.home]\n{home}{one}")
    assert both.identity("work").account == "a"


ENTRA = 'provider = "entra"\n'
OAUTH2 = (
    'provider = "oauth2"\nclient_id = "c"\nauthorization_endpoint = "https://a.b/c"\n'
)
GITLAB = 'provider = "gitlab"\nclient_id = "c"\n'
CLI = 'client_id = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"\n'
AT_GITLAB = 'token_endpoint = "https://gitlab.com/oauth/token"\n'
OIDC = 'provider = "oidc"\nclient_id = "c"\n'
SHARED = [
    pytest.param(GITLAB, OAUTH2 + AT_GITLAB, id="a forge and its own endpoint"),
    pytest.param(GITLAB, GITLAB + AT_GITLAB, id="a preset endpoint, written"),
    pytest.param(ENTRA, ENTRA + CLI, id="the default client, written"),
    pytest.param(ENTRA, ENTRA + 'cloud = "public"\n', id="the default cloud, written"),
    pytest.param(
        ENTRA,
        ENTRA + 'authority = "https://login.microsoftonline.com"\n',
        id="a cloud and its authority",
    ),
    pytest.param(
        ENTRA + 'tenant = "a.example"\n',
        ENTRA + 'tenant = "A.example"\n',
        id="one tenant, in other letters",
    ),
    pytest.param(
        ENTRA + 'tenant = "a.example"\n', ENTRA, id="a tenant, and whichever fits"
    ),
    pytest.param(
        OIDC + 'issuer = "https://id.example/t"\n',
        ENTRA + 'client_id = "c"\nauthority = "https://id.example/t"\n',
        id="an issuer and an authority",
    ),
    pytest.param(
        OAUTH2 + 'token_endpoint = "https://id.example/t"\n',
        OIDC + 'issuer = "https://id.example/t"\n',
        id="an endpoint and an issuer",
    ),
]


def file_names(text: str) -> set[tuple[str, str]]:
    found = config(text)
    return {(i.issuer, i.client_id) for i in map(found.identity, ("work", "home"))}


@pytest.mark.parametrize(("one", "other"), SHARED)
def test_identities_with_one_token_file_must_say_whose(one: str, other: str) -> None:
    for first, second in ((one, other), (other, one)):
        with pytest.raises(ConfigError) as caught:
            config(f"[identity.work]\n{first}[identity.home]\n{second}")

        assert [p.partition(": ")[2] for p in caught.value.problems] == [
            f"[identity.{a}] account: is required beside [identity.{b}]: the same "
            "server and client, and so the same tokens"
            for a, b in (("work", "home"), ("home", "work"))
        ]
        named = ("account = 'a'\n", "account = 'b'\n")
        text = f"[identity.work]\n{named[0]}{first}[identity.home]\n{named[1]}{second}"
        assert len(file_names(text)) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (GITLAB, GITLAB.replace('"c"', '"d"')),
        (GITLAB, OAUTH2 + 'token_endpoint = "https://gitlab.com/oauth/token/"\n'),
        (GITLAB, OAUTH2 + 'token_endpoint = "https://GitLab.com:443/oauth/token"\n'),
        (ENTRA, ENTRA + 'cloud = "usgov"\n'),
        (ENTRA, ENTRA + 'authority = "https://login.microsoftonline.com/"\n'),
        (
            OIDC + 'issuer = "https://id.example"\n',
            OIDC + 'issuer = "https://id.example/"\n',
        ),
    ],
)
def test_identities_with_files_of_their_own_need_no_account(
    one: str, other: str
) -> None:
    text = f"[identity.work]\n{one}[identity.home]\n{other}"

    assert len(file_names(text)) == 2


def test_tenants_tell_the_tokens_of_one_file_apart() -> None:
    """The tenant is a part of what a token is kept under."""
    a, b = (f'{ENTRA}tenant = "{name}.example"\n' for name in "ab")
    text = f"[identity.work]\n{a}[identity.home]\n{b}"

    assert len(file_names(text)) == 1
    third = problems(f"{text}[identity.more]\n{b}")
    assert [p.partition(": ")[2].partition(": the")[0] for p in third] == [
        "[identity.home] account: is required beside [identity.more]",
        "[identity.more] account: is required beside [identity.home]",
    ]


def test_third_identity_of_one_file_is_told_once_of_the_others() -> None:
    text = "".join(f"[identity.{name}]\n{ENTRA}" for name in "abc")

    problems_ = problems(text)

    assert len(problems_) == 3
    assert (
        "[identity.a] account: is required beside [identity.b], [identity.c]:"
        in (problems_[0])
    )


def test_identity_of_entra_may_share_with_the_built_in_one() -> None:
    """Those serve Microsoft's own hosts, with whichever account fits."""
    assert config(f"[identity.work]\n{ENTRA}").identity("work").account == ""


@pytest.mark.parametrize(
    "own", ['authority = "https://id.example.com/t"', 'cloud = "china"']
)
def test_preset_is_not_served_from_elsewhere(own: str) -> None:
    """An identity that happens to be called azure must not get its hosts."""
    found = config(f'[identity.azure]\nprovider = "entra"\n{own}\n')
    request = Request("https", "dev.azure.com", "contoso/x")

    assert found.rule_for(request) is None
    assert "without an authority or cloud" in found.missing_for(request)


def test_rule_of_the_user_goes_before_the_preset() -> None:
    text = IDENTITIES + '[host."GitHub.com"]\nidentity = "corp"\n'

    rule = config(text).rule_for(GITHUB)

    assert rule is not None
    assert (rule.identity.name, rule.pattern) == ("corp", "GitHub.com")


def test_path_rule_of_the_user_goes_before_an_incomplete_preset() -> None:
    found = config(IDENTITIES + '[host."github.com/acme"]\nidentity = "corp"\n')

    for path in ("acme/app", ""):
        rule = found.rule_for(Request("https", "github.com", path))
        assert rule is not None
        assert rule.pattern == "github.com/acme"
    assert found.rule_for(Request("https", "github.com", "other/app")) is None


def test_sites_are_those_that_can_serve_the_user_s_first() -> None:
    text = IDENTITIES + '[host."a.example"]\nidentity = "corp"\n'
    text += '[identity.gitlab]\nprovider = "gitlab"\nclient_id = "c"\n'

    patterns = [rule.pattern for rule in config(text).rules()]

    azure = ["dev.azure.com", "*.visualstudio.com", "pkgs.dev.azure.com"]
    azure.append("*.pkgs.visualstudio.com")
    registries = ["*.azurecr.io", "*.azurecr.us", "*.azurecr.cn"]
    forges = ["gitlab.com", "codeberg.org", "gitea.com"]
    assert patterns == ["a.example", *azure, *registries, *forges]


@pytest.mark.parametrize(
    ("ending", "cloud"), [("io", "public"), ("us", "usgov"), ("cn", "china")]
)
def test_azure_registries_sign_in_at_their_own_cloud(ending: str, cloud: str) -> None:
    rule = config("").rule_for(Request("https", f"contoso.azurecr.{ending}"))

    assert rule is not None
    assert rule.exchange == "acr"
    assert rule.scopes == ("https://containerregistry.azure.net/.default",)
    assert rule.identity.option("cloud", "public") == cloud


def test_own_identity_of_the_same_cloud_completes_a_registry() -> None:
    own = '[identity.azure-usgov]\nprovider = "entra"\ncloud = "usgov"\n'
    request = Request("https", "contoso.azurecr.us")

    rule = config(f'{own}tenant = "agency.example"\n').rule_for(request)
    elsewhere = config(own.replace('usgov"\n', 'china"\n'))

    assert rule is not None
    assert rule.origin == "user"
    assert 'cloud = "usgov"' in elsewhere.missing_for(request)


@pytest.mark.parametrize(
    "host", ["contoso.azurecr.io.evil.example", "a.b.azurecr.io", "azurecr.io"]
)
def test_registry_that_is_none_of_azures_is_nobodys(host: str) -> None:
    assert config("").rule_for(Request("https", host)) is None


def test_exchange_over_http_is_a_fault() -> None:
    text = IDENTITIES + '[host."http://r.test"]\nidentity = "corp"\nexchange = "acr"\n'

    with pytest.raises(ConfigError, match="exchanged over https only"):
        config(text)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("git.example/Team", "git.example/team"),
        ("github.com/contoso/App", "github.com/Contoso/app"),
        ("*.git.example/A", "*.git.example/%61"),
    ],
)
def test_paths_that_differ_only_in_case_are_one_pattern(
    first: str, second: str
) -> None:
    text = "".join(rule_of(pattern) for pattern in (first, second))

    assert problems(text + IDENTITIES) == (
        f'c.toml:3: [host."{second}"]: is the same pattern as "{first}", for case does '
        "not count in paths",
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("git.example/team/app", "git.example/team/app.git"),
        ("git.example/team/App.GIT", "git.example/Team/app"),
    ],
)
def test_paths_that_differ_only_in_git_at_the_end_are_one_pattern(
    first: str, second: str
) -> None:
    text = "".join(rule_of(pattern) for pattern in (first, second))

    assert problems(text + IDENTITIES) == (
        f'c.toml:3: [host."{second}"]: is the same pattern as "{first}", for `.git` at '
        "the end of a path does not count",
    )


def rule_of(pattern: str) -> str:
    return f'[host."{pattern}"]\nidentity = "work"\n'


def test_path_with_parameters_is_no_pattern() -> None:
    (problem,) = problems(rule_of("git.example/team;x") + IDENTITIES)

    assert "a path prefix may not hold" in problem


def test_lines_of_many_faults_are_found_in_one_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parsed: list[str] = []
    loads = tomllib.loads

    def counted(text: str) -> Any:
        parsed.append(text)
        return loads(text)

    monkeypatch.setattr(tomllib, "loads", counted)

    def cost(number: int) -> int:
        text = "".join(f'[host."h{n}.example"]\nidentity = 1\n' for n in range(number))
        parsed.clear()
        assert len(problems(text)) == number
        return len(parsed)

    assert cost(40) < 3 * cost(20)


def test_identities_hold_the_user_s_and_the_presets() -> None:
    found = config(IDENTITIES)

    names: Any = found.identities().keys()
    assert names >= {"work", "corp", "github", "gitlab"}
    assert found.identity("corp").client_id == "hushkey"
    with pytest.raises(KeyError):
        found.identity("nobody")


@pytest.mark.parametrize("value", ["'git'", "[]", "['git', 'pip']", "[1]"])
def test_tools_are_of_a_known_kind(value: str) -> None:
    text = f"{IDENTITIES}[host.'a.example']\nidentity = 'work'\ntools = {value}\n"

    (problem,) = problems(text)

    assert problem.endswith("tools: expected a list of git, docker, python")


# -- what a forge's provider says where the config does not ----------------------------


def self_hosted(provider: str, host: str = "", identity: str = "") -> HostRule:
    text = f'[identity.me]\nprovider = "{provider}"\nclient_id = "c"\n'
    text += f'base_url = "{MINE}"\n{identity}'
    found = config(f'{text}[host."git.example.com"]\nidentity = "me"\n{host}')
    rule = found.rule_for(Request("https", "git.example.com"))
    assert rule
    return rule


@pytest.mark.parametrize("provider", [*FORGES, "forgejo", "bitbucket-dc"])
def test_forge_of_one_s_own_has_the_facts_of_its_provider(provider: str) -> None:
    rule, spec = self_hosted(provider), SPECS[provider]

    assert rule.scopes == spec.scopes
    assert rule.scheme == spec.scheme == "basic"
    assert rule.identity.git_user == spec.git_user
    assert rule.identity.option("base_url") == MINE


@pytest.mark.parametrize(
    ("host", "identity", "scopes"),
    [
        ('scopes = ["api"]\n', "", ("api",)),
        ("scopes = []\n", "", ()),
        ("", 'scopes = ["read_repository"]\n', ("read_repository",)),
        ('scopes = ["api"]\n', 'scopes = ["openid"]\n', ("api", "openid")),
    ],
)
def test_scopes_of_the_config_go_before_the_provider_s(
    host: str, identity: str, scopes: tuple[str, ...]
) -> None:
    assert self_hosted("gitlab", host, identity).scopes == scopes


def test_scheme_of_the_config_goes_before_the_provider_s() -> None:
    assert self_hosted("gitlab", 'scheme = "bearer"\n').scheme == "bearer"


@pytest.mark.parametrize("host", ["codeberg.org", "gitea.com"])
def test_gitea_hosts_are_complete_without_a_config(host: str) -> None:
    rule = config("").rule_for(Request("https", host, "acme/app"))

    assert rule
    assert rule.built_in
    assert rule.identity.client_id == SPECS["gitea"].client_id
    assert rule.identity.issuer == f"https://{host}/login/oauth/access_token"


@pytest.mark.parametrize("host", ["github.com", "huggingface.co", "a.googlesource.com"])
def test_other_forges_wait_for_a_client(host: str) -> None:
    found = config("")

    assert found.rule_for(Request("https", host)) is None
    assert found.missing_for(Request("https", host)).endswith(" client_id")


def test_built_in_host_is_served_by_nobody_who_signs_in_elsewhere() -> None:
    mine = '[identity.gitea-com]\nprovider = "gitea"\nclient_id = "c"\n'
    request = Request("https", "gitea.com")

    assert config(mine).rule_for(request) is None
    assert config(mine).missing_for(request) == (
        '[identity.gitea-com] base_url = "https://gitea.com"'
    )
    same = config(f'{mine}base_url = "https://gitea.com/"\n').rule_for(request)
    assert same
    assert same.identity.client_id == "c"


def test_token_of_a_built_in_forge_goes_to_no_other_host() -> None:
    for name, server in (("codeberg", r"codeberg\.org"), ("gitea-com", r"gitea\.com")):
        with pytest.raises(ConfigError, match=f"is signed in at {server}"):
            config(f'[host."git.example.com"]\nidentity = "{name}"\n')


def test_own_identity_at_a_built_in_forge_needs_no_account() -> None:
    text = '[identity.me]\nprovider = "forgejo"\n'
    found = config(f'{text}[host."codeberg.org"]\nidentity = "me"\n')

    rule = found.rule_for(Request("https", "codeberg.org"))
    assert rule
    assert rule.identity.name == "me"


@pytest.mark.parametrize(
    ("more", "refused"),
    [
        ('flows = ["browser"]\n', True),
        ('flows = ["browser", "device"]\n', False),
        ('flows = ["browser"]\nclient_secret = "s"\n', False),
        ("", False),
    ],
)
def test_flow_that_cannot_work_is_a_fault(more: str, refused: bool) -> None:
    text = f'[identity.me]\nprovider = "github"\nclient_id = "c"\n{more}'

    found = problems(text) if refused else []
    if refused:
        assert "github signs in by device only" in found[0]
    else:
        config(text)


@pytest.mark.parametrize(
    "url",
    [
        "http://git.example.com",
        "https://a@b.example",
        "git.example.com",
        "https://x/?y",
    ],
)
def test_base_url_is_a_secure_address(url: str) -> None:
    text = '[identity.me]\nprovider = "gitlab"\nclient_id = "c"\n'

    with pytest.raises(ConfigError, match="base_url: expected"):
        config(f'{text}base_url = "{url}"\n')


@pytest.mark.parametrize(
    "named",
    [
        'base_url = "https://gitlab.com"',
        'base_url = "https://gitlab.com/"',
        'token_endpoint = "https://gitlab.com/oauth/token"',
        "",
    ],
)
def test_token_of_a_public_server_goes_to_no_other_however_it_is_named(
    named: str,
) -> None:
    text = f'[identity.me]\nprovider = "gitlab"\nclient_id = "c"\n{named}\n'

    with pytest.raises(ConfigError, match=r"is signed in at gitlab\.com"):
        config(f'{text}[host."git.example.com"]\nidentity = "me"\n')
    at_home = config(f'{text}[host."gitlab.com"]\nidentity = "me"\n')
    assert at_home.rule_for(Request("https", "gitlab.com"))


def test_server_of_one_s_own_may_have_other_hosts() -> None:
    text = '[identity.me]\nprovider = "bitbucket-dc"\nclient_id = "c"\n'
    text += f'base_url = "{MINE}"\n[host."mirror.example.com"]\nidentity = "me"\n'

    assert config(text).rule_for(Request("https", "mirror.example.com"))


@pytest.mark.parametrize("key", ["base_url", *ENDPOINTS])
@pytest.mark.parametrize(
    "value", ['"https://[/oauth/token"', '"https://[/oauth/authorize"', "3", "[]"]
)
def test_address_that_is_none_is_told_and_nothing_else_breaks(
    key: str, value: str
) -> None:
    text = f'[identity.me]\nprovider = "gitlab"\nclient_id = "c"\n{key} = {value}\n'

    found = problems(f'{text}[host."git.example.com"]\nidentity = "me"\n')

    assert found[0].startswith(f"c.toml:4: [identity.me] {key}: expected an https://")
