"""`proactive rewards`: what the rewards are."""

from rich.table import Table

from proactive_env.recipes import console
from proactive_env.recipes.cli.options import AsJson
from proactive_env.rewards.make import REWARDS, WEIGHTS


def rewards(as_json: AsJson = False) -> None:
    """List the rewards: weight in the default sum, what they look at, what they are."""
    rows = [
        {
            "name": name,
            "weight": WEIGHTS[name],
            "scope": cls.scope,
            "description": (cls.__doc__ or "").strip().splitlines()[0],
        }
        for name, cls in REWARDS.items()
    ]
    if as_json:
        console.print_json(rows)
        return
    table = Table(caption="add your own: rewards={'my_package.module:MyReward': 1}, or 'file.py:MyReward'")
    for heading in ("reward", "weight", "looks at", "what it is"):
        table.add_column(heading)
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    console.out.print(table)
