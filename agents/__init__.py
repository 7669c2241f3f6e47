"""Agents answer observations; `load` makes one from a spec such as `"oracle"` or `"random?p=0.2"`.

```python
from proactive_env import agents
agent = agents.load("oracle")
agent.reset(info)                     # the infos of env.reset()
action = agent.act(observation)
```
"""

from proactive_env.agents.base import Agent, Conversation
from proactive_env.agents.spec import KINDS, load

__all__ = ["KINDS", "Agent", "Conversation", "load"]
