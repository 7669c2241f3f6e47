"""GRPO on OpenRLHF, Ray and vLLM: windows of videos as prompts, the environment as the agent that plays them."""
