"""AWS's command line and SDKs: a process credential provider.

docs.aws.amazon.com/sdkref "Process credential provider". They keep nothing between two
processes, and ask again once less than 15 min are left. The host is an STS, whose rule
says which role; what it gives are the keys.
"""

from __future__ import annotations

from hushkey.errors import Permanent
from hushkey_helpers.answer import Answer
from hushkey_helpers.tools import command
from hushkey_helpers.tools.command import Asked, CommandTool, Served, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: seconds before their end from which botocore wants new keys
_ADVISED = 900


def parse(
    argv: list[str], _: Callable[[], bytes], __: Mapping[str, str]
) -> Asked | Answer:
    """Read ``--host HOST``."""
    host = command.one_host(argv, "give `--host HOST`")
    if not host:
        raise Usage("no host is given", hint="give `--host HOST`")
    return command.asked_for(host)


def render(served: Served) -> bytes:
    """Return the keys; raises Permanent where the host gives something else."""
    keys = command.object_in(served.token.value)
    if "SecretAccessKey" not in keys:
        raise Permanent(
            f"{served.asked.host} gives no AWS keys",
            hint='write `exchange = "sts"` and a `role` for the host in config.toml',
        )
    end = served.token.expires_at
    expires = {} if end is None else {"Expiration": command.rfc3339(end)}
    return command.json_line({"Version": 1, **keys, **expires})


TOOL = CommandTool(
    "hushkey-answer aws",
    callers={"aws": "ec2 ecr eks lambda s3 sts", "sam": "", "cdk": "deploy"},
    parse=parse,
    render=render,
    margin=_ADVISED,
)


def answer(
    argv: list[str], read: Callable[[], bytes], environ: Mapping[str, str]
) -> Answer:
    """Answer one command line."""
    return command.answer(TOOL, argv, read, environ)
