"""One interactive sign-in: where a person may be asked, and how.

`policy` decides, `flow` asks; the other modules are its methods.
"""
