"""What a build adds to its calls: 160 videos, 32 calls at once, against a bare AsyncOpenAI loop; then the same on Ray.

    python benchmarks/data_build.py

The loop asks the same local server the same messages, in no order; the build also cuts scenes, decodes frames, checks
answers and writes its files and cache, which are empty at the start of every round.
"""

import asyncio
import json
import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest.mock import patch

import av
import numpy as np
import ray
from openai import AsyncOpenAI

from proactive_env.recipes.data.construct.config import BuildConfig
from proactive_env.recipes.data.construct.engines import Engine, run_asyncio, run_ray
from proactive_env.recipes.data.construct.run import Build
from proactive_env.serving.chat import ChatClient

VIDEOS, SCENES, WIDTH, SECONDS, ROUNDS = 160, 5, 32, 0.3, 2
Messages = list[dict[str, Any]]


class Server(ThreadingHTTPServer):
    """Takes a connection for each call at once."""

    request_queue_size = 128
    daemon_threads = True


class Handler(BaseHTTPRequestHandler):
    """Answers every prompt with what fits it, after a while."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        messages = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"]
        time.sleep(SECONDS)
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": answer(messages)}}
        body = json.dumps(
            {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Quiet."""


def answer(messages: Messages) -> str:
    """A JSON object that fits the prompt."""
    content = messages[-1]["content"]
    if not isinstance(content, str):
        return json.dumps({"caption": content[-1]["text"], "supported": True})
    if not content.startswith("Number of questions: "):
        return json.dumps({"answer": "Nothing.", "scenes": []})
    count, *scenes = content.splitlines()
    answers = [{"scene": n, "answer": f"{n}. {text}"} for n, text in enumerate(scenes, start=1) if n % 2]
    asked = [{"question": f"{scenes[0]} {n}?", "answers": answers} for n in range(int(count.split()[-1]))]
    return json.dumps({"questions": asked})


def serve(port: "multiprocessing.Queue[int]") -> None:
    """Run the server, in a process of its own."""
    server = Server(("127.0.0.1", 0), Handler)
    port.put(server.server_address[1])
    server.serve_forever()


def make_videos(folder: Path) -> Path:
    """Short videos with a subtitle for every five seconds."""
    first = folder / "0.mp4"
    folder.mkdir()
    with av.open(first, "w") as container:
        stream = container.add_stream("libx264", rate=2, options={"preset": "ultrafast"})
        stream.width, stream.height = 112, 112
        for k in range(SCENES * 5 * 2):
            picture = np.full((112, 112, 3), 20 * (k % 12), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    for number in range(VIDEOS):
        if number:
            shutil.copy(first, folder / f"{number}.mp4")
        cues = [f"00:{5 * n:02}.000 --> 00:{5 * n + 5:02}.000\nWord {number}, sentence {n}." for n in range(SCENES)]
        (folder / f"{number}.vtt").write_text("\n\n".join(["WEBVTT", *cues]))
    return folder


def main() -> None:
    """Time all of them in turn and print medians and ratios."""
    port: multiprocessing.Queue[int] = multiprocessing.Queue()
    process = multiprocessing.Process(target=serve, args=(port,), daemon=True)
    process.start()
    url = f"http://127.0.0.1:{port.get()}/v1"
    times: dict[str, list[float]] = {"bare": [], "asyncio": [], "ray": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = {"url": url, "concurrency": WIDTH}
        config = BuildConfig.model_validate({"model": "m", "server": server, "videos": make_videos(folder / "videos")})
        calls = recorded(lambda: build(config, folder / "recorded", run_asyncio))
        for number in range(ROUNDS):
            times["bare"].append(timed(lambda: asyncio.run(bare(url, calls))))
            times["asyncio"].append(timed(lambda out=folder / f"asyncio{number}": build(config, out, run_asyncio)))
        ray.init(address="local", log_to_driver=False, logging_level="warning")
        times["ray"].append(timed(lambda: build(config, folder / "ray", run_ray)))
    process.terminate()
    medians = {name: statistics.median(values) for name, values in times.items()}
    print(f"{len(calls)} calls of {SECONDS} s, {WIDTH} at once, median of {ROUNDS} rounds (one of Ray, started before)")
    print(f"bare AsyncOpenAI loop  {medians['bare']:.2f} s")
    print(f"build, asyncio         {medians['asyncio']:.2f} s   {medians['asyncio'] / medians['bare']:.3f} x the loop")
    print(f"build, Ray             {medians['ray']:.2f} s   {medians['ray'] / medians['asyncio']:.3f} x asyncio")


def timed(run: Callable[[], object]) -> float:
    """Seconds that `run` takes."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def build(config: BuildConfig, out: Path, engine: Engine) -> None:
    """Build with a fresh cache."""
    os.environ["PROACTIVE_ENV_CACHE"] = f"{out}-cache"
    Build(out, config, engine).run()


def recorded(run: Callable[[], None]) -> list[Messages]:
    """The messages that are asked while `run` runs, which warms the server up as well."""
    calls: list[Messages] = []
    complete = ChatClient.complete

    async def record(client: ChatClient, messages: Any, **request: Any) -> Any:
        calls.append(messages)
        return await complete(client, messages, **request)

    with patch.object(ChatClient, "complete", record):
        run()
    return calls


async def bare(url: str, calls: list[Messages]) -> None:
    """The calls, and nothing else."""
    gate = asyncio.Semaphore(WIDTH)
    async with AsyncOpenAI(base_url=url, api_key="none") as client:

        async def ask(messages: Any) -> None:
            async with gate:
                await client.chat.completions.create(model="m", messages=messages)

        await asyncio.gather(*map(ask, calls))


if __name__ == "__main__":
    main()
