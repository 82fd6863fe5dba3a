"""What a helper says, and how an error becomes something to say."""

from __future__ import annotations

from hushkey.errors import HushkeyError
from hushkey.trace import event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Answerer = Callable[[list[str], Callable[[], bytes], Mapping[str, str]], "Answer"]


class Answer:
    """What a helper says: bytes for the tool, lines for the person, a code.

    ``instead`` is another program's command line, by its absolute path, that
    takes this one's place and streams and gives the answer; ``environ`` is its.
    ``otherwise`` makes the answer where that program does not know the words.
    """

    __slots__ = ("code", "environ", "instead", "lines", "otherwise", "out")

    def __init__(
        self,
        out: bytes = b"",
        lines: tuple[str, ...] = (),
        code: int = 0,
        instead: tuple[str, ...] = (),
        environ: Mapping[str, str] | None = None,
        otherwise: Callable[[], Answer] | None = None,
    ):
        self.out = out
        self.lines = lines
        self.code = code
        self.instead = instead
        self.environ = environ
        self.otherwise = otherwise


def explained(error: Exception, *, more: str = "; please report it") -> HushkeyError:
    """Return *error* as one whose line may be shown, and trace it.

    The text of an error that is not ours may quote anything, a secret included: its
    type must do. *more* is what is said after that.
    """
    event("failed", error=error)
    if isinstance(error, HushkeyError):
        return error
    return HushkeyError(f"internal error ({type(error).__name__}){more}")


def failed(error: Exception) -> Answer:
    """Return the answer where a tool's protocol has no word for an error."""
    return Answer(lines=(explained(error).line(),), code=1)
