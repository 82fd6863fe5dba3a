"""The verbs of `hushkey`: one click group or a few commands a file."""
