"""Real servers on loopback, for tests: each a class with start() and stop()."""
