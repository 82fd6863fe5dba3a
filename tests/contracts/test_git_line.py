"""One sign-in, real git, then silence: counted in the servers' own logs."""

import pytest

from kit.desk import Desk, Done
from servers.gits import Git

pytestmark = pytest.mark.contract
CROWD = 20


def test_clone_signs_in_once_and_then_is_silent(desk: Desk, git: Git) -> None:
    first = desk.clone(git, "contoso/app", "first")
    second = desk.clone(git, "fabrikam/app", "second")

    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert len(desk.visitor.visits()) == 1
    assert desk.issuer.sign_ins() == 1
    assert len(desk.issuer.token_requests()) == 1
    assert desk.visitor.troubles() == ""


def test_clone_carries_bearer_where_git_can(desk: Desk, git: Git) -> None:
    desk.clone(git, "contoso/app", "first")

    schemes = {seen.scheme.lower() for seen in desk.apache.log() if seen.status == 200}
    assert schemes == ({"bearer"} if git.carries_bearer else {"basic"})


def test_push_works_after_a_silent_fetch(desk: Desk, git: Git) -> None:
    desk.clone(git, "contoso/app", "first")
    here = desk.folder / "first"
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    git.run(*identity, "commit", "-qm", "x", "--allow-empty", cwd=here)
    done = git.run(
        "push", "-q", "origin", f"HEAD:{git.name}", cwd=here, environ=desk.environ
    )

    assert done.returncode == 0, done.stderr
    assert len(desk.visitor.visits()) == 1


def test_no_file_and_no_output_holds_a_token(desk: Desk, git: Git) -> None:
    done = desk.clone(git, "contoso/app", "first")
    (token,) = desk.tokens()

    assert token.encode() not in desk.files()
    assert token.encode() not in done.stdout + done.stderr


def test_twenty_fetches_with_no_token_ask_once(desk: Desk, old_git: Git) -> None:
    clones = desk.clones(old_git, CROWD)
    assert desk.hushkey("logout", "corp", "--local").returncode == 0

    done = desk.fetch_at_once(old_git, clones)

    assert [d.returncode for d in done] == [0] * CROWD, done[0].stderr
    assert len(desk.visitor.visits()) == 2  # one for the clone, one for the crowd
    assert desk.issuer.sign_ins() == 2


@pytest.mark.parametrize("lifetime", [60, 300, 600])
def test_twenty_fetches_with_expired_tokens_refresh_once(
    desk: Desk, old_git: Git, lifetime: int
) -> None:
    desk.issuer.set(access_ttl=lifetime)
    clones = desk.clones(old_git, CROWD)
    for round_ in (1, 2):
        desk.age(lifetime + 1)

        done = desk.fetch_at_once(old_git, clones)

        assert [d.returncode for d in done] == [0] * CROWD, done[0].stderr
        assert desk.issuer.refreshes() == round_
    assert len(desk.visitor.visits()) == 1


def test_declined_sign_in_is_one_window_and_twenty_clear_failures(
    desk: Desk, old_git: Git
) -> None:
    clones = desk.clones(old_git, CROWD)
    desk.hushkey("logout", "corp", "--local")
    desk.visitor.mode = "decline"

    done = desk.fetch_at_once(old_git, clones)
    later = desk.fetch_at_once(old_git, clones[:3])

    assert all(d.returncode != 0 for d in (*done, *later))
    for failure in (*done, *later):
        assert b"the sign-in was declined" in failure.stderr
        assert b"run: hushkey login" in failure.stderr
        assert b"could not read Username" not in failure.stderr
    assert len(desk.visitor.visits()) == 2  # the clone's, and the declined one


def test_login_asks_again_after_a_decline(desk: Desk) -> None:
    desk.visitor.mode = "decline"
    assert desk.get().returncode == 1
    desk.visitor.mode = ""

    done = desk.hushkey("login", "corp")

    assert done.returncode == 0, done.stderr
    assert b"signed in to" in done.stderr
    assert desk.get().returncode == 0


def test_stale_token_heals_inside_one_git_command(desk: Desk, new_git: Git) -> None:
    desk.clone(new_git, "contoso/app", "first")
    desk.age(100)
    assert desk.apache.refuse_seen() > 0

    done = new_git.run("fetch", environ=desk.environ, cwd=desk.folder / "first")

    assert done.returncode == 0, done.stderr
    assert desk.issuer.refreshes() == 1
    assert len(desk.visitor.visits()) == 1


def test_stale_token_heals_with_the_second_command_of_an_old_git(
    desk: Desk, old_git: Git
) -> None:
    desk.clone(old_git, "contoso/app", "first")
    desk.age(100)
    desk.apache.refuse_seen()
    here = desk.folder / "first"

    first = old_git.run("fetch", environ=desk.environ, cwd=here)
    second = old_git.run("fetch", environ=desk.environ, cwd=here)

    assert (first.returncode != 0, second.returncode) == (True, 0)
    assert desk.issuer.refreshes() == 1
    assert len(desk.visitor.visits()) == 1


def test_server_that_refuses_every_token_causes_no_storm(desk: Desk, git: Git) -> None:
    desk.clone(git, "contoso/app", "first")
    desk.age(100)
    desk.apache.refuse_everything()
    here = desk.folder / "first"

    done = [git.run("fetch", environ=desk.environ, cwd=here) for _ in range(5)]

    assert all(d.returncode != 0 for d in done)
    assert b"signed in as alice" in done[-1].stderr
    assert b"refuses" in done[-1].stderr
    assert desk.issuer.refreshes() <= 2
    assert len(desk.visitor.visits()) == 1


@pytest.mark.parametrize("paths", ["true", "false"])
def test_repository_that_is_refused_leaves_the_others_open(
    desk: Desk, git: Git, paths: str
) -> None:
    for name in ("contoso", "fabrikam"):
        assert desk.clone(git, f"{name}/app", name).returncode == 0
    desk.apache.refuse_repository("fabrikam/app")
    with (desk.folder / "gitconfig").open("a") as config:
        config.write(f"[credential]\n\tuseHttpPath = {paths}\n")

    def fetch(name: str) -> Done:
        return git.run("fetch", environ=desk.environ, cwd=desk.folder / name)

    refused = [fetch("fabrikam") for _ in range(2)]
    others = [fetch("contoso") for _ in range(2)]

    assert all(done.returncode != 0 for done in refused)
    where = desk.apache.host + ("/fabrikam/app.git" if paths == "true" else "")
    assert f"but {where} refuses alice".encode() in refused[-1].stderr
    assert [done.returncode for done in others] == [0, 0], others[0].stderr
    if paths == "true":
        assert b"refuses" not in b"".join(done.stderr for done in others)
    assert desk.issuer.refreshes() <= 1
    assert len(desk.visitor.visits()) == 1


def test_reject_just_after_a_sign_in_closes_nothing(desk: Desk, git: Git) -> None:
    assert desk.clone(git, "contoso/app", "app").returncode == 0
    (token,) = desk.tokens()
    told = f"protocol=https\nhost={desk.apache.host}\nusername=oauth2\npassword={token}"
    asked = ["credential", "reject"]
    git.run(*asked, environ=desk.environ, cwd=desk.folder, stdin=f"{told}\n\n".encode())

    done = git.run("fetch", environ=desk.environ, cwd=desk.folder / "app")

    assert done.returncode == 0, done.stderr
    assert len(desk.visitor.visits()) == 1


def test_background_maintenance_never_asks(desk: Desk, new_git: Git) -> None:
    never = ("-c", "credential.interactive=false")
    done = new_git.run(
        *never, "ls-remote", desk.apache.url_of("contoso/app"), environ=desk.environ
    )

    assert done.returncode != 0
    assert b"credential.interactive is false" in done.stderr
    assert desk.visitor.visits() == []


def test_browser_that_blocks_or_talks_disturbs_nothing(desk: Desk, git: Git) -> None:
    desk.visitor.mode = "noise"

    done = desk.clone(git, "contoso/app", "first")

    assert done.returncode == 0, done.stderr
    assert done.stdout == b""


def test_two_organisations_on_one_host_get_their_own_identities(
    desk: Desk, git: Git
) -> None:
    identity = (
        f'provider = "oidc"\nissuer = "{desk.issuer.url}"\nclient_id = "hushkey"\n'
    )
    rule = '[host."{host}/{org}"]\nidentity = "{name}"\nscopes = ["git"]\n'
    host = desk.apache.host
    desk.configure(
        identity='account = "alice"\n[identity.other]\naccount = "bob"\n' + identity,
        hosts=rule.format(host=host, org="contoso", name="corp")
        + rule.format(host=host, org="fabrikam", name="other"),
    )
    desk.visitor.user = "alice"
    first = desk.clone(git, "contoso/app", "first")
    desk.visitor.user = "bob"
    second = desk.clone(git, "fabrikam/app", "second")
    without = git.run(
        "-c",
        f"credential.https://{host}.useHttpPath=false",
        "ls-remote",
        desk.apache.url_of("fabrikam/app"),
        environ=desk.environ,
    )

    assert (first.returncode, second.returncode) == (0, 0), second.stderr
    served = {
        (s.path.split("/")[1], s.user) for s in desk.apache.log() if s.user != "-"
    }
    assert {("contoso", "alice"), ("fabrikam", "bob")} >= {
        pair for pair in served if pair[1] in ("alice", "bob")
    }
    assert without.returncode != 0
    assert b"useHttpPath" in without.stderr
