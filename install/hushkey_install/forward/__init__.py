"""`hushkey forward`: ssh with a socket that leads back here, and who asked by it."""
