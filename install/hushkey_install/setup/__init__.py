"""`hushkey setup`: from an address to "done", in the order of these modules.

`target` (what was named), `recognise` (what it is), `questions` (what only a person
knows), `plan` (what will change), `apply`. Nothing is changed before the last one.
"""
