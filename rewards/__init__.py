"""Rewards as Gymnasium wrappers: each adds one term, a pure function of the transcript, to what the chain pays.

```python
from proactive_env.rewards import ComponentReward

class Brevity(ComponentReward):
    '''1 - the share of replies longer than 100 characters.'''

    def score(self, transcript):
        long = [turn for turn in transcript.replies if len(turn.reply) > 100]
        return 1 - len(long) / max(len(transcript.replies), 1)

env = gym.make("ProactiveVideoQA-v0", rewards={"pauc": 3, "brevity.py:Brevity": 1})
```
"""

from proactive_env.errors import JudgeUnavailable
from proactive_env.rewards.base import ComponentReward
from proactive_env.rewards.in_span import InSpanReward
from proactive_env.rewards.judged import JudgedReward
from proactive_env.rewards.judges.base import AsyncJudge, Judge
from proactive_env.rewards.judges.lexical import LexicalJudge
from proactive_env.rewards.make import KINDS, PRESETS, REWARDS, WEIGHTS, make
from proactive_env.rewards.pauc import PaucReward
from proactive_env.rewards.prefix import PrefixReward
from proactive_env.rewards.replication import ReplicationReward

__all__ = [
    "KINDS",
    "PRESETS",
    "REWARDS",
    "WEIGHTS",
    "AsyncJudge",
    "ComponentReward",
    "InSpanReward",
    "Judge",
    "JudgeUnavailable",
    "JudgedReward",
    "LexicalJudge",
    "PaucReward",
    "PrefixReward",
    "ReplicationReward",
    "make",
]
