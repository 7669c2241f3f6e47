"""Models behind OpenAI-compatible servers: one client, what counts as an answer, and a cache of answers on disk."""
