"""What changes weights: the warm start (`sft`), and learning by rewards (`grpo`)."""
