"""What the commands share: context, file changes, output."""
