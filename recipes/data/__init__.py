"""Data that recipes run on: benchmarks fetched from where their authors publish them, dialogues built from videos."""
