"""Checkpoints that answer: the dialogue between frames and replies, and the engines that run it."""
