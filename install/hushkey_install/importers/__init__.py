"""`hushkey import`: what other helpers keep, taken over on request."""
