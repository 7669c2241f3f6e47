"""MMDuet2's terms, which are carried from turn to turn, in two formulas: the paper's, and its authors' code's."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from typing import Literal, Unpack

import gymnasium as gym

from proactive_env.environment import Observation
from proactive_env.errors import InputError
from proactive_env.rewards.base import ComponentReward, Pay, RewardOptions
from proactive_env.rewards.judged import JudgedReward
from proactive_env.rewards.judges.base import JudgeConfig
from proactive_env.turn import Transcript, Turn

Formula = Literal["paper", "code"]


class FormulaReward(ComponentReward):
    """One of MMDuet2's terms (arXiv 2512.06810, section 4.3.2).

    Args:
        formula: `"paper"`, or `"code"` for the authors' code; each term says where they differ.
        options: See `ComponentReward`, as for `env`, `weight` and `name`.

    Raises:
        InputError: there is no such formula.
    """

    def __init__(
        self,
        env: gym.Env[Observation, str],
        weight: float = 1.0,
        name: str | None = None,
        *,
        formula: Formula = "paper",
        **options: Unpack[RewardOptions],
    ) -> None:
        super().__init__(env, weight, name, **options)
        self.formula = _known(formula)

    @abstractmethod
    def running_scores(self, plan: Transcript, turns: Iterable[Turn]) -> Iterator[float]:
        """See `ComponentReward.running_scores`."""

    def score(self, transcript: Transcript) -> float:
        """The last of `running_scores`.

        Raises:
            InputError: the transcript has no turn.
        """
        scores = list(self.running_scores(transcript, transcript.turns))
        if not scores:
            raise InputError(f"{self.name} scores a transcript of at least one turn, found none: play a turn first")
        return scores[-1]


class JudgedOptions(RewardOptions, total=False):
    """What a term takes that asks a judge."""

    formula: Formula
    judge: JudgeConfig


class JudgedFormulaReward(FormulaReward, JudgedReward):
    """One of MMDuet2's terms that asks a judge.

    Args:
        formula: See `FormulaReward`.
        judge: See `JudgedReward`.
        pay: See `ComponentReward`, as for `env`, `weight` and `name`.
    """

    def __init__(
        self,
        env: gym.Env[Observation, str],
        weight: float = 1.0,
        name: str | None = None,
        *,
        formula: Formula = "paper",
        judge: JudgeConfig = "lexical",
        pay: Pay = "end",
    ) -> None:
        JudgedReward.__init__(self, env, weight, name, judge=judge, pay=pay)
        self.formula = _known(formula)


def _known(formula: Formula) -> Formula:
    if formula not in ("paper", "code"):
        raise InputError(f"expected formula='paper' or formula='code', found {formula!r}")
    return formula
