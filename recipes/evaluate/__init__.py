"""Play a benchmark, score transcripts or predictions, compare runs."""
