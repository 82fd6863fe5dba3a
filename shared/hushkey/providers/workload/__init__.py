"""Machines as identities: one file for each kind, which `kinds` lists.

A kind is written in the config and never guessed: the environment proves it, or the
answer is one sentence. The token that the environment hands out goes to the identity's
token endpoint alone; what that gives goes to the hosts of the identity's rules alone.
"""
