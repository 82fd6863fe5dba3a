"""The `hushkey` command, and what registers the helpers with each tool."""
