"""What every package uses: errors, settings, the home, files, digests, provenance."""
