"""Captions: what each scene shows, from a few of its frames and what is said meanwhile."""

import asyncio
from collections import Counter
from collections.abc import Sequence

from proactive_env.errors import VideoError
from proactive_env.recipes.data.construct.ask import Asker, DroppedError, Fields, OneLine, all_of, one_line
from proactive_env.recipes.data.construct.config import BuildConfig
from proactive_env.recipes.data.construct.frames import scene_pictures
from proactive_env.recipes.data.construct.lines import VideoCaptions, VideoScenes
from proactive_env.recipes.data.scenes.scene import CaptionedScene, Scene


class Caption(Fields):
    """The answer to `caption.txt`."""

    caption: OneLine


async def write_captions(video: VideoScenes, config: BuildConfig, asker: Asker) -> VideoCaptions:
    """Caption every scene of a video; a scene without a caption is dropped.

    Raises:
        ChatUnavailable: there was no answer.
    """
    dropped: Counter[str] = Counter()
    messages: tuple[str, ...] = ()
    scenes: list[CaptionedScene | None] = []
    try:
        pictures = await asyncio.to_thread(scene_pictures, config.videos / video.video, video.scenes, config)
    except VideoError as error:
        dropped["video cannot be decoded"] = len(video.scenes)
        messages = (str(error),)
    else:
        shown = zip(video.scenes, pictures, strict=True)
        scenes = await all_of(_caption(scene, images, asker, dropped) for scene, images in shown)
    captioned = tuple(scene for scene in scenes if scene)
    return VideoCaptions(
        video=video.video, duration=video.duration, scenes=captioned, dropped=dropped, messages=messages
    )


async def _caption(scene: Scene, images: Sequence[str], asker: Asker, dropped: Counter[str]) -> CaptionedScene | None:
    try:
        answer = await asker.ask(
            "caption", [f"Scene: {scene.start:.1f}-{scene.end:.1f} s", subtitle(scene)], Caption, images=images
        )
    except DroppedError as error:
        dropped[str(error)] += 1
        return None
    return CaptionedScene(**dict(scene), caption=answer.caption)


def subtitle(scene: Scene) -> str:
    """The line of a message that says what is said or annotated in a scene."""
    return f"Subtitle: {one_line(scene.text) or '(none)'}"
