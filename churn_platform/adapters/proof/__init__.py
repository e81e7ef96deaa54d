"""What the ledger records, proven again: verification, every digest, a version made once more."""
