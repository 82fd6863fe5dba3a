"""The near side of `hushkey forward`: tokens for a machine that somebody has reached.

`server` takes the questions of `hushkey.net.forwarding`, `consent` asks the person
whether a host is meant for that machine, `answers` gets the token as every helper does.
"""
