"""What is remembered, what never is, and what makes it forgotten."""

import os
import time
from pathlib import Path

import pytest

from hushkey import runtime
from hushkey.config import rules
from hushkey.model import TokenKey
from hushkey.store.tokencache import TokenCache
from hushkey_helpers.agent.memory import UNSEEN, Memory
from hushkey_helpers.agent.renewal import RenewalSchedule
from kit.agent import Told
from kit.oauth import ME, Machine, grant
from kit.signin import Clock

STAMP = (1, 2, 3, 4)
FILE_KEY = (5, 6)


@pytest.fixture
def watch() -> Told:
    return Told()


@pytest.fixture
def memory(watch: Told) -> Memory:
    return Memory(watch, RenewalSchedule())


def cache(value: str = "at") -> TokenCache:
    made = TokenCache()
    made.keep(
        grant(value, refresh_token="rt-secret"),
        ME,
        TokenKey(("git",)),
        int(time.time()),
    )
    return made


def keep(memory: Memory, version: object, stamp: tuple[int, ...] = STAMP) -> None:
    memory.keep_tokens("f", stamp, memory.proof(version), cache())


def known(memory: Memory, version: object, stamp: object = STAMP) -> bool:
    return memory.tokens("f", stamp, version) is not None


def test_tokens_are_remembered_without_their_grants(memory: Memory) -> None:
    keep(memory, FILE_KEY)

    found = memory.tokens("f", STAMP, FILE_KEY)
    assert found
    assert [token.value for token in found.tokens()] == ["at"]
    assert found.grants(ME, TokenKey(("git",))) == []
    assert b"rt-secret" not in found.dumps()


def test_changed_file_is_not_known(memory: Memory) -> None:
    keep(memory, FILE_KEY)

    assert not known(memory, FILE_KEY, (1, 2, 3, 5))


def test_changed_key_file_is_not_known(memory: Memory) -> None:
    keep(memory, FILE_KEY)

    assert not known(memory, (5, 7))
    assert not known(memory, ())


def test_file_that_changed_a_moment_ago_is_not_kept(memory: Memory) -> None:
    stamp = (time.time_ns(), 2, 3, 4)
    keep(memory, FILE_KEY, stamp)

    assert not known(memory, FILE_KEY, stamp)


def test_no_file_is_not_kept(memory: Memory) -> None:
    keep(memory, FILE_KEY, ())

    assert not known(memory, FILE_KEY, ())


def test_keyring_with_signals_is_believed_until_the_next_one(
    memory: Memory, watch: Told
) -> None:
    keep(memory, "signals")
    assert known(memory, "signals")

    watch.change()

    assert not known(memory, "signals")
    assert memory.count() == 0


def test_keyring_that_nobody_listens_to_is_not_believed(
    memory: Memory, watch: Told
) -> None:
    keep(memory, "signals")
    watch.value = None

    assert not known(memory, "signals")
    keep(memory, "signals")
    watch.value = 1
    assert not known(memory, "signals")


def test_signal_between_reading_and_keeping_counts(memory: Memory, watch: Told) -> None:
    proof = memory.proof("signals")
    watch.change()
    memory.keep_tokens("f", STAMP, proof, cache())

    assert not known(memory, "signals")


def test_keyring_without_signals_is_believed_for_seconds(watch: Told) -> None:
    clock = Clock()
    memory = Memory(watch, RenewalSchedule(), clock)
    keep(memory, None)
    assert known(memory, None)

    clock.now += UNSEEN

    assert not known(memory, None)


def test_names_are_made_once_and_go_with_the_tokens(
    memory: Memory, watch: Told
) -> None:
    made: list[str] = []

    def make() -> str:
        made.append("x")
        return f"name-{len(made)}"

    assert memory.name(FILE_KEY, "at", make) == "name-1"
    assert memory.name(FILE_KEY, "at", make) == "name-1"
    assert memory.name((9,), "at", make) == "name-2"
    keep(memory, FILE_KEY)
    assert memory.name(FILE_KEY, "at", make) == "name-3"
    watch.value = None
    assert memory.name("signals", "at", make) == "name-4"
    assert memory.name("signals", "at", make) == "name-5"


def test_memory_has_room_for_so_many(memory: Memory) -> None:
    for number in range(200):
        memory.keep_config(str(number), 1, {})

    assert memory.config("0", 1) is None
    assert memory.config("199", 1) == {}


class TestCopy:
    """What a process of its own begins with, and what it tells."""

    def test_knows_the_same_and_asks_no_lock_and_no_watch(
        self, memory: Memory, watch: Told
    ) -> None:
        memory.keep_config("c", 1, {"a": 1})
        keep(memory, "signals")
        copy = memory.copy()
        watch.change()

        with memory._lock:  # as a thread may hold it at the fork, for ever
            assert known(copy, "signals")
            assert copy.config("c", 1) == {"a": 1}
            assert copy.learned() == b"[[], []]"
        assert not known(memory, "signals")

    @pytest.mark.parametrize("version", [FILE_KEY, "signals", None, ()])
    def test_what_it_learned_counts_as_if_learned_here(
        self, memory: Memory, version: object
    ) -> None:
        copy = memory.copy()
        keep(copy, version)
        copy.name(version, "at", lambda: "hash")

        said = copy.learned()
        memory.learn(said)

        assert b"rt-secret" not in said
        assert known(memory, version)
        assert not known(memory, version, stamp=(9, 2, 3, 4))
        assert memory.name(version, "at", lambda: "other") == "hash"
        if version is not None:
            assert not known(memory, (7, 7))

    def test_change_of_the_keyring_meanwhile_counts(
        self, memory: Memory, watch: Told
    ) -> None:
        copy = memory.copy()
        keep(copy, "signals")
        watch.change()

        memory.learn(copy.learned())

        assert not known(memory, "signals")

    def test_name_alone_is_told(self, memory: Memory) -> None:
        keep(memory, FILE_KEY)
        copy = memory.copy()
        copy.name(FILE_KEY, "at", lambda: "hash")

        memory.learn(copy.learned())

        assert known(memory, FILE_KEY)
        assert memory.name(FILE_KEY, "at", lambda: "other") == "hash"

    def test_names_are_told_again_with_their_file(self, memory: Memory) -> None:
        keep(memory, FILE_KEY)
        memory.name(FILE_KEY, "at", lambda: "hash")
        copy = memory.copy()
        keep(copy, FILE_KEY, stamp=(1, 2, 3, 5))
        copy.name(FILE_KEY, "at", lambda: "hash")

        memory.learn(copy.learned())

        assert memory.name(FILE_KEY, "at", lambda: "other") == "hash"


class TestThroughTheCore:
    """The store and the config fill it by themselves."""

    @pytest.fixture
    def machine(self, home: Path) -> Machine:
        made = Machine(home)
        made.configure()
        made.settle()
        made.has(grant("at-kept", refresh_token="rt-secret"))
        path = Path(made.token_file().path)
        os.utime(path, ns=(1, 1))
        return made

    def test_second_look_opens_nothing(self, memory: Memory, machine: Machine) -> None:
        with runtime.AgentContext(memory, 0, quick=False):
            assert machine.token_file().read_cached().grants(ME, TokenKey(("git",)))
        with runtime.AgentContext(memory, 0, quick=True):
            found = machine.token_file().read_cached()

        assert [token.value for token in found.tokens()] == ["at-kept"]
        assert found.grants(ME, TokenKey(("git",))) == []

    def test_first_look_takes_time(self, memory: Memory, machine: Machine) -> None:
        here = runtime.AgentContext(memory, 0, quick=True)

        with here, pytest.raises(runtime.WouldBlock):
            machine.token_file().read_cached()

    def test_store_that_was_changed_is_read_again(
        self, memory: Memory, machine: Machine
    ) -> None:
        with runtime.AgentContext(memory, 0, quick=False):
            machine.token_file().read_cached()
        machine.has(grant("at-new"))

        with (
            runtime.AgentContext(memory, 0, quick=True),
            pytest.raises(runtime.WouldBlock),
        ):
            machine.token_file().read_cached()

    def test_key_that_was_taken_away_is_missed(
        self, memory: Memory, machine: Machine
    ) -> None:
        with runtime.AgentContext(memory, 0, quick=False):
            machine.token_file().read_cached()
        (machine.data / "key").unlink()

        with (
            runtime.AgentContext(memory, 0, quick=True),
            pytest.raises(runtime.WouldBlock),
        ):
            machine.token_file().read_cached()

    def test_without_the_agent_nothing_is_remembered(self, machine: Machine) -> None:
        assert machine.token_file().read_cached().grants(ME, TokenKey(("git",)))
        assert runtime.current() is None

    def test_changed_config_is_compiled_anew(
        self, memory: Memory, machine: Machine
    ) -> None:
        with runtime.AgentContext(memory, 0, quick=False):
            rules.load(machine.environ)
        with runtime.AgentContext(memory, 0, quick=True):
            rules.load(machine.environ)
        machine.configure("[settings]\nsilent_timeout = 7\n", text="{issuer}"[:0])
        machine.settle()

        here = runtime.AgentContext(memory, 0, quick=True)
        with here, pytest.raises(runtime.WouldBlock):
            rules.load(machine.environ)
        with runtime.AgentContext(memory, 0, quick=False):
            assert rules.load(machine.environ).settings["silent_timeout"] == 7
