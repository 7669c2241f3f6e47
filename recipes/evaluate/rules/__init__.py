"""How benchmarks score: one file a benchmark."""
