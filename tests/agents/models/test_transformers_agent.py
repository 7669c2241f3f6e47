"""What the transformers agent draws from is what the model says when it reads the whole conversation at once."""

import asyncio
import threading

import numpy as np
import pytest
import torch
from models import Forcing, pieces, play_real, reencoded
from transformers import AutoModelForImageTextToText, AutoProcessor

from proactive_env import agents, testing
from proactive_env.agents.models.chat_template import ChatTemplate
from proactive_env.agents.models.dialogue import FORMATS
from proactive_env.agents.models.engine import Decoding, Draw, Segment
from proactive_env.agents.models.transformers import TransformersEngine
from proactive_env.errors import EngineError, InputError
from proactive_env.turn import NO_REPLY, Reply

TOLERANCE = 1e-4
"""Of log-probabilities in float32; measured: below 2e-5."""


class Model:
    def __init__(self, folder):
        self.folder = folder
        self.processor = AutoProcessor.from_pretrained(folder)
        self.model = AutoModelForImageTextToText.from_pretrained(folder, dtype="float32").eval()
        self.template = ChatTemplate(self.processor)

    def engine(self):
        return TransformersEngine(self.model, self.processor)


@pytest.fixture(scope="module")
def qwen(tiny_checkpoint):
    return Model(tiny_checkpoint)


@pytest.fixture(scope="module")
def llava(llava_checkpoint):
    return Model(llava_checkpoint)


def forced(template, seed):
    """Speaks at about every sixth turn, now and then at length or not at all; the same seed says the same."""
    rng = np.random.default_rng(seed)
    replies = ["A red circle.", "", "It turns yellow. To the left. To the right. A green square.", "To the top."]

    def script(draw):
        speaks = rng.random() < 1 / 6
        if draw.allowed:
            return (draw.allowed[int(speaks)],)
        silent = bool(draw.watched) and not speaks  # only `no_reply` watches while it asks for a reply
        return tuple(template.tokens(NO_REPLY if silent else str(rng.choice(replies))))

    return script


async def converse(model, engine, decoding, observations):
    dialogue = FORMATS[decoding.format](engine, model.template, decoding)
    return [await dialogue.respond(observation) for observation in observations]


def gaps(model, conversation):
    """The largest difference of a log-probability from that of re-encoding, for each draw."""
    expected = reencoded(model.model, model.processor, conversation.segments)
    found = np.array(conversation.log_probs)
    return np.abs(found - expected[:, : found.shape[1]]).max(axis=1)


@pytest.mark.parametrize(("family", "name"), [("qwen", "no_reply"), ("qwen", "open_turn"), ("llava", "no_reply")])
def test_sixty_turns_with_reused_keys_equal_reencoding(family, name, sixty_turns, request):
    model, decoding = request.getfixturevalue(family), Decoding(format=name)
    engine = Forcing(model.engine(), forced(model.template, seed=0))
    replies = asyncio.run(converse(model, engine, decoding, sixty_turns))
    assert len(replies) >= 60
    assert 3 < sum(reply.text != NO_REPLY for reply in replies) < 40
    assert gaps(model, engine.conversations[0]).max() < TOLERANCE
    engine.close()


@pytest.mark.parametrize("name", FORMATS)
def test_eight_conversations_of_different_lengths_in_one_batch_equal_reencoding(name, qwen, sixty_turns):
    decoding = Decoding(format=name)
    engine = qwen.engine()
    batches = []
    advance = engine._advance
    engine._advance = lambda jobs: (batches.append(len(jobs)), advance(jobs))
    forcing = [Forcing(engine, forced(qwen.template, seed)) for seed in range(8)]
    lengths = [4, 9, 14, 19, 24, 29, 34, 60]

    async def together():
        talks = [
            converse(qwen, one, decoding, sixty_turns[-length:]) for one, length in zip(forcing, lengths, strict=True)
        ]
        return await asyncio.gather(*talks)

    asyncio.run(together())
    assert max(batches) > 1, "nothing was batched"
    for one in forcing:
        assert gaps(qwen, one.conversations[0]).max() < TOLERANCE
    engine.close()


@pytest.mark.parametrize("name", FORMATS)
def test_what_the_model_draws_itself_is_drawn_from_the_same_probabilities(name, qwen, sixty_turns):
    """Its own tokens keep their keys: here the draws are long, and end by themselves or at the cap."""
    decoding = Decoding(format=name, temperature=1.0, max_new_tokens=12, seed=3)
    engine = Forcing(qwen.engine())
    asyncio.run(converse(qwen, engine, decoding, sixty_turns[:20]))
    conversation = engine.conversations[0]
    assert any(len(segment.drawn) > 3 for segment in conversation.segments)
    assert gaps(qwen, conversation).max() < TOLERANCE
    engine.close()


def test_greedy_replies_are_those_of_generate(qwen, sixty_turns):
    decoding = Decoding(max_new_tokens=12)
    engine = Forcing(qwen.engine())
    asyncio.run(converse(qwen, engine, decoding, sixty_turns[:6]))
    segments = engine.conversations[0].segments
    for count in range(1, len(segments)):
        ids, frames = pieces(qwen.processor, segments[:count])
        whole = torch.tensor([[token for piece in ids for token in piece]])
        pixels = qwen.processor.image_processor(images=frames, return_tensors="pt")
        kinds = (whole == qwen.model.config.image_token_id).int()
        qwen.model.model.rope_deltas = None
        generated = qwen.model.generate(
            input_ids=whole,
            attention_mask=torch.ones_like(whole),
            mm_token_type_ids=kinds,
            **pixels,
            max_new_tokens=12,
            suppress_tokens=list(qwen.template.vision_tokens),
        )
        drawn = [token for token in generated[0, whole.shape[1] :].tolist() if token not in qwen.template.ends]
        assert tuple(drawn) == segments[count].drawn
    engine.close()


def test_only_new_frames_are_encoded(qwen, sixty_turns):
    decoding = Decoding(format="open_turn", threshold=1.0)
    engine = qwen.engine()
    seen = []
    hook = qwen.model.model.visual.register_forward_pre_hook(
        lambda module, inputs, kw: seen.append(kw), with_kwargs=True
    )
    asyncio.run(converse(qwen, engine, decoding, sixty_turns[:10]))
    hook.remove()
    assert [len(kw["grid_thw"]) for kw in seen] == [1] * 10
    engine.close()


class TestSampling:
    def draws(self, model, count=200, **options):
        decoding = Decoding(temperature=1.0, **options)
        engine = model.engine()
        head = model.template.head(None) + "What appears?" + model.template.to_assistant

        async def all_of_them():
            contexts = [engine.open(seed) for seed in range(count)]
            every = tuple(range(len(model.processor.tokenizer)))
            return await asyncio.gather(
                *(one.sample(Segment(text=head), Draw(1, decoding, watched=every)) for one in contexts)
            )

        drawn = asyncio.run(all_of_them())
        engine.close()
        return [one.tokens[0] for one in drawn], drawn[0].log_probs

    def test_top_k_draws_from_the_most_probable_tokens_only(self, qwen):
        tokens, log_probs = self.draws(qwen, top_k=3)
        best = sorted(log_probs, key=log_probs.get)[-3:]
        assert set(tokens) <= set(best)
        assert len(set(tokens)) > 1

    def test_top_p_draws_from_the_fewest_tokens_that_hold_the_share(self, qwen):
        tokens, log_probs = self.draws(qwen, top_p=0.05)
        ordered = sorted(log_probs, key=log_probs.get, reverse=True)
        shares = np.cumsum(np.exp([log_probs[token] for token in ordered]))
        nucleus = ordered[: int((shares <= 0.05).sum()) + 1]
        assert set(tokens) <= set(nucleus)
        assert len(set(tokens)) > 1

    def test_the_seed_decides(self, qwen):
        first, _ = self.draws(qwen)
        again, _ = self.draws(qwen)
        assert first == again
        assert len(set(first)) > 20

    def test_one_episode_draws_the_same_whatever_is_played_beside_it(self, qwen, sixty_turns):
        decoding = Decoding(temperature=1.0, max_new_tokens=6)
        engine = qwen.engine()

        async def beside(others):
            talks = [converse(qwen, engine, decoding, sixty_turns[k : k + 5]) for k in range(others + 1)]
            return [reply.text for reply in (await asyncio.gather(*talks))[0]]

        assert asyncio.run(beside(0)) == asyncio.run(beside(3))
        engine.close()


def test_forbidden_tokens_are_not_drawn_and_only_allowed_ones_are(qwen):
    engine = qwen.engine()
    head = Segment(text=qwen.template.head(None) + "Hello" + qwen.template.to_assistant)

    async def first(**options):
        return (await engine.open(0).sample(head, Draw(1, **options))).tokens[0]

    free = asyncio.run(first())
    assert asyncio.run(first(banned=(free,))) != free
    assert asyncio.run(first(allowed=(7, 9))) in (7, 9)
    engine.close()


class TestAgent:
    @pytest.mark.parametrize("format_name", FORMATS)
    def test_contract(self, tiny_checkpoint, format_name):
        with agents.load(f"transformers:{tiny_checkpoint}?format={format_name}&max_new_tokens=4") as agent:
            testing.check_agent(agent)

    def test_a_plain_question(self, tiny_checkpoint, sixty_turns):
        with agents.load(f"transformers:{tiny_checkpoint}?max_new_tokens=4&format=open_turn&threshold=1") as agent:
            reply = asyncio.run(agent.ask(sixty_turns[0]["frames"], "What is this?"))
        assert isinstance(reply, Reply)
        assert reply.stats["drawn_tokens"] <= 4

    def test_closing_ends_its_threads(self, tiny_checkpoint):
        def own():
            return {thread for thread in threading.enumerate() if thread.name.startswith("proactive_env")}

        before = own()
        agent = agents.load(f"transformers:{tiny_checkpoint}?max_new_tokens=2")
        question = np.zeros((1, 56, 56, 3), np.uint8), "What?"
        asyncio.run(agent.ask(*question))
        assert own() > before
        agent.close()
        assert own() == before
        with pytest.raises(EngineError, match="was closed"):
            asyncio.run(agent.ask(*question))

    def test_closing_fails_the_conversations_that_wait(self, tiny_checkpoint):
        agent = agents.load(f"transformers:{tiny_checkpoint}?max_new_tokens=64&max_batch=2")

        async def close_amid_questions():
            frames = np.zeros((1, 56, 56, 3), np.uint8)
            waiting = [asyncio.create_task(agent.ask(frames, f"What {number}?")) for number in range(8)]
            await asyncio.sleep(0.2)
            await asyncio.to_thread(agent.close)
            return await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), timeout=30)

        ended = asyncio.run(close_amid_questions())
        failed = [result for result in ended if isinstance(result, EngineError)]
        assert failed
        assert all(isinstance(result, EngineError | Reply) for result in ended)

    def test_a_failing_model_fails_the_conversation_not_the_engine(self, qwen):
        engine = qwen.engine()
        head = Segment(text=qwen.template.head(None) + "Hello" + qwen.template.to_assistant)

        async def talk():
            with pytest.raises(IndexError):
                await engine.open(0).sample(Segment(drawn=(10**6,)), Draw(1))
            return await engine.open(0).sample(head, Draw(1))

        assert len(asyncio.run(talk()).tokens) == 1
        engine.close()


class TestBadCheckpoints:
    def test_none(self, tmp_path):
        with pytest.raises(InputError, match="neither the folder of a checkpoint nor"):
            agents.load(f"transformers:{tmp_path}/nothing")

    def test_text_only(self, tmp_path):
        from transformers import Qwen2Config

        Qwen2Config(hidden_size=8, num_attention_heads=1, num_hidden_layers=1).save_pretrained(tmp_path)
        with pytest.raises(InputError, match="is a qwen2, which sees no pictures"):
            agents.load(f"transformers:{tmp_path}")

    def test_without_processor(self, qwen, tmp_path):
        qwen.model.save_pretrained(tmp_path)
        with pytest.raises(InputError, match="copy the files of the processor"):
            agents.load(f"transformers:{tmp_path}")

    def test_without_chat_template(self, qwen, tmp_path):
        qwen.model.save_pretrained(tmp_path)
        qwen.processor.save_pretrained(tmp_path)
        (tmp_path / "chat_template.jinja").unlink()
        with pytest.raises(InputError, match="no chat template"):
            agents.load(f"transformers:{tmp_path}")

    def test_broken_weights(self, tiny_checkpoint, tmp_path):
        for file in tiny_checkpoint.iterdir():
            (tmp_path / file.name).write_bytes(file.read_bytes())
        (tmp_path / "model.safetensors").write_bytes(b"torn")
        with pytest.raises(InputError, match="cannot be loaded"):
            agents.load(f"transformers:{tmp_path}")

    def test_options(self, tiny_checkpoint):
        with pytest.raises(InputError, match="expected a dtype of auto, float32"):
            agents.load(f"transformers:{tiny_checkpoint}?dtype=float31")
        with pytest.raises(InputError, match="did you mean 'threshold'"):
            agents.load(f"transformers:{tiny_checkpoint}?treshold=0.5")
        with pytest.raises(InputError, match="expected max_batch >= 1, found 'two'"):
            agents.load(f"transformers:{tiny_checkpoint}?max_batch=two")
        with pytest.raises(InputError, match="cannot be loaded"):
            agents.load(f"transformers:{tiny_checkpoint}?device=cuda:99")

    def test_a_format_that_its_template_cannot_spell_is_refused_before_the_model_is_loaded(self, llava_checkpoint):
        before = threading.active_count()
        with pytest.raises(InputError, match="use format=no_reply"):
            agents.load(f"transformers:{llava_checkpoint}?format=open_turn")
        assert threading.active_count() == before

    @pytest.mark.parametrize("kind", ["transformers", "vllm"])
    def test_a_missing_extra(self, kind, monkeypatch):
        monkeypatch.setattr("proactive_env.extras.find_spec", lambda module: None)
        with pytest.raises(InputError, match=rf"pip install -e '\.\[{kind}\]'"):
            agents.load(f"{kind}:anything")


def test_real_videos(tiny_checkpoint, real_data):
    with agents.load(f"transformers:{tiny_checkpoint}?max_new_tokens=4") as agent:
        play_real(agent, real_data)
