"""Being stopped in the middle, by more than one signal."""

import signal

import pytest

from hushkey_install.demo.interruption import Interrupted, interruptible


def test_a_second_signal_does_not_stop_the_clean_up() -> None:
    """A closing terminal sends several; what the first has begun comes to its end."""
    cleared = False
    with pytest.raises(Interrupted) as stop, interruptible():
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGHUP)
            cleared = True

    assert cleared
    assert stop.value.signum == signal.SIGINT
