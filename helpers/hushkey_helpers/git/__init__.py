"""git's credential helper protocol."""
