"""Files that tell the scenes of a video, and the scenes that are found."""

from proactive_env.recipes.data.scenes import SceneConfig, find_scenes
from proactive_env.video import probe_duration


def found(video, config=None, on_bad=None, **fields):
    arguments = (video, probe_duration(video), config or SceneConfig(**fields))
    scenes = find_scenes(*arguments, on_bad=on_bad) if on_bad else find_scenes(*arguments)
    return [(scene.start, scene.end, scene.text) for scene in scenes]


def beside(video, suffix, content):
    file = video.with_suffix(suffix)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def annotated(video, name, content):
    file = video.parent / name
    file.write_text(content)
    return file
