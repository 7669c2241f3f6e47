"""Proactive dialogues made from videos: scenes, captions, questions, dialogues (MMDuet2, arXiv 2512.06810, part 3)."""
