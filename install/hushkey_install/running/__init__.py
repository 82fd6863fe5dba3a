"""`hushkey run`: a command with a token in the one variable that it reads."""
