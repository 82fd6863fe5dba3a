"""Apache judges our tokens, in front of real git repositories and plain files.

mod_auth_openidc checks signature, expiry and audience, whether a token comes as
Bearer or as the password of Basic; then `git http-backend` serves the repository.
"""

import base64
import binascii
import contextlib
import grp
import hashlib
import json
import os
import pwd
import shutil
import subprocess
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from servers.authority import Authority
from servers.issuer import Issuer
from servers.process import (
    Missing,
    Program,
    Server,
    answers,
    clean_environ,
    find_program,
    free_port,
    short_folder,
    wait_until,
)

MODULE_FOLDER = Path("/usr/lib/apache2/modules")
MODULES = (
    "mpm_event",
    "authn_core",
    "authz_core",
    "authz_user",
    "alias",
    "cgid",
    "env",
    "setenvif",
    "headers",
    "log_forensic",
    "proxy",
    "proxy_http",
    "rewrite",
    "ssl",
    "auth_openidc",
)
CHALLENGES = ('Basic realm="hushkey test git"', 'Bearer realm="hushkey test git"')

RECORD = (
    r"%{usec}t\t%<m\t%U\t%<q\t%>s\t%u\t%{Authorization}i\t%{User-Agent}i"  # see Access
)
#: a repository's own server, or others that leave the judging to Apache
GIT = "ScriptAlias / {backend}/"
PROXY = """\
ProxyPreserveHost On
RequestHeader set X-Forwarded-Proto https
Header always set Docker-Distribution-Api-Version registry/2.0
ProxyPass /refused !
ProxyPass / http://127.0.0.1:{port}/
"""
UPSTREAM = """\
ProxyPreserveHost On
RequestHeader set X-Forwarded-Proto https
ProxyPass /refused !
ProxyPass /static !
ProxyPass / {url}/
"""
CONFIGURATION = """\
ServerRoot {folder}
ServerName 127.0.0.1
PidFile {folder}/run/apache.pid
DefaultRuntimeDir {folder}/run
Mutex file:{folder}/run
ErrorLog {folder}/log/error
{identity}
{modules}
Listen 127.0.0.1:{port}
StartServers 1
ServerLimit 2
ThreadsPerChild 25
MaxRequestWorkers 50
ScriptSock {folder}/run/cgid
Timeout 60

SSLEngine on
SSLCertificateFile {certificate}
SSLCertificateKeyFile {key}
SSLSessionCache none

OIDCCacheType shm
OIDCOAuthSSLValidateServer Off
OIDCOAuthAcceptTokenAs header
OIDCOAuthAcceptTokenAs basic
OIDCOAuthRemoteUserClaim sub
{keys}

SetEnvIfExpr "sha1(req('Authorization')) =~ /^(.+)$/" TOKEN_SHA=$1
LogFormat "{record}" all
CustomLog {folder}/log/access all
ForensicLog {folder}/log/forensic

DocumentRoot {folder}/static
SetEnv GIT_PROJECT_ROOT {folder}/repositories
SetEnv GIT_HTTP_EXPORT_ALL 1
SetEnv GIT_CONFIG_NOSYSTEM 1
SetEnv HOME {folder}/run
RewriteEngine on
RewriteRule ^/refused$ - [END]
RewriteCond {folder}/refused/everything -f [OR]
RewriteCond {folder}/refused/%{{ENV:TOKEN_SHA}} -f
RewriteRule ^ - [R=401,L]
RewriteCond %{{REQUEST_URI}} ^/([^/]+)/([^/]+)[.]git/
RewriteCond {folder}/refused/%1-%2 -f
RewriteRule ^ - [R=401,L]
Alias /static/ {folder}/static/
Alias /refused {folder}/page
{behind}
ErrorDocument 401 /refused

<Location "/">
  AuthType oauth20
  {requirement}
</Location>
# The module's own challenge goes with the request that it refused; the error page
# is a request of its own, and carries ours.
<Location "/refused">
  AuthType None
  Require all granted
{challenges}
</Location>
"""


@dataclass(frozen=True)
class Access:
    """One line of Apache's access log. `secret` is the token as it was presented."""

    time: float
    method: str
    path: str
    query: str
    status: int
    user: str
    scheme: str
    presented_user: str
    secret: str
    agent: str


class Apache(Server):
    """https on 127.0.0.1 with the authority's leaf; repositories at /NAME.git.

    `audience` is the claim a token must carry; `opaque` asks the issuer's
    introspection endpoint instead of checking signatures (a TLS issuer only).
    `registry` is the port of a docker-registry to stand in front of, instead of git,
    and `upstream` the URL of any other server.
    Files in `static` are served, to the same tokens, below /static/.
    """

    def __init__(
        self,
        authority: Authority,
        issuer: Issuer,
        *,
        audience: str = "api://git",
        challenges: Sequence[str] = CHALLENGES,
        opaque: bool = False,
        registry: int = 0,
        upstream: str = "",
        port: int = 0,
    ) -> None:
        self.authority = authority
        self.issuer = issuer
        self.audience = audience
        self.challenges = challenges
        self.opaque = opaque
        self.registry = registry
        self.upstream = upstream
        self.port = port
        self._folder: Path | None = None
        self._program: Program | None = None

    # -- its life

    def start(self) -> None:
        apache = find_program("apache2")
        if not (MODULE_FOLDER / "mod_auth_openidc.so").exists():
            raise Missing(
                "mod_auth_openidc is not installed: "
                "apt-get install libapache2-mod-auth-openidc"
            )
        self.port = self.port or free_port()
        self._folder = folder = short_folder("apache", mode=0o755)
        for name in ("log", "refused", "repositories", "run", "static"):
            (folder / name).mkdir()
        (folder / "page").write_text("refused\n")
        file = folder / "apache.conf"
        file.write_text(self._configuration())
        self._give_away(folder)
        self._program = Program(
            [apache, "-d", str(folder), "-f", str(file), "-DFOREGROUND"],
            folder / "log" / "output",
        )
        try:
            self._program.wait_until(lambda: answers(self.port), "apache2")
        except (RuntimeError, TimeoutError) as error:
            text = f"{error}\n{self.errors()}"
            self.stop()
            raise RuntimeError(text) from None

    def stop(self) -> None:
        if self._program is not None:
            self._program.stop()
            self._program = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    @property
    def folder(self) -> Path:
        assert self._folder is not None, "not started"
        return self._folder

    @property
    def host(self) -> str:
        """host:port, as git and the config file write it."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"https://{self.host}"

    @property
    def static(self) -> Path:
        return self.folder / "static"

    # -- what it serves

    def make_repository(self, name: str) -> str:
        """Make `name`.git anew, with one commit that holds README; return its URL."""
        make_bare(self.folder / "repositories", name)
        self._give_away(self.folder / "repositories")
        return f"{self.url}/{name}.git"

    def url_of(self, name: str) -> str:
        return f"{self.url}/{name}.git"

    # -- what it refuses

    def refuse_everything(self) -> None:
        """Answer 401 to every request until accept()."""
        (self.folder / "refused" / "everything").touch()

    def refuse_repository(self, name: str) -> None:
        """Answer 401 to every request for the repository *name* until accept()."""
        (self.folder / "refused" / name.replace("/", "-")).touch()

    def refuse_seen(self) -> int:
        """Refuse every Authorization header seen so far, as if it were revoked."""
        seen = {_field(line, 6) for line in self._lines()} - {"-"}
        for value in seen:
            sha = hashlib.sha1(value.encode()).hexdigest()
            (self.folder / "refused" / sha).touch()
        return len(seen)

    def accept(self) -> None:
        for file in (self.folder / "refused").iterdir():
            file.unlink()

    def reset(self) -> None:
        """Refuse nothing, and forget what was logged. Repositories stay."""
        self.accept()
        self._lines()
        for name in ("access", "forensic"):
            os.truncate(self.folder / "log" / name, 0)

    # -- what it saw

    def log(self) -> list[Access]:
        """Every finished request, oldest first."""
        return [_access(line) for line in self._lines()]

    def errors(self) -> str:
        parts = [self.folder / "log" / name for name in ("output", "error")]
        return "\n".join(p.read_text(errors="replace") for p in parts if p.exists())

    def _lines(self) -> list[str]:
        # Apache logs a request after its answer has left, so a client may ask here
        # too early. The forensic log has a "+" from before the work: wait for as
        # many lines. A request still at work keeps us for two seconds, no more.
        access, forensic = (self.folder / "log" / n for n in ("access", "forensic"))

        def settled() -> bool:
            begun = sum(line[:1] == "+" for line in forensic.read_text().splitlines())
            return len(access.read_text().splitlines()) >= begun

        with contextlib.suppress(TimeoutError):
            wait_until(settled, "requests at work", seconds=2)
        return access.read_text().splitlines()

    # -- how it is set up

    def _configuration(self) -> str:
        requirement = f"Require claim aud:{self.audience}"
        if self.opaque:
            # Introspection says "active"; an audience is not part of the answer.
            requirement = "Require valid-user"
        return CONFIGURATION.format(
            folder=self.folder,
            record=RECORD,
            port=self.port,
            identity=_identity(),
            modules="\n".join(
                f"LoadModule {name}_module {MODULE_FOLDER}/mod_{name}.so"
                for name in MODULES
            ),
            certificate=self.authority.certificate_file,
            key=self.authority.key_file,
            keys=self._keys(),
            behind=self._behind(),
            requirement=requirement,
            challenges="\n".join(
                f"  Header always {'add' if n else 'set'} WWW-Authenticate "
                f'"{challenge.translate({34: chr(92) + chr(34)})}" '
                '"expr=%{REQUEST_STATUS} == 401"'
                for n, challenge in enumerate(self.challenges)
            ),
        )

    def _behind(self) -> str:
        if self.upstream:
            return UPSTREAM.format(url=self.upstream)
        if self.registry:
            return PROXY.format(port=self.registry)
        return GIT.format(backend=_http_backend())

    def _keys(self) -> str:
        if self.opaque:
            return (
                "OIDCOAuthIntrospectionEndpoint "
                f"{self.issuer.url}/token/introspection\n"
                "OIDCOAuthClientID judge\nOIDCOAuthClientSecret judge-secret\n"
                # Ask each time: a revoked token is refused at once.
                "OIDCOAuthTokenIntrospectionInterval -1"
            )
        if self.issuer.url.startswith("https://"):
            return f"OIDCOAuthVerifyJwksUri {self.issuer.url}/jwks"
        # The module wants https for JWKS: an http issuer's keys are copied to files.
        return "\n".join(self._copied_keys())

    def _copied_keys(self) -> list[str]:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.issuer.url}/jwks", timeout=10) as answer:
            keys = json.load(answer)["keys"]
        lines = []
        for key in keys:
            numbers = rsa.RSAPublicNumbers(_number(key["e"]), _number(key["n"]))
            file = self.folder / f"{key['kid']}.pem"
            file.write_bytes(
                numbers.public_key().public_bytes(
                    serialization.Encoding.PEM,
                    serialization.PublicFormat.SubjectPublicKeyInfo,
                )
            )
            lines.append(f"OIDCOAuthVerifyCertFiles {key['kid']}#{file}")
        return lines

    def _give_away(self, path: Path) -> None:
        """Give a tree to the user that Apache's children run as, when root."""
        if os.geteuid() != 0:
            return
        name, group = _servant()
        user_id, group_id = pwd.getpwnam(name).pw_uid, grp.getgrnam(group).gr_gid
        for parent, folders, files in os.walk(path):
            os.chown(parent, user_id, group_id)
            for child in [*folders, *files]:
                os.chown(Path(parent, child), user_id, group_id)


def _servant() -> tuple[str, str]:
    """The user and group for Apache's children: it refuses to serve as root."""
    for user, group in (("www-data", "www-data"), ("nobody", "nogroup")):
        try:
            pwd.getpwnam(user)
            grp.getgrnam(group)
        except KeyError:
            continue
        return user, group
    raise Missing("neither www-data nor nobody exists, and Apache will not be root")


def _identity() -> str:
    if os.geteuid() != 0:
        return ""
    user, group = _servant()
    return f"User {user}\nGroup {group}"


def _http_backend() -> str:
    folder = subprocess.run(
        [find_program("git"), "--exec-path"],
        check=True,
        capture_output=True,
        text=True,
        env=clean_environ(),
    ).stdout.strip()
    return f"{folder}/git-http-backend"


def _number(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "=="), "big")


def _field(line: str, number: int) -> str:
    # Apache writes \" for a quote and \\ for a backslash.
    return line.split("\t")[number].replace('\\"', '"').replace("\\\\", "\\")


def _access(line: str) -> Access:
    fields = [_field(line, number) for number in range(8)]
    scheme, _, secret = fields[6].partition(" ")
    user = ""
    if scheme.lower() == "basic":
        try:
            user, _, secret = base64.b64decode(secret).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            user = "?"
    return Access(
        time=int(fields[0]) / 1_000_000,
        method=fields[1],
        path=fields[2],
        query=fields[3],
        status=int(fields[4]),
        user="" if fields[5] == "-" else fields[5],
        scheme="" if scheme == "-" else scheme,
        presented_user=user,
        secret=secret,
        agent=fields[7],
    )


def make_bare(folder: Path, name: str) -> None:
    """Make the repository `name`.git in *folder* anew, with one commit: README."""
    path = folder / f"{name}.git"
    shutil.rmtree(path, ignore_errors=True)
    git = find_program("git")
    environ = clean_environ(HOME=str(folder), GIT_CONFIG_NOSYSTEM="1", LC_ALL="C")
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [git, "init", "--quiet", "--bare", "--initial-branch=main", str(path)],
        check=True,
        env=environ,
    )
    text = f"{name}\n".encode()
    stream = (
        b"commit refs/heads/main\n"
        b"committer Test <test@corp.test> 1700000000 +0000\n"
        b"data 6\nfirst\n\n"
        b"M 100644 inline README\ndata %d\n%s\n" % (len(text), text)
    )
    subprocess.run(
        [git, "-C", str(path), "fast-import", "--quiet"],
        input=stream,
        check=True,
        env=environ,
    )
