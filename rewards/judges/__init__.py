"""Judges say whether a reply covers a gold reply, and whether it only repeats what was said before."""
