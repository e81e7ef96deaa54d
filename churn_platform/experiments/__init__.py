"""What is tried after deployment: shadows, canaries, and tests of two models on outcomes."""
