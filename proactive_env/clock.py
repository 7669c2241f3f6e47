"""Which frames a turn shows, when it decides, and which user texts it carries.

Frame i of an episode is shown at i * frame_interval; the turn that shows frames a..b-1 decides at b * frame_interval.
"""

import math
from dataclasses import dataclass

from proactive_env.episode import Episode, GoldReply, Timespan
from proactive_env.errors import InputError
from proactive_env.turn import Transcript, Turn


@dataclass(frozen=True)
class Clock:
    """The turns of one episode.

    Example:
        >>> clock = Clock(frame_interval=1.0, frames_per_turn=2, first_frame=0, frame_count=5)
        >>> [clock.frames(index) for index in range(clock.turn_count)]
        [(0, 2), (2, 4), (4, 5)]
    """

    frame_interval: float
    """Seconds from one frame to the next."""
    frames_per_turn: int
    first_frame: int
    """The first frame that is shown; 0 unless the benchmark starts inside the video."""
    frame_count: int
    """One past the last frame that is shown."""

    @classmethod
    def of(cls, episode: Episode, *, frame_interval: float, frames_per_turn: int, full_video: bool = False) -> "Clock":
        """The clock of an episode whose duration is known.

        With `full_video` it runs to the end of the video, else to where the last gold reply's span ends.
        """
        assert episode.duration is not None
        ends = [episode.play.end] if episode.play else [gold.reply_span.end for gold in episode.gold]
        last = episode.duration if full_video or not ends else min(episode.duration, max(ends))
        count = min(math.floor(_exact(episode.duration / frame_interval)), math.ceil(_exact(last / frame_interval)))
        start = episode.play.start if episode.play else 0.0
        first = math.floor(_exact(start / (frame_interval * frames_per_turn))) * frames_per_turn
        return cls(frame_interval, frames_per_turn, first, max(first + 1, count))

    @property
    def turn_count(self) -> int:
        """How many turns the episode has; the last one may show fewer frames."""
        return math.ceil((self.frame_count - self.first_frame) / self.frames_per_turn)

    def frames(self, index: int) -> tuple[int, int]:
        """The frames a..b-1 of turn `index`, as (a, b)."""
        start = self.first_frame + index * self.frames_per_turn
        return start, min(start + self.frames_per_turn, self.frame_count)

    def dropped_texts(self, episode: Episode) -> int:
        """How many user texts are due only after the last frame."""
        return sum(turn.time >= self.frame_count * self.frame_interval for turn in episode.user_turns)

    def turns(self, episode: Episode) -> tuple[Turn, ...]:
        """Every turn of the episode, silent; the first carries earlier texts too."""
        return tuple(self._turn(episode, index) for index in range(self.turn_count))

    def _turn(self, episode: Episode, index: int) -> Turn:
        start, end = (_exact(frame * self.frame_interval) for frame in self.frames(index))
        since = -math.inf if index == 0 else start
        texts = [turn.text for turn in episode.user_turns if since <= turn.time < end]
        return Turn(index=index, start=start, end=end, user_text="\n".join(texts))


def _exact(number: float) -> float:
    """Without the noise of floats: three tenths of a second are 0.3, not 0.30000000000000004."""
    return round(number, 9)


def plan(episode: Episode, turns: tuple[Turn, ...], window: tuple[float, float] | None = None) -> Transcript:
    """The transcript of an episode before anything is said: every turn that will be played, silent.

    A window (seconds) snaps outwards to turn boundaries. The turns before it become history: gold replies at the last
    turn inside their span where that span ended before the window, silence elsewhere.

    Raises:
        InputError: the window holds no turn of the episode.
    """
    if window is None:
        return Transcript(episode, turns)
    start, end = window
    played = tuple(turn for turn in turns if turn.end > start and turn.start < end)
    if not start < end or not played:
        raise InputError(
            f"expected a window with start < end that meets {turns[0].start}..{turns[-1].end} s, found {start}..{end} s"
        )
    before = tuple(turn for turn in turns if turn.end <= played[0].start)
    over = [gold for gold in episode.gold if gold.reply_span.end <= played[0].start]
    return Transcript(episode, played, Timespan(played[0].start, played[-1].end), _answered(before, over))


def turns_inside(turns: tuple[Turn, ...], gold: GoldReply) -> list[Turn]:
    """The turns that decide inside a gold reply's span."""
    return [turn for turn in turns if gold.reply_span.contains(turn.end)]


def _answered(turns: tuple[Turn, ...], golds: list[GoldReply]) -> tuple[Turn, ...]:
    replies: dict[int, list[str]] = {}
    for gold in golds:
        for turn in turns_inside(turns, gold)[-1:]:
            replies.setdefault(turn.index, []).append(gold.text)
    return tuple(turn.model_copy(update={"reply": " ".join(replies.get(turn.index, [])) or None}) for turn in turns)
