"""The agent: a process of the user's that answers what is already known."""
