"""Names that model files written before 0.2 refer to."""
