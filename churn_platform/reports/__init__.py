"""What people read: status and month warnings."""
