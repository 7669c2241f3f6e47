"""Annotated videos as episodes, one module a format.

```python
from proactive_env import datasets
episodes = datasets.load("proactivevideoqa", "path/to/ProactiveVideoQA", subset="WEB")
```
"""

from proactive_env.datasets.base import Dataset
from proactive_env.datasets.catalog import NAMES, load
from proactive_env.datasets.rows import OnBadRow
from proactive_env.errors import DatasetError

__all__ = ["NAMES", "Dataset", "DatasetError", "OnBadRow", "load"]
