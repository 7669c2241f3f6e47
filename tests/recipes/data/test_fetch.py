"""`proactive data fetch` against a stand-in for the Hub on 127.0.0.1: the routes its library calls; it counts bytes."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from proactive_env import datasets

PROACTIVE = str(Path(sys.executable).with_name("proactive"))
DATASET = "wangyueqian/ProactiveVideoQA"
MEBIBYTE = 2**20
COMMITS = {"main": "a" * 40, "next": "b" * 40}


class Hub(ThreadingHTTPServer):
    """One data set: videos in LFS behind a redirect to another host, as on the Hub; annotations served directly."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {}
        self.dataset = DATASET
        self.heads = dict(COMMITS)
        self.served = {}  # what is sent in place of a file's content
        self.cut_after = {}  # bytes after which the first connection for a file is closed
        self.stalled = None  # the file whose second half never comes
        self.sent = Counter()  # bytes by file
        self.ranges = []

    def add(self, subset, videos):
        rows = [
            {
                "question_id": f"{subset}-{name}",
                "video": name,
                "duration": 10,
                "conversation": [{"content": "What appears?", "time": 0}],
                "answer": [{"content": "A dog.", "related_timespan": [1, 2], "reply_timespan": [1, 4]}],
            }
            for name in videos
        ]
        self.files[f"{subset}/anno.json"] = json.dumps(rows).encode()
        self.files |= {f"{subset}/videos/{name}": content for name, content in videos.items()}

    def listing(self):
        for path, content in self.files.items():
            git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            entry = {"type": "file", "path": path, "size": len(content), "oid": git}
            if not path.endswith(".json"):
                entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
            yield entry

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        if path.startswith("/cdn/"):
            return self.send_content(path.removeprefix("/cdn/"))
        match = re.fullmatch(rf"(/api)?/datasets/{self.server.dataset}/(revision|tree|resolve)/(\w+)(?:/(.+))?", path)
        if not match:
            return self.fail("RepoNotFound")
        _, route, revision, file = match.groups()
        commit = self.server.heads.get(revision, revision)
        if commit not in self.server.heads.values():
            return self.fail("RevisionNotFound")
        if route == "revision":
            return self.send_json({"id": DATASET, "sha": commit, "siblings": []})
        if route == "tree":
            return self.send_json(list(self.server.listing()))
        (entry,) = (entry for entry in self.server.listing() if entry["path"] == file)
        if "lfs" not in entry:
            return self.send_content(file, {"ETag": f'"{entry["oid"]}"', "X-Repo-Commit": commit})
        headers = {
            "Location": f"http://localhost:{self.server.server_port}/cdn/{file}",
            "X-Repo-Commit": commit,
            "X-Linked-Etag": f'"{entry["lfs"]["oid"]}"',
            "X-Linked-Size": str(entry["size"]),
        }
        return self.answer(302, headers)

    def send_content(self, file, headers=None):
        content = self.server.served.get(file, self.server.files[file])
        first = 0
        if asked := self.headers.get("Range"):
            first = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            self.server.ranges.append((file, first))
            headers = {**(headers or {}), "Content-Range": f"bytes {first}-{len(content) - 1}/{len(content)}"}
        body = content[first:]
        self.answer(206 if asked else 200, headers or {}, len(body))
        if self.command == "HEAD":
            return
        stalled = self.server.stalled == file
        cut = len(body) // 2 if stalled else self.server.cut_after.pop(file, None)
        self.wfile.write(body[:cut])
        self.wfile.flush()
        self.server.sent[file] += len(body[:cut])
        if stalled:
            time.sleep(60)
        self.close_connection = cut is not None

    def send_json(self, value):
        body = json.dumps(value).encode()
        self.answer(200, {"Content-Type": "application/json"}, len(body))
        self.wfile.write(body)

    def fail(self, code):
        self.answer(404, {"X-Error-Code": code})

    def answer(self, status, headers, length=0):
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(length)}).items():
            self.send_header(name, value)
        self.end_headers()


@pytest.fixture
def hub():
    with Hub() as hub:
        hub.add("WEB", {"a.mp4": b"a" * 1000, "b [1].mp4": b"b" * 2000})
        hub.add("EGO", {"c.mp4": b"c" * 3000})
        hub.add("TV", {"d.mp4": b"d" * 100})
        hub.add("VAD", {"e.mp4": b"e" * 100})
        thread = threading.Thread(target=hub.serve_forever)
        thread.start()
        yield hub
        hub.shutdown()
        thread.join()


def start(hub, cwd, *arguments):
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(cwd / "hf-home"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HTTPS_PROXY": "http://127.0.0.1:9",  # nobody listens there: what leaves this machine fails
        "COLUMNS": "100",
    }
    command = [PROACTIVE, "data", "fetch", "proactivevideoqa", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )


def fetch(hub, cwd, *arguments, code=0):
    with start(hub, cwd, *arguments) as process:
        out, err = process.communicate(timeout=120)
    assert process.returncode == code, out + err
    assert "Traceback" not in err
    return out, err


def record(folder):
    return json.loads((folder / "fetched.json").read_text())


def test_all_subsets_arrive_and_load(hub, tmp_path):
    out, _ = fetch(hub, tmp_path)
    assert f"{DATASET} at commit {COMMITS['main']}" in out
    assert "Next: proactive eval --benchmark proactivevideoqa --data ProactiveVideoQA --agent" in out
    folder = tmp_path / "ProactiveVideoQA"
    episodes = datasets.load("proactivevideoqa", folder)
    assert len(episodes) == 5
    for episode in episodes:
        assert episode.video.read_bytes() == hub.files[str(episode.video.relative_to(folder))]
    found = record(folder)
    assert (found["dataset"], found["commit"]) == (DATASET, COMMITS["main"])
    assert set(found["subsets"]) == {"WEB", "EGO", "TV", "VAD"}
    assert found["subsets"]["EGO"] == {"files": 2, "bytes": 3000 + len(hub.files["EGO/anno.json"])}


def test_a_second_run_downloads_nothing(hub, tmp_path):
    fetch(hub, tmp_path)
    before = hub.sent.copy()
    out, _ = fetch(hub, tmp_path)
    assert "WEB: 3 files" in out
    assert hub.sent == before


def test_one_subset_then_another_share_a_folder(hub, tmp_path):
    out, _ = fetch(hub, tmp_path, "--subset", "WEB", "--out", "my data")
    assert "--data 'my data' --subset WEB" in out
    assert set(record(tmp_path / "my data")["subsets"]) == {"WEB"}
    assert not (tmp_path / "my data" / "EGO").exists()
    fetch(hub, tmp_path, "--subset", "EGO", "--out", "my data")
    assert set(record(tmp_path / "my data")["subsets"]) == {"WEB", "EGO"}


def test_a_folder_stays_at_its_commit_until_told_otherwise(hub, tmp_path):
    fetch(hub, tmp_path, "--subset", "WEB")
    hub.heads["main"] = "c" * 40
    hub.heads["old"] = COMMITS["main"]
    out, _ = fetch(hub, tmp_path, "--subset", "TV")
    assert COMMITS["main"] in out
    out, _ = fetch(hub, tmp_path, "--subset", "WEB", "--revision", "main")
    assert "c" * 40 in out
    assert record(tmp_path / "ProactiveVideoQA") == {
        "dataset": DATASET,
        "commit": "c" * 40,
        "subsets": {"WEB": {"files": 3, "bytes": 3000 + len(hub.files["WEB/anno.json"])}},
    }


def test_a_cut_connection_resumes(hub, tmp_path):
    size, cut = 24 * MEBIBYTE, 15 * MEBIBYTE
    hub.files["WEB/videos/a.mp4"] = os.urandom(size)
    hub.cut_after["WEB/videos/a.mp4"] = cut
    fetch(hub, tmp_path, "--subset", "WEB")
    ((file, first),) = hub.ranges
    assert file == "WEB/videos/a.mp4"
    assert 0 < first <= cut
    assert hub.sent["WEB/videos/a.mp4"] == cut + size - first < cut + size
    assert (tmp_path / "ProactiveVideoQA" / file).read_bytes() == hub.files[file]


@pytest.mark.parametrize("file", ["WEB/videos/a.mp4", "WEB/anno.json"])
def test_wrong_bytes_are_named_and_not_kept(hub, tmp_path, file):
    hub.served[file] = b"x" * len(hub.files[file])
    _, err = fetch(hub, tmp_path, "--subset", "WEB", code=1)
    assert f"ProactiveVideoQA/{file}: expected checksum" in err
    assert not (tmp_path / "ProactiveVideoQA" / file).exists()
    assert record(tmp_path / "ProactiveVideoQA")["subsets"] == {}
    hub.served.clear()
    before = hub.sent.copy()
    fetch(hub, tmp_path, "--subset", "WEB")
    assert {name for name in hub.sent if hub.sent[name] > before[name]} == {file}


def test_what_rotted_on_the_disk_is_found_and_fetched_again(hub, tmp_path):
    fetch(hub, tmp_path, "--subset", "WEB")
    video = tmp_path / "ProactiveVideoQA" / "WEB" / "videos" / "a.mp4"
    written = video.stat()
    video.write_bytes(b"x" * 1000)
    os.utime(video, ns=(written.st_atime_ns, written.st_mtime_ns))
    _, err = fetch(hub, tmp_path, "--subset", "WEB", code=1)
    assert "videos/a.mp4: expected checksum" in err
    fetch(hub, tmp_path, "--subset", "WEB")
    assert video.read_bytes() == b"a" * 1000


def test_a_killed_download_continues(hub, tmp_path):
    hub.files["WEB/videos/b [1].mp4"] = os.urandom(24 * MEBIBYTE)
    hub.stalled = "WEB/videos/b [1].mp4"
    folder = tmp_path / "ProactiveVideoQA"
    with start(hub, tmp_path, "--subset", "WEB") as process:
        deadline = time.monotonic() + 60
        while not ((folder / "WEB/videos/a.mp4").exists() and hub.sent[hub.stalled]):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert record(folder) == {"dataset": DATASET, "commit": COMMITS["main"], "subsets": {}}
    assert not (folder / hub.stalled).exists()
    hub.stalled = None
    hub.heads["main"] = "c" * 40
    hub.heads["old"] = COMMITS["main"]
    out, _ = fetch(hub, tmp_path, "--subset", "WEB")
    assert COMMITS["main"] in out
    assert hub.sent["WEB/videos/a.mp4"] == 1000
    assert (folder / "WEB/videos/b [1].mp4").read_bytes() == hub.files["WEB/videos/b [1].mp4"]
    assert not list(folder.rglob("*.incomplete"))


def test_archives_are_not_videos(hub, tmp_path):
    hub.files["WEB/videos.zip"] = hub.files.pop("WEB/videos/a.mp4")
    _, err = fetch(hub, tmp_path, "--subset", "WEB", code=1)
    assert "1 of 2 annotated videos are not in" in err
    assert "the first is ProactiveVideoQA/WEB/videos/a.mp4" in err
    assert "archives, to be unpacked by hand: WEB/videos.zip" in err


def test_bad_rows_are_reported(hub, tmp_path):
    rows = json.loads(hub.files["WEB/anno.json"])
    hub.files["WEB/anno.json"] = json.dumps([*rows, {"question_id": "bad"}]).encode()
    _, err = fetch(hub, tmp_path, "--subset", "WEB")
    assert "left out: " in err
    assert "row 3, field video" in err


def test_what_is_not_there_is_told(hub, tmp_path):
    assert "did you mean 'WEB'" in fetch(hub, tmp_path, "--subset", "WEBB", code=1)[1]
    assert "has no revision 'old'" in fetch(hub, tmp_path, "--revision", "old", code=1)[1]
    del hub.files["VAD/anno.json"]
    assert "no VAD/anno.json at commit" in fetch(hub, tmp_path, "--subset", "VAD", code=1)[1]
    hub.dataset = "somebody/else"
    assert f"shows no data set {DATASET}" in fetch(hub, tmp_path, code=1)[1]
    assert not (tmp_path / "ProactiveVideoQA").exists()


def test_a_hub_that_is_away_is_told(tmp_path):
    with Hub() as closed:
        pass
    _, err = fetch(closed, tmp_path, code=1)
    assert "was not fetched: ConnectError" in err
    assert "run the same command again" in err


def test_a_record_that_cannot_be_read_is_told(hub, tmp_path):
    (tmp_path / "ProactiveVideoQA").mkdir()
    (tmp_path / "ProactiveVideoQA" / "fetched.json").write_text("{")
    assert "expected the record of a fetch" in fetch(hub, tmp_path, code=1)[1]
    (tmp_path / "file").write_text("in the way")
    assert "expected a folder that can be written" in fetch(hub, tmp_path, "--out", "file/data", code=1)[1]


def test_the_missing_extra_is_named(monkeypatch, tmp_path):
    from proactive_env.errors import InputError
    from proactive_env.recipes.cli.data_fetch import fetch as fetch_here

    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"pip install -e '\.\[hub\]'"):
        fetch_here("proactivevideoqa", out=tmp_path)
