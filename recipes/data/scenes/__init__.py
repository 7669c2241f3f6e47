"""Videos cut into scenes: by their subtitles, by annotated segments, or by their shots."""

from proactive_env.errors import NoScenesError
from proactive_env.recipes.data.scenes.annotations import check as check_annotations
from proactive_env.recipes.data.scenes.config import SceneConfig
from proactive_env.recipes.data.scenes.find import find_scenes

__all__ = ["NoScenesError", "SceneConfig", "check_annotations", "find_scenes"]
