"""Statistics of models: AUC, intervals, curves, costs, leaks. No files and no clock."""
