"""`hushkey config`: the config file, found, shown, checked and changed."""
