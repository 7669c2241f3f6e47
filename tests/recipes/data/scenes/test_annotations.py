"""Scenes from annotations: their dialects, and rows that are broken or name no video."""

import json
import re

import pytest
from scene_files import annotated, found

from proactive_env.errors import DatasetError, InputError
from proactive_env.recipes.data.scenes import SceneConfig, check_annotations

SEGMENTS = [(0.0, 4.0, "C opens the door."), (4.0, 9.0, "C walks in."), (15.0, 20.0, "C sits down.")]


@pytest.mark.parametrize("named", ["clip", "clip.mp4", "{folder}/clip.mp4", "{folder}/clip"])
@pytest.mark.parametrize(
    ("name", "header", "row"),
    [
        ("segments.csv", "text,video,start,end\n", '"{text}",{video},{start},{end}\n'),
        ("segments.jsonl", "\n", '{{"video": "{video}", "start": {start}, "end": {end}, "text": "{text}", "by": 1}}\n'),
        (
            "fine_annotation_trainval_en.csv",
            "video_uid,annotation_uid,subset,view,scene,start_sec,end_sec,narration_en,narration_en_hand_prompt\n",
            "{video},a1,train,ego,kitchen,{start},{end},{text},other words\n",
        ),
    ],
)
def test_annotations(clip, named, name, header, row):
    video = named.format(folder=clip.parent.name)
    rows = [("other", 0.0, 5.0, "Somebody else."), *((video, *segment) for segment in SEGMENTS)]
    text = header + "".join(row.format(video=v, start=s, end=e, text=t) for v, s, e, t in rows)
    assert found(clip, annotations=annotated(clip, name, text), source="annotations") == SEGMENTS


def test_a_moment_lasts_until_the_next_one(clip):
    said = [(0.5, "C cuts."), (4.0, "C stirs."), (4.0, "C talks."), (13.0, "C\nrests.")]
    takes = {
        "clip": [
            {"annotator_id": "1", "rejected": True, "descriptions": [{"timestamp": 1.0, "text": "Wrong."}]},
            {"annotator_id": "2", "rejected": False, "descriptions": [{"timestamp": t, "text": x} for t, x in said]},
            {"annotator_id": "3", "rejected": False, "descriptions": [{"timestamp": 2.0, "text": "Again."}]},
        ],
        "other": [],
    }  # fmt: skip
    file = annotated(clip, "atomic_descriptions_train.json", json.dumps({"ds": "x", "annotations": takes}))
    expected = [(0.5, 4.0, "C cuts."), (4.0, 10.0, "C stirs. C talks."), (13.0, 19.0, "C rests.")]
    assert found(clip, annotations=file, max_seconds=6) == expected


NO_TEXT = '{"annotations": {"clip": [{"descriptions": [{"timestamp": 1.0, "text": null}]}]}}'
BROKEN_ANNOTATIONS = {
    "columns": ("a.csv", "video,start,end\nclip,0,5\n", "a.csv, line 1: expected the columns video,start"),
    "empty": ("a.csv", "", "line 1: expected the columns .* found none"),
    "no number": ("a.csv", "video,start,end,text\n\nclip,5,soon,hi\n", "line 3: end .*number"),
    "backwards": ("a.csv", "video,start,end,text\nclip,5,4,hi\n", "line 2: .*must end after"),
    "negative": ("a.csv", "video,start,end,text\nclip,-5,4,hi\n", "line 2: start .*greater"),
    "beyond": ("a.csv", "video,start,end,text\nclip,50,54,hi\n", "line 2: .*video's end"),
    "huge header": ("a.csv", "x" * 200_000, "line 1: .*field larger"),
    "no takes": ("a.json", '{"annotations": []}', "a.json: expected Ego-Exo4D's atomic"),
    "no text": ("a.json", NO_TEXT, "take clip, description 1: text .*string"),
    "format": ("a.txt", "hi", "expected annotations in .csv, .jsonl, .json, found .txt"),
}


@pytest.mark.parametrize(("name", "content", "message"), BROKEN_ANNOTATIONS.values(), ids=BROKEN_ANNOTATIONS)
def test_broken_annotations_are_named(clip, name, content, message):
    with pytest.raises(DatasetError, match=message):
        found(clip, annotations=annotated(clip, name, content))


def test_missing_annotations_are_named(clip):
    config = SceneConfig(annotations=clip.parent / "gone.csv")
    for read in (lambda: found(clip, config), lambda: check_annotations(config, [clip])):
        with pytest.raises(DatasetError, match="gone.csv: expected a file of annotations, found: No such file"):
            read()


CSV_ROWS = "video,start,end,text\nclip,0,5,good\nBAD\nclip,5,9,also good\n"
JSONL_ROWS = """
{"video": "clip", "start": 0, "end": 5, "text": "good"}
BAD
{"video": "clip", "start": 5, "end": 9, "text": "also good"}
"""
UNREADABLE = {
    "cut off": ("a.csv", CSV_ROWS, "clip,5", "line 3: expected 4 cells, found 2"),
    "a comma in its text": ("a.csv", CSV_ROWS, "clip,5,9,Oh, no", "line 3: expected 4 cells, found 5; quote texts"),
    "huge": ("a.csv", CSV_ROWS, "clip,5,9," + "x" * 200_000, "line 3: expected cells of CSV, found: field larger"),
    "a stray quote": ("a.csv", CSV_ROWS, 'clip,5,9,"Oh" no', "line 3: expected cells of CSV, found: ',' expected"),
    "no JSON": ("a.jsonl", JSONL_ROWS, "{", "line 3: expected an object with the keys video, start, end, text"),
    "no object": ("a.jsonl", JSONL_ROWS, "[1]", "line 3: expected an object"),
    "no name": ("a.jsonl", JSONL_ROWS, '{"start": 1}', "line 3: expected an object .* found: video Field required"),
}


@pytest.mark.parametrize(("name", "rows", "bad", "message"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_row_that_cannot_be_read_is_left_out_and_reported(clip, name, rows, bad, message):
    config = SceneConfig(annotations=annotated(clip, name, rows.replace("BAD", bad)))
    left_out = check_annotations(config, [clip])
    assert list(left_out) == ["row that cannot be read"]
    (told,) = left_out["row that cannot be read"]
    assert re.search(message, told)
    assert "\n" not in told
    assert found(clip, config) == [(0, 5, "good"), (5, 9, "also good")]


def test_a_quote_that_is_never_closed_tells_how_many_lines_it_took(clip):
    config = SceneConfig(annotations=annotated(clip, "a.csv", CSV_ROWS.replace("BAD", 'clip,5,9,"Oh')))
    (told,) = check_annotations(config, [clip])["row that cannot be read"]
    assert "lines 3 to 4: expected cells of CSV, found: unexpected end of data" in told
    assert found(clip, config) == [(0, 5, "good")]


def check(clip, *names, videos=("videos/web/a.mp4", "videos/ego/a.mp4", "videos/b.mp4", "videos/b.mkv")):
    rows = "".join(f"{name},0,5,text\n" for name in names)
    config = SceneConfig(annotations=annotated(clip, "a.csv", f"video,start,end,text\n{rows}"))
    return check_annotations(config, [clip.parent / video for video in videos])


def test_rows_of_no_video_are_counted(clip):
    assert check(clip, "web/a", "b.mp4", f"{clip.parent}/videos/ego/a.mp4") == {}
    left_out = check(clip, "web/a", "c", "b.webm", "c")["row of no video"]
    assert [told.split(", ")[1] for told in left_out] == [
        "line 3: there is no video 'c'",
        "line 5: there is no video 'c'",
        "line 4: there is no video 'b.webm'",
    ]


@pytest.mark.parametrize("name", ["a", "a.mp4", "b", "videos/b"])
def test_a_name_that_several_videos_have_is_refused(clip, name):
    with pytest.raises(InputError, match=rf"a.csv, line 3: '{name}' may be .*videos/.* or .*write more of the path"):
        check(clip, "web/a", name)


@pytest.mark.parametrize(("names", "seen"), [([], "no row"), (["c", "d"], "a.csv, line 2: there is no video 'c'")])
def test_annotations_of_none_of_the_videos_are_refused(clip, names, seen):
    with pytest.raises(InputError, match=f"a.csv: expected rows that name one of the 4 videos .* found: .*{seen}"):
        check(clip, *names)


def test_a_bad_segment_concerns_its_own_video_only(clip):
    rows = "video,start,end,text\nother,7,3,bad\nclip,0,5,good\nclip,7,3,bad\n"
    config = SceneConfig(annotations=annotated(clip, "a.csv", rows))
    errors = []
    assert found(clip, config, on_bad=errors.append) == [(0.0, 5.0, "good")]
    assert [str(error).split(": ")[0] for error in errors] == [f"{config.annotations}, line 4"]


def test_annotations_that_change_are_read_again(clip):
    config = SceneConfig(annotations=annotated(clip, "a.csv", "video,start,end,text\nclip,0,5,first\n"))
    assert found(clip, config) == [(0.0, 5.0, "first")]
    annotated(clip, "a.csv", "video,start,end,text\nclip,0,5,second\n")
    assert found(clip, config) == [(0.0, 5.0, "second")]
