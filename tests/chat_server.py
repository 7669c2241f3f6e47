"""A real HTTP server that speaks the chat-completions protocol, answers by a rule, and misbehaves on request."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class ChatServer(ThreadingHTTPServer):
    """`answer(fields)` gets a message's lines by label, system message and dialogue too; a fault spoils one request."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, answer, delay=0.0):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer, self.delay = answer, delay
        self.faults, self.asked, self.keys = [], [], set()
        self.bodies, self.paths = [], []
        self.words = "no"
        self.refuses_max_tokens = False
        self.images = 0
        self.now = self.most = 0
        self.retry_after = "0.1"
        self.lock = threading.Lock()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request, client_address):
        """A client that gave up is part of the tests."""


@contextmanager
def chat_server(answer, **options):
    server = ChatServer(answer, **options)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def fields(content):
    return dict(line.split(": ", 1) if ": " in line else (line.rstrip(":"), "") for line in content.split("\n"))


def text_and_images(content):
    """A message's text, and the data URLs of its images."""
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    images = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    return "\n".join(part["text"] for part in parts if part["type"] == "text"), images


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server, (content, images) = self.server, text_and_images(body["messages"][-1]["content"])
        with server.lock:
            server.asked.append(content)
            server.bodies.append(body)
            server.paths.append(self.path)
            server.images += len(images)
            server.keys.add(self.headers["Authorization"])
            server.now += 1
            server.most = max(server.most, server.now)
            fault = server.faults.pop(0) if server.faults else None
        time.sleep(server.delay)
        try:
            self.reply(fault, body, content)
        finally:
            with server.lock:
                server.now -= 1

    def reply(self, fault, body, content):
        if self.server.refuses_max_tokens and "max_tokens" in body:
            words = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
            self.send(400, json.dumps({"error": {"message": words}}).encode())
            return
        match fault:
            case "hang":
                time.sleep(4)
                self.close_connection = True
            case "drop":
                self.close_connection = True
            case "broken json":
                self.send(200, b'{"choices": [{"mess')
            case "no choices":
                self.send(200, b'{"choices": []}')
            case "drip":
                self.send_response(200)
                self.end_headers()
                for _ in range(30):
                    self.wfile.write(b" ")
                    time.sleep(0.2)
                self.close_connection = True
            case int():
                headers = {"Retry-After": self.server.retry_after} if fault == 429 else {}
                self.send(fault, json.dumps({"error": {"message": self.server.words}}).encode(), headers)
            case "odd usage":
                self.complete(self.right(body, content), usage={})
            case dict():
                self.send(200, json.dumps(fault).encode())
            case "null content":
                self.complete(None)
            case "object content":
                self.complete({"level": 3})
            case str() if fault.startswith("cut "):
                self.complete(fault.removeprefix("cut "), finish_reason="length")
            case _:
                self.complete(self.right(body, content) if fault is None else fault)

    def right(self, body, content):
        messages = body["messages"]
        whole = {"system": messages[0]["content"], "dialogue": json.dumps(messages)}
        return self.server.answer(whole | fields(content))

    def complete(self, content, finish_reason="stop", usage=None):
        tokens = {"prompt_tokens": 100, "completion_tokens": 2, "total_tokens": 102} if usage is None else usage
        message = {"role": "assistant", "content": content}
        choice = {"index": 0, "finish_reason": finish_reason, "message": message}
        head = {"id": "x", "object": "chat.completion", "created": 0, "model": "m"}
        self.send(200, json.dumps(head | {"choices": [choice], "usage": tokens}).encode())

    def send(self, status, content, headers=None):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        """Quiet."""
