import pytest

from hushkey.config.compile import compile_config
from hushkey.config.rules import Config
from hushkey.errors import ConfigError
from hushkey.model import Request
from kit.core import IDENTITIES

ECR = "111122223333.dkr.ecr.eu-west-1.amazonaws.com"
ARTIFACTS = "team-111122223333.d.codeartifact.eu-west-1.amazonaws.com"
ROLE = 'role = "arn:aws:iam::111122223333:role/ci"'
POOL = (
    'audience = "//iam.googleapis.com/projects/12/locations/global/'
    'workloadIdentityPools/p/providers/x"'
)
LOCAL = 'endpoint = "http://127.0.0.1:1"\nsts_endpoint = "http://127.0.0.1:1"'


def config(host: str, *lines: str) -> str:
    rule = "\n".join((f'[host."{host}"]', 'identity = "corp"', *lines))
    return f"{IDENTITIES}\n{rule}\n"


@pytest.mark.parametrize(
    ("host", "lines"),
    [
        (ECR, ('exchange = "ecr"', ROLE)),
        ("*.dkr.ecr.eu-west-1.amazonaws.com", ('exchange = "ecr"', ROLE)),
        ("ecr.test", ('exchange = "ecr"', ROLE, 'region = "eu-west-1"', LOCAL)),
        (ARTIFACTS, ('exchange = "codeartifact"', ROLE)),
        ("europe-docker.pkg.dev", ('exchange = "gar"', POOL)),
        ("sts.eu-west-1.amazonaws.com", ('exchange = "sts"', ROLE)),
        ("sts.cn-north-1.amazonaws.com.cn", ('exchange = "sts"', ROLE)),
        ("sts-fips.us-east-1.amazonaws.com", ('exchange = "sts"', ROLE)),
        ("vpce-1-a.sts.eu-west-1.vpce.amazonaws.com", ('exchange = "sts"', ROLE)),
        ("127.0.0.1:5000", ('exchange = "sts"', ROLE)),
    ],
)
def test_good_rule_keeps_its_options(host: str, lines: tuple[str, ...]) -> None:
    made = Config(compile_config(config(host, *lines), "c.toml"), "")

    rule = made.rule_for(Request("https", host.replace("*", "111122223333")))

    assert rule is not None
    names = {line.partition(" =")[0] for text in lines for line in text.split("\n")}
    assert rule.options.keys() == names - {"exchange"}


@pytest.mark.parametrize(
    ("host", "lines", "told"),
    [
        (ECR, ('exchange = "ecs"',), "did you mean ecr?"),
        (ECR, ('exchange = "ecr"', 'rol = "x"'), "did you mean role?"),
        (ECR, ('exchange = "ecr"', 'role = "ci"'), "a role's ARN"),
        (ECR, ('exchange = "ecr"', 'region = "Europe"'), "a region, such as"),
        (ECR, ('exchange = "ecr"', 'endpoint = "http://x.test"'), "an https:// URL"),
        (ECR, ('exchange = "acr"', ROLE), "unknown key"),
        ("public.ecr.aws", ('exchange = "ecr"', ROLE), "is for ACCOUNT.dkr.ecr"),
        (f"{ECR}.evil.test", ('exchange = "ecr"', ROLE), "is for ACCOUNT.dkr.ecr"),
        ("x.test", ('exchange = "codeartifact"', ROLE), "is for DOMAIN-OWNER"),
        ("sts.amazonaws.com", ('exchange = "sts"',), "role: is required"),
        ("s3.eu-west-1.amazonaws.com", ('exchange = "sts"', ROLE), "is for an STS"),
        ("eu-west-1.amazonaws.com", ('exchange = "sts"', ROLE), "is for an STS"),
        ("a.pkg.dev", ('exchange = "gar"',), "audience: is required for exchange gar"),
        ("a.pkg.dev", ('exchange = "gar"', 'audience = "x"'), "a provider's name"),
        (
            "a.pkg.dev",
            ('exchange = "gar"', POOL, 'service_account = "me"'),
            "an address such as",
        ),
    ],
)
def test_wrong_keys_are_told(host: str, lines: tuple[str, ...], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compile_config(config(host, *lines), "c.toml")

    assert told in "\n".join(caught.value.problems)
