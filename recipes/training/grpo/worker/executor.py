"""The agent that OpenRLHF's rollout workers run: it plays a window of a video in the environment, token in, token out.

A judge that is silent is asked again; whatever else goes wrong, the window is played once again. Then the run ends with
the window's name: an error is never a score.
"""

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from itertools import count
from pathlib import Path
from typing import Any

from openrlhf.utils.agent import AgentExecutorBase

from proactive_env.agents.base import Conversation
from proactive_env.agents.models.dialogue import FORMATS
from proactive_env.agents.models.engine import Decoding
from proactive_env.agents.models.tape import Speller
from proactive_env.agents.rollout import converse, with_stats
from proactive_env.environment import Observation
from proactive_env.errors import InputError
from proactive_env.recipes.training.grpo.config import PlayConfig
from proactive_env.recipes.training.grpo.held_out_log import HeldOutLog
from proactive_env.recipes.training.grpo.rollout_credits import RolloutCredits
from proactive_env.recipes.training.grpo.task import Task
from proactive_env.recipes.training.grpo.worker.engine import ContextFullError, Features, RolloutEngine
from proactive_env.recipes.training.grpo.worker.environments import Environments, EnvironmentThread
from proactive_env.recipes.training.grpo.worker.outcome import outcome
from proactive_env.turn import NO_REPLY, Reply

_log = logging.getLogger(__name__)
_LONGEST_PAUSE_S = 60.0


class UnpaidError(RuntimeError):
    """A judge gave no answer for as long as the run is patient, or a reward's own score is not a finite number."""


class ProactiveExecutor(AgentExecutorBase):  # type: ignore[misc]
    """Plays a prompt row's task; see `recipes.training.grpo.prepare.windows`.

    OpenRLHF loads a file that names it:

    ```python
    class AgentExecutor(ProactiveExecutor):
        def __init__(self):
            super().__init__(PlayConfig(...), Path("/the/run's/folder"))
    ```

    Args:
        play: How episodes are played, paid and answered.
        out: The run's folder, which keeps the transcripts of held-out episodes (`HeldOutLog`).
    """

    def __init__(self, play: PlayConfig, out: Path) -> None:
        self._play = play
        self._held_out = HeldOutLog(out)
        self._environments = Environments(play)
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="proactive_env features")
        self._spelling: tuple[Speller, Features] | None = None
        self._played = Counter[str]()
        self._under_way = 0
        self._period = 0

    def close(self) -> None:
        """Close the environments that no rollout has, and end all threads."""
        self._environments.close()
        self._reader.shutdown()

    async def execute(
        self,
        prompt: str,
        label: str,
        sampling_params: Any,
        max_length: int,
        hf_tokenizer: Any,
        llm_engine: Any,
        images: None = None,
    ) -> dict[str, Any]:
        """Play one rollout.

        Args:
            prompt: The row's name.
            label: A `Task` as JSON.
            sampling_params: OpenRLHF's; its temperature counts, and whether it asks for log-probabilities. The rest
                comes from `PlayConfig`.
            max_length: Tokens of the sequence, at most.
            hf_tokenizer: The checkpoint's processor.
            llm_engine: OpenRLHF's rollout worker, whose vLLM engine is `llm_engine.llm`.
            images: None: frames come from the environment.

        Returns:
            What OpenRLHF makes an `Experience` of; `extra_logs` are the numbers of `outcome`, and the label becomes
            `RolloutCredits` as JSON. A held-out episode is
            kept, and scored elsewhere: its sequence is its last context, without pixels, and its reward is NaN.

        Raises:
            InputError: the window cannot be played so: it has more frames than the engine takes, or no room for a turn.
            RuntimeError: it failed twice, or a judge stayed silent; the message names the window.
        """
        task = Task.model_validate_json(label)
        self._period += not self._under_way  # weights change only while nothing is played
        self._under_way += 1
        failed = False
        try:
            while True:
                try:
                    played = await self._execute(task, sampling_params, max_length, hf_tokenizer, llm_engine)
                    return {"prompt": prompt, "label": label, "images": images, **played}
                except UnpaidError:
                    raise
                except Exception as error:
                    if failed:
                        kind = InputError if isinstance(error, InputError) else RuntimeError
                        raise kind(f"{task.name}: played twice without success: {error!r}") from error
                    _log.warning("%s failed, and is played once again", task.name, exc_info=True)
                    failed = True
        finally:
            self._under_way -= 1

    async def _execute(
        self, task: Task, sampling: Any, max_length: int, processor: Any, llm_engine: Any
    ) -> dict[str, Any]:
        speller, features = self._spell(processor)
        engine = RolloutEngine(
            llm_engine.llm,
            processor,
            speller,
            longest_context=max_length,
            period=self._period,
            held_out=task.held_out,
            log_probs=sampling.logprobs is not None,
        )
        decoding = Decoding(
            format=self._play.format,
            max_new_tokens=self._play.max_new_tokens,
            temperature=sampling.temperature,
            top_p=self._play.top_p,
            top_k=self._play.top_k,
            max_context=max_length,
            seed=self._seed(task, llm_engine.llm),
        )
        async with self._environments.lend(task) as environment:
            observation = await environment.reset(task)
            history = environment.info["history"]
            begun = await asyncio.to_thread(
                FORMATS[decoding.format], engine, speller.template, decoding, history=history
            )
            dialogue = RolloutDialogue(begun, engine)
            replies = await converse(dialogue, observation, environment.step)
            if not task.held_out:
                await self._pay(environment, task, [reply.text for reply in replies])
            transcript, info = with_stats(environment.transcript, replies), environment.info
        assert engine.recording is not None
        tokens, trained, log_probs = engine.recording.finish()
        ranges = [(said.start, said.end) for said in trained]
        sequence = {
            "observation_tokens": tokens,
            "action_ranges": ranges,
            "rollout_log_probs": log_probs if sampling.logprobs is not None else None,
            "truncated": dialogue.full,
        }
        if task.held_out:
            await asyncio.to_thread(self._held_out.append, transcript)
            last = [(len(tokens) - 1, len(tokens))]  # OpenRLHF wants something drawn
            return sequence | {"action_ranges": ranges or last, "reward": math.nan, "scores": math.nan}
        if not ranges:
            raise RuntimeError("the model drew nothing that can be trained")
        end = outcome(info["proactive_episode"], transcript, truncated=dialogue.full)
        call = self._reader.submit(features.of, engine.recording.images, engine.recording.image_ids)
        return sequence | {
            "mm_train_inputs": await asyncio.wrap_future(call),
            "reward": end.reward,
            "scores": end.score,
            "extra_logs": end.numbers,
            "label": RolloutCredits.of(task.name, info["proactive_episode"], trained).model_dump_json(),
        }

    async def _pay(self, environment: EnvironmentThread, task: Task, actions: Sequence[str]) -> None:
        """Play the window again, with pauses in between, until every term is paid."""
        clock = asyncio.get_running_loop().time
        deadline, pause = clock() + self._play.judge_patience, 1.0
        while not (episode := environment.info["proactive_episode"])["valid"]:
            if names := ", ".join(episode["not_finite"]):
                raise UnpaidError(
                    f"{task.name}: expected finite scores of all rewards, found {episode['scores']}; correct the "
                    f"reward {names}. Start the run again, and it goes on from its last checkpoint"
                )
            left = deadline - clock()
            if left <= 0:
                raise UnpaidError(
                    f"{task.name}: expected a number for every reward within judge_patience="
                    f"{self._play.judge_patience:g} s, found {episode['terms']}: is the judge reachable? Start the run "
                    "again, and it goes on from its last checkpoint"
                )
            _log.warning("%s: a judge gave no answer; asking again for %.0f s", task.name, left)
            await asyncio.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE_S)
            await environment.replay(task, actions)

    def _seed(self, task: Task, llm: Any) -> int:
        """Of a rollout's draws: another one each time that this engine plays the window, the same in every run."""
        self._played[task.name] += 1
        names = f"{task.seed} {llm.model_config.seed} {task.name} {self._played[task.name]}"
        return int.from_bytes(blake2b(names.encode(), digest_size=7).digest())

    def _spell(self, processor: Any) -> tuple[Speller, Features]:
        """What is made of the checkpoint's processor, once: OpenRLHF hands over another copy with every prompt."""
        if self._spelling is None:
            self._spelling = (Speller(processor), Features(processor))
        return self._spelling


class RolloutDialogue(Conversation):
    """A dialogue that tells its engine which turn is played, and is silent once the context is full."""

    def __init__(self, dialogue: Conversation, engine: RolloutEngine) -> None:
        self._dialogue = dialogue
        self._engine = engine
        self._turns = count()
        self.full = False

    async def respond(self, observation: Observation) -> Reply:
        """See `Conversation.respond`."""
        self._engine.turn = next(self._turns)
        if not self.full:
            try:
                return await self._dialogue.respond(observation)
            except ContextFullError:
                self.full = True
        return Reply(NO_REPLY)
