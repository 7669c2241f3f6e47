"""What people run. Each recipe is a pydantic config, a function and a command of `proactive`."""
