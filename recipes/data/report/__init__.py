"""What was built, for people: numbers in a table, and a page to look at it."""

from proactive_env.recipes.data.report.contact_sheet import contact_sheet
from proactive_env.recipes.data.report.statistics import Statistics, statistics, statistics_table

__all__ = ["Statistics", "contact_sheet", "statistics", "statistics_table"]
