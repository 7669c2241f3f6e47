"""The chat client over real HTTP; the chat judge's tests put it through the server's faults."""

import asyncio
import traceback

import pytest
from chat_server import chat_server

from proactive_env.errors import ChatRejected, ChatUnavailable, InputError
from proactive_env.serving import background
from proactive_env.serving.chat import ChatClient


@pytest.fixture
def server():
    with chat_server(lambda asked: asked["Question"].upper()) as running:
        yield running


def client(server, **options):
    return ChatClient("m", server.url, **({"timeout": 2, "retries": 1} | options))


async def ask(asked, text="why?", **request):
    completion = await asked.complete([{"role": "user", "content": f"Question: {text}"}], **request)
    return completion.choices[0].message.content


def test_every_event_loop_shares_one_limit(server):
    """An agent awaits on its own loop, a judge on the background loop: they share one connection pool and one gate."""
    server.delay = 0.1
    mine, judges = client(server, concurrency=2), client(server, concurrency=2)

    async def ask_often():
        return await asyncio.gather(*(ask(mine, f"a{n}") for n in range(4)))

    others = [background.submit(ask(judges, f"b{n}")) for n in range(4)]
    assert asyncio.run(ask_often()) == asyncio.run(ask_often()) == ["A0", "A1", "A2", "A3"]
    assert [other.result() for other in others] == ["B0", "B1", "B2", "B3"]
    assert server.most == 2
    assert (mine.usage.calls, judges.usage.calls) == (8, 4)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_messages_that_the_server_refuses_are_not_asked_again(server, status):
    server.faults = [status]
    with pytest.raises(ChatRejected, match="m at http.*rejects these messages.*no"):
        asyncio.run(ask(client(server)))
    assert len(server.asked) == 1


@pytest.mark.parametrize("fault", [429, 500, "drop", "hang", "broken json", "no choices", "object content"])
def test_no_answer_is_told_apart(server, fault):
    server.faults = [fault] * 2
    with pytest.raises(ChatUnavailable, match=r"m at http://127\.0\.0\.1"):
        asyncio.run(ask(client(server)))


def test_an_empty_answer_is_an_answer(server):
    server.faults = ["null content"]
    assert asyncio.run(ask(client(server))) is None


def test_a_server_that_refuses_is_the_users_to_mend(server):
    server.faults = [401]
    with pytest.raises(InputError, match="check the model 'm', the URL and the key in .MY_KEY"):
        asyncio.run(ask(client(server, api_key_env="MY_KEY")))


def test_configuration_errors():
    with pytest.raises(InputError, match="expected the name of a model"):
        ChatClient("")
    with pytest.raises(InputError, match="put it into the environment variable .MY_KEY") as caught:
        ChatClient("m", "http://user:sk-secret@localhost/v1", api_key_env="MY_KEY")
    assert "secret" not in str(caught.value)


def test_an_error_under_status_200_is_told_in_the_servers_words(server):
    server.faults = [{"error": "Unexpected endpoint or method. (POST /chat/completions)"}]
    with pytest.raises(ChatUnavailable, match=r"expected an answer, found Unexpected endpoint or method"):
        asyncio.run(ask(client(server)))


def test_a_query_in_the_url_and_further_fields_reach_the_server(server):
    asked = ChatClient("m", f"{server.url}?api-version=2026-01-01", extra={"seed_of": 7}, timeout=2, retries=0)
    assert asyncio.run(ask(asked)) == "WHY?"
    assert server.paths == ["/v1/chat/completions?api-version=2026-01-01"]
    assert server.bodies[-1]["seed_of"] == 7
    with pytest.raises(InputError, match="expected extra="):
        ChatClient("m", server.url, extra="seed")


def test_models_that_call_the_limit_otherwise_are_asked_so(server):
    server.refuses_max_tokens = True
    asked = client(server)
    assert [asyncio.run(ask(asked, max_tokens=9)) for _ in range(2)] == ["WHY?"] * 2
    assert [("max_tokens" in body, body.get("max_completion_tokens")) for body in server.bodies] == [
        (True, None),
        (False, 9),
        (False, 9),
    ]


@pytest.mark.parametrize("query", ["key=abc", "api_key=abc", "access_token=abc", "sig=abc", "subscription-key=abc"])
def test_a_url_that_holds_a_key_is_refused(query):
    with pytest.raises(InputError, match=r"must not hold a key: .*\$OPENAI_API_KEY") as raised:
        ChatClient("m", f"http://localhost/v1?{query}")
    assert "abc" not in str(raised.value)


@pytest.mark.parametrize("status", [400, 401, 500])
def test_a_key_that_a_server_echoes_is_masked(server, monkeypatch, status):
    monkeypatch.setenv("SOME_KEY", "sk-very-secret")
    server.words = "the key sk-very-secret is wrong"
    server.faults = [status] * 2
    with pytest.raises((ChatUnavailable, ChatRejected, InputError), match=r"the key \$SOME_KEY is wrong") as raised:
        asyncio.run(ask(client(server, api_key_env="SOME_KEY")))
    assert "very-secret" not in "".join(traceback.format_exception(raised.value))
