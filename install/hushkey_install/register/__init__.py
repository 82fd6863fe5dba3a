"""What registers the helpers with each tool, and takes it back."""
