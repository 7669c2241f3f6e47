"""The warm start: supervised fine-tuning of a vision-language model on proactive dialogues (MMDuet2, section 4.2)."""
