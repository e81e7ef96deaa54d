"""What every package uses: errors, settings, files, digests, provenance."""
