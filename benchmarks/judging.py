"""What the judge pool adds to the calls: 64 judgements of 0.2 s, 16 at once, against a bare AsyncOpenAI loop.

    python benchmarks/judging.py

Both ask the same local server, in turn, with the same messages and the same semaphore width; the pool also reads and
writes its cache on disk, which is empty at the start of every round.
"""

import asyncio
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from openai import AsyncOpenAI

from proactive_env.rewards.judges.chat import ChatJudge
from proactive_env.rewards.judges.pool import JudgePool

CALLS, WIDTH, SECONDS, ROUNDS = 64, 16, 0.2, 7


class Server(ThreadingHTTPServer):
    """Takes a connection for each call at once."""

    request_queue_size = 128
    daemon_threads = True


class Handler(BaseHTTPRequestHandler):
    """Answers "2" after a while."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(SECONDS)
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "2"}}
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


def serve(port: "multiprocessing.Queue[int]") -> None:
    """Run the server, in a process of its own."""
    server = Server(("127.0.0.1", 0), Handler)
    port.put(server.server_address[1])
    server.serve_forever()


def main() -> None:
    """Time both in turn and print medians and their ratio."""
    port: multiprocessing.Queue[int] = multiprocessing.Queue()
    process = multiprocessing.Process(target=serve, args=(port,), daemon=True)
    process.start()
    url = f"http://127.0.0.1:{port.get()}/v1"
    times: dict[str, list[float]] = {"bare": [], "pool": []}
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        client = AsyncOpenAI(base_url=url, api_key="none")
        for number in range(ROUNDS + 1):  # the first round opens connections and is not counted
            os.environ["PROACTIVE_ENV_CACHE"] = f"{folder}/{number}"
            judge = ChatJudge("m", url, concurrency=WIDTH)
            measured = {"bare": lambda: runner.run(bare(client)), "pool": lambda judge=judge: pooled(judge)}
            for name, run in measured.items():
                started = time.perf_counter()
                run()
                times[name].append(time.perf_counter() - started)
    process.terminate()
    medians = {name: statistics.median(values[1:]) for name, values in times.items()}
    print(f"{CALLS} judgements of {SECONDS} s, {WIDTH} at once, median of {ROUNDS} rounds")
    print(f"bare AsyncOpenAI loop  {medians['bare']:.3f} s")
    print(f"JudgePool              {medians['pool']:.3f} s   {medians['pool'] / medians['bare']:.3f} x")


async def bare(client: AsyncOpenAI) -> None:
    """The calls, and nothing else."""
    gate = asyncio.Semaphore(WIDTH)

    async def ask(number: int) -> None:
        content = f"Question: q\nGround Truth Answer: g\nPredicted Answer: {number}"
        async with gate:
            await client.chat.completions.create(model="m", messages=[{"role": "user", "content": content}])

    await asyncio.gather(*map(ask, range(CALLS)))


def pooled(judge: ChatJudge) -> None:
    """The same calls through the pool."""
    pool = JudgePool(judge)
    with pool.asking_ahead():
        for number in range(CALLS):
            pool.coverage("q", "g", str(number), 3)
    for number in range(CALLS):
        pool.coverage("q", "g", str(number), 3)


if __name__ == "__main__":
    main()
