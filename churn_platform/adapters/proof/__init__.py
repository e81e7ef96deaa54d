"""What the ledger says, proven again: verification, every digest, a version made once more."""
