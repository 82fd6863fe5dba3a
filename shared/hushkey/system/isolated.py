"""Python without PYTHON*: what our own processes see, and how we start others.

A repository, a tool or a shell profile may set PYTHONPATH, PYTHONSTARTUP, PYTHONHOME
and their like, on purpose or with an empty element that means the working directory.
None of them counts in a process of ours (``-I``), or else a `sitecustomize.py` or a
`json.py` of a cloned repository would run with our tokens at hand. The environment
itself stays as it is: what we start for the user gets the user's own.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_OURS = ("hushkey", "hushkey_helpers", "hushkey_install")
#: runs a module as `python -m` does; further folders for imports come after its name.
#: Without a colon, since a BROWSER ends at one
_BOOT = (
    "import os, runpy, sys; os.chdir('/'); a = sys.argv; name = a.pop(1); "
    "more = [a.pop(1) for _ in range(int(a.pop(1)))]; "
    "sys.path += [folder for folder in more if folder not in sys.path]; "
    "runpy.run_module(name, run_name='__main__', alter_sys=True)"
)


def words(module: str, *argv: str) -> list[str]:
    """Return the command line that runs our *module* isolated, in `/`."""
    # What an isolated Python does not find by itself: an installation for one user,
    # or in a folder of its own. If this process obeys PYTHONPATH, its path tells no
    # more than where we are.
    folders = list(sys.path) if sys.flags.isolated else []
    for name in _OURS:
        if package := sys.modules.get(name):
            folders += [os.path.dirname(folder) for folder in package.__path__]
    folders = list(dict.fromkeys(filter(os.path.isabs, folders)))
    return [
        *(sys.executable, "-I", "-c", _BOOT),
        *(module, str(len(folders)), *folders, *argv),
    ]


def _run_site(packages: str) -> None:
    """Do what `python -S` left undone; *packages* is where we are installed.

    An installation for one user, or in a folder of its own, is not where an isolated
    Python looks. It comes first then, as it would without ``-I``.
    """
    import site

    library = len(sys.path)
    site.main()
    if packages not in map(os.path.realpath, sys.path):
        theirs = sys.path[library:]
        del sys.path[library:]
        site.addsitedir(packages)
        sys.path += theirs


def defer_site(packages: str, folders: Sequence[str]) -> None:
    """Let ``rule`` wait for the first import of what is neither Python's nor ours.

    *packages* is where we are installed; ours lie in *folders*, so far the last ones
    of sys.path. There are none if ``rule`` had to run already to find us.
    """
    if folders:
        del sys.path[-len(folders) :]
        sys.meta_path.append(_Deferred(packages, folders))


class _Deferred:
    """The last one to be asked for a module: runs ``rule``, once, and looks again."""

    def __init__(self, packages: str, folders: Sequence[str]) -> None:
        import _thread

        self._lock = _thread.RLock()  # no thread looks before `rule` is through
        self._packages = packages
        self._folders = folders
        self._waits = True

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Return where *name* is, or None (importlib.abc.MetaPathFinder)."""
        from _frozen_importlib_external import PathFinder

        if path is not None:
            return None  # a package was found before, and has no such module
        if name in _OURS:
            return PathFinder.find_spec(name, self._folders)
        with self._lock:
            if self._waits:
                self._waits = False
                _run_site(self._packages)
        return PathFinder.find_spec(name)
