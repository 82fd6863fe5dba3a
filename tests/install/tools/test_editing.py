"""Editors of other programs' files: undoing what was done gives the text again.

Whatever else stands there stays as it is, byte for byte.
"""

import json
import string

import pytest
import yaml  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from hushkey_install.register import (
    bazel,
    cargo,
    claude,
    codex,
    go,
    kubectl,
    pnpm,
    rclone,
    terraform,
    yarn,
)
from hushkey_install.tools import hcltext, textlines, tomltext, yamltext
from hushkey_install.tools.keylines import KeyLines, packed

WORDS = st.text(string.ascii_lowercase + string.digits + "_-", min_size=1, max_size=6)
ENDS = st.sampled_from(["\n", "\r\n"])


def texts(*lines: str) -> st.SearchStrategy[str]:
    """Return texts of these lines, each at most once, with and without a last end."""
    chosen = st.lists(st.sampled_from(lines), unique=True)
    return st.builds(
        lambda some, end, last: end.join(some) + (end if some and last else ""),
        chosen,
        ENDS,
        st.booleans(),
    )


def kept(before: str, after: str) -> bool:
    """Tell whether the lines of *before* stand in *after* in their order."""
    rest = iter(line.strip() for line in after.splitlines())
    return all(line.strip() in rest for line in before.splitlines() if line.strip())


@given(texts("a", "", "b c", "# d"), st.integers(0, 5), st.sampled_from(["x", "x\ny"]))
def test_lines_put_in_are_taken_out(text: str, at: int, block: str) -> None:
    at = min(at, len(textlines.split(text)))

    made = textlines.inserted(text, at, block)

    assert textlines.without(made, at, at + 1 + block.count("\n")) == text


LINES = KeyLines(r"(?P<key>K\w+)=(?P<value>[^\r\n]*)")
IN_SECTION = KeyLines(r"(?P<key>K\w+) = (?P<value>[^\r\n]*)", "{key} = {value}", "two")
VALUES = st.dictionaries(st.sampled_from(["Ka", "Kb", "Kc"]), WORDS)


@given(texts("Ka=1", "Kb=", "# Kc=3", "x=Ka=5", "", " Kc=2"), VALUES)
def test_key_lines(text: str, values: dict[str, str]) -> None:
    made = LINES.edit(text, packed(values))

    assert LINES.value(made) == packed(values)
    back = LINES.edit(made, LINES.value(text))
    assert LINES.value(back) == LINES.value(text)
    if values.keys() >= set(json.loads(LINES.value(text) or "{}")):
        assert back == text  # nothing was taken out whose place is not known


@given(
    texts("Ka = 1", "", "[one]", "Kb = 0", "[three]", "; Kc = 3"),
    texts("Kb = 2", "", "x = y"),
    texts("Kc = 9", ""),
    VALUES,
)
def test_key_lines_of_one_section(
    before: str, inside: str, after: str, values: dict[str, str]
) -> None:
    parts = (before, "[two]", inside, f"[four]\n{after}")
    text = "\n".join(parts).replace("\r\n", "\n")
    values |= json.loads(IN_SECTION.value(text) or "{}")

    made = IN_SECTION.edit(text, packed(values))

    assert IN_SECTION.value(made) == packed(values)
    assert IN_SECTION.edit(made, IN_SECTION.value(text)) == text
    assert made.endswith(f"[four]\n{after}".replace("\r\n", "\n"))


TOML = (
    '# global-credential-providers = ["no"]',
    "[net]",
    'a = "[registry]"',
    "",
    "[registry]  # mine",
    "[[some]]",
    "b.c = [1, # ]",
    "2]",
)
PATH = ("registry", "global-credential-providers")


@given(texts(*TOML), st.sampled_from(['["x"]', '[\n  "x", # y\n]', '"""\n[net]"""']))
def test_toml(text: str, written: str) -> None:
    try:
        tomltext.parsed(text)
    except ValueError:
        with pytest.raises(ValueError):
            tomltext.rewrite(text, PATH, written)
        return
    made = tomltext.rewrite(text, PATH, written)

    assert tomltext.source(made, PATH).replace("\r\n", "\n") == written
    assert tomltext.value(made, PATH) == tomltext.value(f"x = {written}", ("x",))
    assert kept(text, made)
    assert tomltext.rewrite(made, PATH, "") == text


@pytest.mark.parametrize(
    "text",
    [
        "registry.global-credential-providers = ['a'] # b\n",
        "[registry]\n'global-credential-providers' = ['a']",
        '[ "registry" ]\nx = 1\nglobal-credential-providers=[ "a",\n]\n[z]\n',
    ],
)
def test_toml_value_that_is_there(text: str) -> None:
    source = tomltext.source(text, PATH)

    made = tomltext.rewrite(text, PATH, cargo.with_element(source, "/x/hushkey-answer"))

    assert tomltext.value(made, PATH) == ["a", "/x/hushkey-answer"]
    assert tomltext.rewrite(made, PATH, source) == text
    gone = tomltext.rewrite(made, PATH, cargo.without_ours(tomltext.source(made, PATH)))
    assert tomltext.value(gone, PATH) == ["a"]


@given(
    st.lists(WORDS, min_size=1, max_size=4, unique=True),
    st.sampled_from([", ", ",\n  ", ", # note\n"]),
    st.sampled_from(["", ",", ",\n", "\n", ", # last\n", " # last\n"]),
)
def test_list_keeps_its_notes(words: list[str], glue: str, last: str) -> None:
    written = f"[{glue.join(map(json.dumps, words))}{last}]"

    made = cargo.with_element(written, "/x/hushkey-answer cargo")

    said = tomltext.value(f"x = {made}", ("x",))
    assert said == [*words, "/x/hushkey-answer cargo"]
    assert made.count("#") == written.count("#")
    back = cargo.without_ours(made)
    assert tomltext.value(f"x = {back}", ("x",)) == words
    assert back.count("#") == written.count("#")


HCL = (
    'plugin_cache_dir = "a}"',
    "",
    "# credentials_helper {",
    "/* x {",
    "*/",
    'credentials "a.b" {',
    '  token = "x#"',
    "}",
    "provider_installation {",
    "  direct {}",
)
BLOCK = 'credentials_helper "hushkey" {\n  args = []\n}'


@given(texts(*HCL))
def test_hcl(text: str) -> None:
    try:
        before = hcltext.blocks(text)
    except ValueError:
        return
    made = hcltext.added(text, BLOCK)

    *others, ours = hcltext.blocks(made)
    assert others == before
    assert ours.labels == ("hushkey",)
    assert kept(text, made)
    assert hcltext.without(made, ours) == text


def test_hcl_blocks() -> None:
    text = (
        'a = <<EOT\ncredentials_helper "no" {\nEOT\n'
        'credentials "x" { token = "}" }\n// b {\ncredentials_helper "y" {}'
    )
    found = [(block.type, *block.labels) for block in hcltext.blocks(text)]

    assert found == [("credentials", "x"), ("credentials_helper", "y")]


CONTEXTS = ("work", "'it''s'", '"a: b"', "arn:aws:eks:me # note")


def kubeconfig(
    contexts: list[str], users: str, indent: str, end: str, last: bool
) -> str:
    lines = ["# mine", "apiVersion: v1", "contexts:" if contexts else "contexts: []"]
    for name in contexts:
        lines += [
            f"{indent}- context:",
            f"{indent}    cluster: c",
            f"{indent}    user: {name}",
            f"{indent}  # note",
            f"{indent}  name: {name}",
        ]
    lines += ["current-context: work", *users.splitlines()]
    text = "\n".join(lines) + ("\n" if last else "")
    return text.replace("\n", end)


@given(
    st.lists(st.sampled_from(CONTEXTS), unique=True),
    st.sampled_from(
        [
            "",
            "users: []",
            "users: null  # none",
            "users:",
            "users:\n# mine\n- name: a\n  user:\n    token: |\n      - x\n\n# end",
            "users:\n  - user: {token: x}\n    name: a\npreferences: {}",
        ]
    ),
    st.sampled_from(["", "  "]),
    ENDS,
    st.booleans(),
    st.sets(st.sampled_from(CONTEXTS)),
)
def test_kubeconfig(
    contexts: list[str], users: str, indent: str, end: str, last: bool, some: set[str]
) -> None:
    text = kubeconfig(contexts, users, indent, end, last)
    form = kubectl.KUBECTL.form({}, ())
    before = json.loads(form.read(text))
    assert len(before["contexts"]) == len(contexts)
    found = yamltext.listing(text, "users")
    wanted = {
        "contexts": dict.fromkeys(list(before["contexts"])[: len(some)], "hushkey"),
        "entry": kubectl._entry(found.indent if found else "", "/x y/hushkey-answer"),
        "users": "",
    }

    made = form.edit(text, json.dumps(wanted))

    (ours,) = [
        item
        for item in getattr(yamltext.listing(made, "users"), "items", ())
        if item.says("name") == "hushkey"
    ]
    assert ours.says("user", "exec", "command") == "/x y/hushkey-answer"
    others = [line for line in text.splitlines() if "user:" not in line]
    assert kept("\n".join(o for o in others if not o.startswith("users:")), made)
    assert form.edit(made, form.read(text)) == text
    assert form.without(made, form.read(text)) == text


@given(
    st.lists(
        st.sampled_from(
            [
                "# mine",
                "nodeLinker: pnp",
                "plugins: []",
                "plugins:\n  - ./a.cjs\n  - path: b.cjs\n    spec: x",
                "plugins:\n- path: b.cjs",
                "npmRegistries: {}  # none",
                "npmRegistries:\n  //a.test/x:\n    npmAuthToken: t",
                "npmRegistries:\n    'https://a.test/x/':\n        # c\n"
                "        npmAlwaysAuth: false\n    https://b.test:8443: # d\n"
                "        npmAlwaysAuth: true",
                "npmScopes:\n  a:\n    npmRegistryServer: https://a.test",
            ]
        ),
        unique_by=lambda block: block.partition(":")[0],
    ),
    st.lists(st.sampled_from(["a.test/x", "c.test", "b.test:8443/"]), unique=True),
    ENDS,
    st.booleans(),
)
def test_yarnrc(blocks: list[str], words: list[str], end: str, last: bool) -> None:
    text = "\n".join(blocks) + ("\n" if blocks and last else "")
    text = text.replace("\n", end)
    form = yarn.YARN.form({}, tuple(words))
    said = json.loads(form.read(text))
    known = {key.removeprefix("https:").strip("/"): key for key in said["always"]}
    for word in words:
        bare = word.strip("/")
        said["always"][known.get(bare, f"https://{bare}")] = "true"
    said["entry"] = "/x y/yarn-plugin-hushkey.cjs"

    made = form.edit(text, json.dumps(said))

    read = yaml.safe_load(made)
    assert {"path": said["entry"], "spec": "hushkey"} in read["plugins"]
    assert {k: dict(v or {}) for k, v in (read.get("npmRegistries") or {}).items()} == {
        key: ({"npmAlwaysAuth": always == "true"} if always else {})
        | ({"npmAuthToken": "t"} if key == "//a.test/x" else {})
        for key, always in said["always"].items()
    }
    rest = [line for line in text.splitlines() if "Auth: false" not in line]
    assert kept("\n".join(line for line in rest if line[-1:] not in "]e"), made)
    assert form.edit(made, form.read(text)) == text
    assert form.without(made, form.read(text)) == text


@pytest.mark.parametrize(
    "registration",
    [
        bazel.BAZEL,
        cargo.CARGO,
        claude.CLAUDE,
        codex.CODEX,
        go.GO,
        kubectl.KUBECTL,
        pnpm.PNPM,
        rclone.RCLONE,
        terraform.TERRAFORM,
        yarn.YARN,
    ],
    ids=lambda each: each.name,
)
@given(texts("{", "}", "[a]", "a: b", "a = 1", '"a": 2', "- b", "# c", "", "users:"))
def test_any_text_is_set_to_what_it_says_or_refused(
    registration: object, text: str
) -> None:
    form = registration.form({}, ("a",))  # type: ignore[attr-defined]
    try:
        said = form.read(text)
    except ValueError:
        return

    assert form.edit(text, said) == text
    assert form.without(text, said) == text
