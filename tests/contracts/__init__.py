"""The whole thing against real clients and real servers."""
