"""`--dry-run` against what a build of such videos takes, its tokens counted by a real tokenizer."""

import json
from importlib.resources import files

import pytest
from builders import write_video
from chat_server import text_and_images
from scripted_model import make_videos
from test_build_safety import NONE_HELD_OUT
from test_data_build import build, fresh_cache, model, server  # noqa: F401 (fixtures)

WITHIN = 1.2
"""Factor between estimate and count: the texts below are as long as models write them, of the length that the estimate
assumes within a tenth; four characters a token is right for English within a tenth as well."""
TOKENS_PER_FRAME = 448 * 224 // (28 * 28)
CAPTIONS = [
    "A man in a red apron stands at a stove in a bright kitchen. He pours olive oil into a black pan, then adds "
    "chopped garlic and onions from a wooden board and stirs them with a spatula.",
    "Close view of a cutting board. Two hands peel a ginger root with the edge of a spoon and cut it into thin slices. "
    "A bowl with sliced spring onions and a plate of raw prawns stand beside the board on the table.",
    "The man turns to the camera and lifts the pan. Steam rises from the noodles while he tosses them twice. Behind "
    "him a woman in a blue shirt sets the table with four white plates, and a dog walks through the room.",
]
ANSWERS = [
    "The cook pours olive oil into the black pan and adds chopped garlic and onions.",
    "Two hands peel a ginger root with the edge of a spoon and cut it into thin slices.",
    "He lifts the pan off the stove and tosses the steaming noodles twice without a spatula.",
]


def caption(asked):
    """No two videos are told in the same words: nothing is answered from disk."""
    file, *_, line = asked["Subtitle"].strip(".").split()
    return {"caption": f"{CAPTIONS[int(line) % 3]} (Tape {file})"}


def questions(asked):
    """Every other scene has an answer."""
    scenes = sum(label.startswith("Scene ") for label in asked)
    answers = [{"scene": n, "answer": ANSWERS[n % 3] if n % 2 else "NO REPLY"} for n in range(1, scenes + 1)]
    tape = next(text for label, text in asked.items() if label.startswith("Scene ")).split()[-1]
    asks = [f"What does the cook do next, on tape {tape}, {n}?" for n in range(int(asked["Number of questions"]))]
    return {"questions": [{"question": text, "answers": answers} for text in asks]}


@pytest.fixture(scope="module")
def tokenizer():
    tekken = pytest.importorskip("mistral_common.tokens.tokenizers.tekken")
    return tekken.Tekkenizer.from_file(str(files("mistral_common") / "data" / "tekken_240911.json"))


def test_the_estimate_is_near_what_is_counted(server, model, tokenizer, tmp_path):  # noqa: F811
    """Frames are as large as they may be: 448 x 224 pixels."""

    def tokens(text):
        return len(tokenizer.encode(text, bos=False, eos=False))

    said = []

    def say(make):
        def answer(asked):
            said.append(json.dumps(make(asked)))
            return said[-1]

        return answer

    makers = {name: getattr(model, name) for name in model.asked} | {"caption": caption, "questions": questions}
    makers["guess"] = lambda asked: {"answer": ANSWERS[0]}
    makers["summary"] = lambda asked: {"answer": " ".join(ANSWERS[:2])}
    model.own = {name: say(make) for name, make in makers.items()}
    folder = make_videos(tmp_path / "videos", [f"{n}.mp4" for n in range(6)])
    for number in range(6):
        write_video(folder / f"{number}.mp4", seconds=40, rate=2 + number, size=(448, 224))
    options = (*NONE_HELD_OUT, "--set", "server.price=[2, 10]")
    estimate = json.loads(build(server, folder, *options, "--dry-run", "--json", cwd=tmp_path).stdout)
    assert (server.asked, (tmp_path / "out").exists()) == ([], False)
    build(server, folder, *options, cwd=tmp_path)
    texts = [message["content"] for body in server.bodies for message in body["messages"]]
    counted = {
        "calls": len(server.bodies),
        "images": server.images,
        "prompt_tokens": sum(tokens(text_and_images(text)[0]) for text in texts) + server.images * TOKENS_PER_FRAME,
        "completion_tokens": sum(map(tokens, said)),
    }
    assert (estimate["videos"], estimate["scenes"]) == (6, 48)
    for name, count in counted.items():
        assert count / WITHIN <= estimate[name] <= count * WITHIN, (name, count, estimate[name])
    assert estimate["cost"] == pytest.approx(estimate["prompt_tokens"] * 2e-6 + estimate["completion_tokens"] * 10e-6)


def test_without_prices_the_estimate_says_how_to_give_them(server, tmp_path):  # noqa: F811
    folder = make_videos(tmp_path / "videos", ["a.mp4"], seconds=10)
    said = build(server, folder, *NONE_HELD_OUT, "--dry-run", cwd=tmp_path).stdout
    assert "no price: --set 'server.price=[PROMPT, COMPLETION]'" in said


def test_files_that_are_dropped_are_named_before_anything_is_asked(server, tmp_path):  # noqa: F811
    folder = make_videos(tmp_path / "videos", ["a.mp4"], seconds=10)
    cut = write_video(folder / "cut.mkv", seconds=8)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    write_video(folder / "odd.mp4", seconds=8)
    (folder / "odd.json").write_text('{"title": "x"}')
    options = (*NONE_HELD_OUT, "--dry-run")
    messages = json.loads(build(server, folder, *options, "--json", cwd=tmp_path).stdout)["messages"]
    assert ["cut.mkv: expected 8 s of video, found" in one for one in messages] == [True, False]
    assert "odd.json: expected what a whisper writes" in messages[1]
    said = build(server, folder, *options, cwd=tmp_path).stderr
    assert "left out:" in said
    assert "cut.mkv" in said
    assert not server.asked
