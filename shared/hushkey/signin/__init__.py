"""One interactive sign-in: where a person may be asked, and how.

`policy` decides, `ladder` asks; the other modules are its rungs.
"""
