"""Official formats load as published; what is wrong with a row is told by file, row and field."""

import json

import pytest
from builders import episode, gold
from paths import ROOT

from proactive_env import datasets
from proactive_env.datasets import jsonl
from proactive_env.episode import Timespan
from proactive_env.errors import DatasetError

FIXTURES = ROOT / "tests" / "data"


def row(**changes):
    return {
        "video": "a.mp4",
        "question_id": "a.mp4%Q0",
        "conversation": [{"role": "user", "content": "What?", "time": 0}],
        "answer": [{"role": "assistant", "content": "A dog.", "related_timespan": [1, 3], "reply_timespan": [1, 4]}],
        "duration": 10.0,
    } | changes


@pytest.fixture
def benchmark(tmp_path):
    def write(*rows, subset="WEB"):
        (tmp_path / subset / "videos").mkdir(parents=True, exist_ok=True)
        (tmp_path / subset / "anno.json").write_text(json.dumps(rows))
        return tmp_path

    return write


class TestProactiveVideoQA:
    def test_real_annotations(self, real_data):
        episodes = datasets.load("proactivevideoqa", real_data / "proactivevideoqa")
        assert [(e.subset, e.frames_per_turn) for e in episodes] == [("WEB", 1), ("WEB", 1), ("TV", 2), ("VAD", 2)]
        television = episodes[2]
        assert television.question_id == "house_frames=house_s02e17_seg02_clip_27.mp4%Q0"
        assert [turn.text[:9] for turn in television.user_turns] == ["Where was", "Subtitle:", "Subtitle:", "Subtitle:"]
        assert television.gold[0].question == television.user_turns[0].text
        assert television.gold[0].related_span == (0.12, 1.69)
        assert all(e.video.is_file() for e in episodes)

    def test_ego_centric_annotations(self):
        (loaded,) = datasets.load("proactivevideoqa", FIXTURES / "proactivevideoqa", subset="EGO")
        assert loaded.subset == "EGO"
        assert loaded.frames_per_turn == 2
        assert loaded.gold[1].reply_span == Timespan(6.0, 10.0)

    def test_root_comes_from_the_environment(self, benchmark, monkeypatch):
        monkeypatch.setenv("PROACTIVEVIDEOQA_ROOT", str(benchmark(row())))
        assert len(datasets.load("proactivevideoqa")) == 1

    @pytest.mark.parametrize(
        ("bad", "message"),
        [
            ({"duration": "long"}, "row 2, field duration"),
            ({"duration": 2.5}, r"row 2, field \(row\): .*gold.0.reply_span must lie inside the video of 2.5"),
            ({"question_id": "a.mp4%Q0"}, "row 2: question_id 'a.mp4%Q0' stands twice"),
            ({"video": "../../etc/passwd"}, "row 2: a path must stay inside the data folder"),
            ({"video": "/etc/passwd"}, "row 2: a path must stay inside the data folder"),
            ({"conversation": []}, "row 2, field conversation"),
            (
                {"answer": [{"content": "x", "related_timespan": [3, 1], "reply_timespan": [3, 4]}]},
                "row 2, field answer.0.related_timespan: .*0 <= start < end",
            ),
            ({"answer": [{"content": "x", "related_timespan": [1, 3]}]}, "row 2, field answer.0.reply_timespan"),
        ],
    )
    def test_bad_rows_are_told_or_skipped(self, benchmark, bad, message):
        root = benchmark(row(), row(question_id="b") | bad)
        with pytest.raises(DatasetError, match=r"WEB/anno\.json, " + message):
            datasets.load("proactivevideoqa", root)
        skipped = []
        assert len(datasets.load("proactivevideoqa", root, on_bad=skipped.append)) == 1
        assert len(skipped) == 1

    def test_an_id_in_two_subsets_is_an_error(self, benchmark):
        benchmark(row(), subset="TV")
        root = benchmark(row())
        with pytest.raises(DatasetError, match="'a.mp4%Q0' stands in two subsets"):
            datasets.load("proactivevideoqa", root)
        assert len(datasets.load("proactivevideoqa", root, subset="TV")) == 1

    def test_nothing_usable_is_an_error(self, benchmark):
        with pytest.raises(DatasetError, match="no usable episode"):
            datasets.load("proactivevideoqa", benchmark(row(duration=-1)), on_bad=lambda error: None)

    @pytest.mark.parametrize("content", ["[", '{"rows": []}', ""])
    def test_a_broken_file_is_told(self, benchmark, content):
        root = benchmark()
        (root / "WEB" / "anno.json").write_text(content)
        with pytest.raises(DatasetError, match=r"anno\.json: expected"):
            datasets.load("proactivevideoqa", root)

    def test_missing_subsets_are_told(self, benchmark):
        root = benchmark(row())
        with pytest.raises(DatasetError, match=r"expected TV/anno\.json.*found WEB"):
            datasets.load("proactivevideoqa", root, subset="TV")
        with pytest.raises(DatasetError, match="no subset 'web'; did you mean 'WEB'|no subset 'web'; known"):
            datasets.load("proactivevideoqa", root, subset="web")


class TestStreamingBench:
    QUESTION = {
        "task_type": "Proactive Output",
        "question": "When a goal is scored, output GOAL.",
        "time_stamp": "00:01:05",
        "ground_truth_time_stamp": "00:01:12",
        "ground_truth_output": "GOAL",
        "required_ability": "episodic memory",
    }

    def write(self, folder, *questions, path="./videos/s1/video.mp4"):
        entry = {"time": "[0:01:00]", "video_categories": "sports", "video_path": path, "questions": list(questions)}
        (folder / "questions.json").write_text(json.dumps([entry]))
        return folder

    def test_one_episode_a_question(self, tmp_path):
        first, second = datasets.load("streamingbench_po", self.write(tmp_path, self.QUESTION, self.QUESTION))
        assert first.question_id != second.question_id
        assert first.gold[0].reply_span == (70, 74)
        assert first.play == (65, 76)
        assert first.user_turns[0].time == 65
        assert first.frames_per_turn == 1
        assert first.video == tmp_path / "videos" / "s1" / "video.mp4"

    def test_the_file_itself_is_a_root_too(self, tmp_path):
        self.write(tmp_path, self.QUESTION)
        (tmp_path / "other.json").write_text("[]")
        assert len(datasets.load("streamingbench_po", tmp_path / "questions.json")) == 1
        with pytest.raises(DatasetError, match=r"expected one \.json file.*found other\.json, questions\.json"):
            datasets.load("streamingbench_po", tmp_path)

    @pytest.mark.parametrize("stamp", ["75", "1:2", None, "aa:bb:cc"])
    def test_bad_time_stamps_are_told(self, tmp_path, stamp):
        with pytest.raises(DatasetError, match=r"questions\.0\.time_stamp: .*HH:MM:SS"):
            datasets.load("streamingbench_po", self.write(tmp_path, self.QUESTION | {"time_stamp": stamp}))


class TestMMDuet:
    def test_answers_belong_to_the_newest_question(self, tmp_path):
        asked = [{"role": "user", "time": 0, "content": "What?"}, {"role": "user", "time": 5, "content": "And now?"}]
        answers = [{"time": [1, 3], "content": "A dog."}, {"role": "assistant", "time": [6, 9], "content": "A cat."}]
        rows = [{"question_id": "1", "video": "a.mp4", "conversation": asked, "answer": answers}]
        (tmp_path / "test.json").write_text(json.dumps(rows))
        (loaded,) = datasets.load("mmduet", tmp_path)
        assert [reply.question for reply in loaded.gold] == ["What?", "And now?"]
        assert loaded.gold[1].reply_span == loaded.gold[1].related_span == (6, 9)
        assert loaded.video == tmp_path / "videos" / "a.mp4"


class TestJsonLines:
    def test_round_trip(self, tmp_path):
        written = [
            episode(gold(1, 5), question_id="a", video=tmp_path / "v" / "a.mp4", subset="X"),
            episode(gold(2, 6), question_id="b", video=tmp_path / "b.mp4", play=Timespan(1, 8), duration=None),
        ]
        jsonl.write(written, tmp_path / "episodes.jsonl")
        assert list(datasets.load("jsonl", tmp_path)) == written
        assert [e.question_id for e in datasets.load("jsonl", tmp_path, subset="X")] == ["a"]
        with pytest.raises(DatasetError, match="no subset 'Y', found ALL, X"):
            datasets.load("jsonl", tmp_path, subset="Y")

    def test_videos_outside_are_not_written(self, tmp_path):
        (tmp_path / "in").mkdir()
        with pytest.raises(DatasetError, match="stay inside"):
            jsonl.write([episode(video=tmp_path / "a.mp4")], tmp_path / "in" / "episodes.jsonl")

    def test_a_bad_line_is_told_by_number(self, tmp_path):
        file = tmp_path / "episodes.jsonl"
        jsonl.write([episode(video=tmp_path / "a.mp4")], file)
        file.write_text(file.read_text() + '{"question_id": "b"\n' + '{"question_id": "c", "colour": 1}\n')
        skipped = []
        assert len(datasets.load("jsonl", file, on_bad=skipped.append)) == 1
        assert [str(error).split(":")[0] for error in skipped] == [f"{file}, row 2", f"{file}, row 3, field video"]


class TestCatalog:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("proactivvideoqa",), "no data set 'proactivvideoqa'; did you mean 'proactivevideoqa'"),
            (("proactivevideoqa",), "needs its folder.*or set PROACTIVEVIDEOQA_ROOT"),
            (("mmduet",), "needs its folder"),
            (("mmduet", "/no/such/folder"), "no such file or folder"),
        ],
    )
    def test_what_is_missing_is_told(self, arguments, message):
        with pytest.raises(DatasetError, match=message):
            datasets.load(*arguments)

    def test_splits_and_subsets_that_do_not_exist(self, benchmark):
        with pytest.raises(DatasetError, match="has no splits"):
            datasets.load("proactivevideoqa", benchmark(row()), split="train")
        with pytest.raises(DatasetError, match="has no subset 'WEB'"):
            datasets.load("tinyworld", subset="WEB")
        with pytest.raises(DatasetError, match="no split 'trian'; did you mean 'train'"):
            datasets.load("tinyworld", split="trian")

    def test_size_draws_by_seed_and_keeps_the_order(self, benchmark):
        root = benchmark(*(row(question_id=f"{number:02}") for number in range(30)))
        ids = [e.question_id for e in datasets.load("proactivevideoqa", root, size=7, seed=1)]
        assert ids == [e.question_id for e in datasets.load("proactivevideoqa", root, size=7, seed=1)]
        assert ids == sorted(ids)
        assert ids != [e.question_id for e in datasets.load("proactivevideoqa", root, size=7, seed=2)]
