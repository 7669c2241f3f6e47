"""The process that the user started: it starts the trainer, follows it, and evaluates beside it."""
