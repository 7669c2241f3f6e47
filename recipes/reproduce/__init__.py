"""Findings of the papers, repeated on TinyWorld: experiments as data, the course of a training, verdicts."""
