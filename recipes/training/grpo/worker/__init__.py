"""The processes that play: the executor that OpenRLHF calls, on its own vLLM engine."""
