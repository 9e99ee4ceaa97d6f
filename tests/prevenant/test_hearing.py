"""For how long the silence of devices proves nothing: not without the broker, but not for ever either."""

from prevenant.stream.hearing import Hearing


class Seconds:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        """Return how late it is."""
        return self.now


def test_a_broker_that_is_back_is_listened_to_for_a_moment_first() -> None:
    seconds = Seconds()
    hearing = Hearing(seconds)
    assert hearing.is_deaf()
    hearing.change(connected=True)
    seconds.now += 1.9
    assert hearing.is_deaf()
    seconds.now += 0.2
    assert not hearing.is_deaf()


def test_a_broker_that_stays_away_is_waited_for_a_minute() -> None:
    seconds = Seconds()
    hearing = Hearing(seconds)
    hearing.change(connected=True)
    seconds.now += 100.0
    hearing.change(connected=False)
    seconds.now += 59.9
    assert hearing.is_deaf()
    seconds.now += 0.2
    assert not hearing.is_deaf()


def test_a_broker_that_comes_and_goes_is_waited_for_no_longer() -> None:
    seconds = Seconds()
    hearing = Hearing(seconds)
    hearing.change(connected=True)
    seconds.now += 100.0
    began, longest = seconds.now, 0.0
    # As two clients do that have one name: each ends the other's connection.
    for second in range(300):
        hearing.change(connected=second % 2 == 1)
        began = began if hearing.is_deaf() else seconds.now
        longest = max(longest, seconds.now - began)
        seconds.now += 1.0
    assert longest <= 62.0
