"""The machine: folders, programs, locks, deadlines, and who called us."""
