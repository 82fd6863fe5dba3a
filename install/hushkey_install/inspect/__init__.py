"""What people look at: status and explain."""
