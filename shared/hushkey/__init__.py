"""Sign in once; git, Docker, pip and friends are answered silently.

The rooms, lowest first; a module imports from its own floor or from below:

errors, model, scopes, claims, origins, tokenrequest, runtime, trace: the words of all
system/     files, locks, processes, callers of this machine
net/        one HTTP session, and what servers say
store/      tokens and typed credentials, sealed; the keys to them
providers/  who signs a person in: OpenID Connect, Entra; exchanges
config/     config.toml compiled, and the rule that covers a request
signin/     browser, device code, paste, and the terminal they talk on
acquire/    a token for a request, as silently as can be: read acquirer.py first

Above them are `helpers/` (git, docker, keyring, and the agent that remembers) and
`install/` (the command itself).

The life of a `git fetch`: git starts the helper, whose client asks the agent first. If
that does not know, the helper's process reads the request, config/rules finds the
host's rule, and acquire/acquirer opens the token file (store/) and returns a token that
is still fresh. Else acquire/silent refreshes it at its provider, under a lock; only if
that answers "UI required" does acquire/interactive sign the person in. The answer is
one write to stdout, and what failed is one line on stderr.
"""
