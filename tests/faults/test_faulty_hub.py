"""The Hub's real client against a server on this machine that has the faults of hub.py."""

import hashlib
import io
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pyarrow
import pytest
import yaml
from hub import BODY, DIGEST, REFUSALS, REVISION, XET, other, serving
from pyarrow import parquet

from goemotions.errors import UserError
from goemotions.io.hub import from_hub
from tests.weights import needs_mpnet

ROOT = Path(__file__).parents[2]
RUN = ROOT / "stages/run.sh"
FILES = {"train": "a/train.parquet", "val": "a/val.parquet", "test": "a/test.parquet"}
TOKEN = "hf_" + "secret" * 6
# huggingface_hub reads its environment when it is imported, hence a process of its own; and it
# waits up to 23 seconds between its attempts, hence no sleep, but a list of those asked for.
CLIENT = f"""
import json, sys, time
slept = []
time.sleep = slept.append
from pathlib import Path
from goemotions import config
from goemotions.config.model_settings import HubModel
from goemotions.data.fetch import fetch_dataset
from goemotions.io import hub
from goemotions.models.prepare import cache
from goemotions.errors import UserError

def model(folder, repo, digest):
    settings = HubModel(
        source="hub", repo=repo, revision={REVISION!r}, files={{"model.bin": digest}}
    )
    return cache("m", settings, Path(folder))

def dataset(folder, repo, digest):
    settings = config.parse_dataset(dict(
        source="hub", repo=repo, revision={REVISION!r}, files={FILES!r},
        id="id", text="text", labels=dict(column="labels", names=["a", "b", "c"], ids=0),
        rows=dict.fromkeys({FILES!r}, 1), sha256=dict.fromkeys({FILES!r}, digest),
    ))
    texts = fetch_dataset("d", settings, Path(folder))
    return {{split: len(rows) for split, rows in texts.rows.items()}}

for name, *arguments in json.loads(sys.argv[1]):
    slept.clear()
    try:
        if name == "model":
            found = model(*arguments)
        elif name == "dataset":
            found = dataset(*arguments)
        else:
            found = {{n: str(p) for n, p in hub.from_hub(*arguments).items()}}
    except UserError as error:
        found = f"UserError: {{error}}"
    except Exception as error:
        found = f"{{type(error).__name__}}: {{error}}"
    print(json.dumps([found, slept]))
    print("----", file=sys.stderr, flush=True)
"""


def ask(endpoint, home, *requests, **environment):
    """What each of the requests gives: paths or an error, the waits, and what was printed."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "GOEM"))}
    env |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(home)}
    env |= {"NO_PROXY": "*", "no_proxy": "*", "HF_TOKEN": TOKEN, "HF_HUB_DOWNLOAD_TIMEOUT": "5"}
    env |= environment
    command = [str(RUN), sys.executable, "-c", CLIENT, json.dumps(requests)]
    done = subprocess.run(command, env=env, check=True, capture_output=True, text=True, timeout=600)
    assert TOKEN not in done.stdout + done.stderr
    answers = map(json.loads, done.stdout.splitlines())
    return [
        SimpleNamespace(found=found, slept=slept, said=said)
        for (found, slept), said in zip(answers, done.stderr.split("----\n")[:-1], strict=True)
    ]


def wanted(fault, digest=DIGEST, kind="model", file="model.bin"):
    return ("files", kind, f"own/{fault}", REVISION, {file: digest})


PASSING = {
    # fault: what the user reads meanwhile
    "good": "",
    "hangs-up": "Server disconnected without sending a response",
    "limited": r"Rate limited\. Waiting 8\.0s before retry",
    "error": r"model\.bin: Server error '500 .*; trying again in 1 s",
    "cut": "Trying to resume download",
    "cut-no-range": "Trying to resume download",
    "cut-unresolved": r"(?s)Trying to resume download.*Trying to resume download",
    "slow": "Trying to resume download",
    "reset": r"model\.bin: .*reset by peer; trying again in 1 s",
    "short": r"model\.bin: Consistency check failed.*; trying again in 1 s",
    "changed": r"model\.bin: Consistency check failed.*; trying again in 1 s",
    "wrong": r"model\.bin is not what params\.yaml pins; fetching it again",
    "cdn": "",
    "xet": "",
}
LASTING = {
    # fault: the cause that the message names
    "wrong-always": f"pinned {DIGEST}",
    "short-always": f"file should be of size {len(BODY)} but has size {len(BODY) - 7}",
    "cdn-unresolved": "the host name cdn.invalid, or that of a proxy, cannot be resolved",
    "cut-always": "peer closed connection",
    "error-always": "500",
    "limited-always": "429",
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """What asking a server for each fault's file gave, and what the server was asked."""
    home = tmp_path_factory.mktemp("hub")
    with serving() as server:
        faults = [*PASSING, *LASTING, *REFUSALS]
        answers = dict(zip(faults, ask(server.endpoint, home, *map(wanted, faults)), strict=True))
        answers["dataset"], answers["unpinned"] = ask(
            server.endpoint,
            home,
            wanted("good", kind="dataset", file="sub/a.parquet"),
            wanted("good", None),
        )
        offline = {"HF_HUB_OFFLINE": "1"}
        (answers["offline"],) = ask(server.endpoint, home, wanted("unknown"), **offline)
        (answers["cached"],) = ask(server.endpoint, home, wanted("good"), **offline)
    return SimpleNamespace(answers=answers, asked=server.asked, endpoint=server.endpoint, home=home)


@pytest.mark.parametrize("fault", PASSING)
def test_a_fault_that_passes_ends_with_the_right_bytes_and_was_said(hub, fault):
    answer = hub.answers[fault]
    path = Path(answer.found["model.bin"])
    assert path.read_bytes() == BODY
    assert path.is_relative_to(hub.home)
    assert re.search(PASSING[fault], answer.said)


@pytest.mark.parametrize("fault", ["cut", "slow"])
def test_a_download_that_was_cut_resumes_where_it_was(hub, fault):
    asked = [headers for m, path, headers in hub.asked if m == "GET" and f"/{fault}/" in path]
    assert [headers.get("range") for headers in asked] == [None, f"bytes={10 * 2**20}-"]


def test_the_waits_are_those_that_the_hub_asks_for_or_grow(hub):
    assert hub.answers["limited"].slept == [8.0, 8.0]  # the server says 7, to HEAD and to GET
    assert hub.answers["error-always"].slept == [1, 2, 4]
    assert hub.answers["broken"].slept == [1, 2, 4, 8, 8]
    assert hub.answers["good"].slept == []


@pytest.mark.parametrize("fault", LASTING)
def test_a_fault_that_lasts_names_the_file_and_the_cause(hub, fault):
    answer = hub.answers[fault]
    assert answer.found.startswith("UserError: ")
    assert "model.bin" in answer.found
    assert LASTING[fault] in answer.found
    assert "Check the connection" in answer.found or "fetch it again" in answer.found


def test_the_token_is_sent_to_the_hub_and_to_nobody_else(hub):
    to_hub = [headers for _, path, headers in hub.asked if "/own/" in path]
    to_cdn = [headers for _, path, headers in hub.asked if path.startswith("/cdn/")]
    assert {h.get("authorization") for h in to_hub} == {f"Bearer {TOKEN}"}
    assert [h.get("authorization") for h in to_cdn] == [None]


def test_the_token_is_nowhere_on_the_disk(hub):
    files = [path for path in hub.home.rglob("*") if path.is_file()]
    assert len(files) > len(PASSING)
    assert not [path for path in files if TOKEN.encode() in path.read_bytes()]


def test_a_file_that_xet_stores_is_fetched_without_it_unless_it_is_asked_for(hub, tmp_path):
    assert not [path for _, path, _ in hub.asked if path == XET]
    with serving() as server:
        ask(server.endpoint, tmp_path, wanted("xet"), HF_HUB_DISABLE_XET="0")
    assert [path for _, path, _ in server.asked if path == XET]


def test_nothing_unverified_reaches_a_models_folder(tmp_path):
    models = tmp_path / "models"
    (models / "m").mkdir(parents=True)
    (models / "m" / "old").write_text("as before")
    with serving() as server:
        tries = [("model", str(models / "m"), f"own/{fault}", DIGEST) for fault in LASTING]
        answers = ask(server.endpoint, tmp_path / "home", *tries)
    assert [answer.found.split(" ")[0] for answer in answers] == ["UserError:"] * len(LASTING)
    assert [path.relative_to(models) for path in models.rglob("*")] == [Path("m"), Path("m/old")]


def test_wrong_bytes_in_the_clients_own_cache_are_fetched_again(hub, tmp_path):
    with serving() as server:
        (first,) = ask(server.endpoint, tmp_path, wanted("good"))
        Path(first.found["model.bin"]).write_bytes(other(BODY))
        (offline,) = ask(server.endpoint, tmp_path, wanted("good"), HF_HUB_OFFLINE="1")
        (second,) = ask(server.endpoint, tmp_path, wanted("good"))
    assert f"pinned {DIGEST}" in offline.found
    assert "is not what params.yaml pins; fetching it again" in second.said
    assert Path(second.found["model.bin"]).read_bytes() == BODY


def test_a_datasets_file_is_asked_for_among_the_datasets(hub):
    assert Path(hub.answers["dataset"].found["sub/a.parquet"]).read_bytes() == BODY
    paths = [path for _, path, _ in hub.asked]
    assert f"/datasets/own/good/resolve/{REVISION}/sub/a.parquet" in paths


# The server cuts after 11 MiB, and a dataset's file has a few kB here: these would be no faults.
OF_LARGE_FILES = ("cut", "cut-no-range", "cut-unresolved", "slow", "reset")
OF_DATASETS = [fault for fault in PASSING if fault not in OF_LARGE_FILES]
ROW = b'{"id": "e1", "text": "thanks", "labels": [0, 1, 2]}\n'


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    """What fetching a dataset gave for each fault, and where its files and the caches are."""
    home = tmp_path_factory.mktemp("datasets")
    file = io.BytesIO()
    table = pyarrow.table({"id": ["e1"], "text": ["thanks"], "labels": [[0, 1, 2]]})
    parquet.write_table(table, file)
    faults = [*OF_DATASETS, *LASTING, *REFUSALS]
    requests = []
    for fault in faults:
        folder = home / "data" / fault
        folder.mkdir(parents=True)
        (folder / "old").write_text("as before")
        digest = hashlib.sha256(ROW).hexdigest()
        requests.append(("dataset", str(folder), f"own/{fault}", digest))
    with serving({Path(path).name: file.getvalue() for path in FILES.values()}) as server:
        answers = ask(server.endpoint, home / "hf", *requests, HOME=str(home))
    return SimpleNamespace(answers=dict(zip(faults, answers, strict=True)), home=home)


@pytest.mark.parametrize("fault", OF_DATASETS)
def test_a_dataset_is_fetched_in_spite_of_a_fault_that_passes(datasets, fault):
    assert datasets.answers[fault].found == {"train": 1, "val": 1, "test": 1}
    folder = datasets.home / "data" / fault
    written = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert [written[f"{split}.jsonl"] for split in FILES] == [ROW] * 3
    assert "old" not in written


@pytest.mark.parametrize("fault", [*LASTING, *REFUSALS])
def test_a_fault_that_lasts_leaves_a_datasets_folder_as_it_was(datasets, fault):
    answer = datasets.answers[fault].found
    assert answer.startswith("UserError: ")
    assert ".parquet" in answer
    folder = datasets.home / "data" / fault
    assert [path.name for path in folder.iterdir()] == ["old"]


def test_a_dataset_is_fetched_again_only_where_its_content_is_wrong(datasets):
    found = {fault for fault, one in datasets.answers.items() if "fetching it again" in one.said}
    assert found == {"wrong", "wrong-always"}
    assert datasets.answers["error-always"].slept == [1, 2, 4]


def test_datasets_leaves_no_cache_in_the_project_or_in_the_users_home(datasets):
    assert sorted(path.name for path in datasets.home.iterdir()) == ["data", "hf"]
    assert {path.name for path in (datasets.home / "hf").iterdir()} <= {"hub", "xet"}
    folders = {path.name for path in (datasets.home / "data").iterdir()}
    assert folders == {*OF_DATASETS, *LASTING, *REFUSALS}


@pytest.mark.parametrize("case", ["unpinned", "cached"])
def test_a_file_without_a_pin_or_without_a_hub_that_was_fetched_before(hub, case):
    assert Path(hub.answers[case].found["model.bin"]).read_bytes() == BODY


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("unknown", "the repository does not exist, or is private and HF_TOKEN is not set"),
        ("private", "the repository does not exist, or is private and HF_TOKEN is not set"),
        ("no-file", "the file does not exist"),
        ("no-revision", "the revision does not exist"),
        ("gated", "access to it must be granted on its page, and HF_TOKEN set"),
        ("token", "access to it must be granted on its page, and HF_TOKEN set"),
    ],
)
def test_a_refusal_names_the_file_the_cause_and_the_mirror(hub, fault, reason):
    assert hub.answers[fault].found == (
        f"UserError: cannot fetch model.bin of the model own/{fault} at revision {REVISION} from "
        f"{hub.endpoint}: {reason}. Check the connection and HF_HUB_OFFLINE, or set "
        f"GOEMOTIONS_MIRROR to a folder that holds models/own/{fault}/model.bin"
    )
    assert hub.answers[fault].slept == []


def test_offline_a_file_that_was_not_fetched_before_cannot_be_had(hub):
    found = hub.answers["offline"].found
    assert found.startswith("UserError: cannot fetch model.bin of the model own/unknown")
    assert "the Hub cannot be reached" in found
    assert "GOEMOTIONS_MIRROR" in found


@pytest.mark.parametrize(("fault", "status"), [("forbidden", "403"), ("broken", "503")])
def test_any_other_answer_of_the_hub_is_named_by_its_status(hub, fault, status):
    found = hub.answers[fault].found
    assert found.startswith(f"UserError: cannot fetch model.bin of the model own/{fault}")
    assert status in found


def test_a_hub_that_refuses_connections_cannot_be_reached(tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        (answer,) = ask(endpoint, tmp_path, wanted("good"))
    assert answer.found.startswith(
        f"UserError: cannot fetch model.bin of the model own/good at revision {REVISION} from "
        f"{endpoint}: the Hub cannot be reached"
    )
    assert answer.found.endswith(
        "GOEMOTIONS_MIRROR to a folder that holds models/own/good/model.bin"
    )


@pytest.mark.parametrize(
    ("endpoint", "proxy", "host"),
    [
        ("https://hub.invalid", "", "hub.invalid"),
        ("http://127.0.0.1:9", "http://proxy.invalid:3128", "127.0.0.1"),
    ],
)
def test_a_host_name_that_cannot_be_resolved_is_one_error_at_once(tmp_path, endpoint, proxy, host):
    proxies = {"HTTP_PROXY": proxy, "http_proxy": proxy, "NO_PROXY": "", "no_proxy": ""}
    (answer,) = ask(endpoint, tmp_path, wanted("good"), **proxies)
    assert re.fullmatch(
        rf"UserError: cannot fetch model\.bin of the model own/good at revision {REVISION} from "
        rf"{endpoint}: the Hub cannot be reached \(the host name {host}, or that of a proxy, "
        r"cannot be resolved: [^:;()]+\)\. Check the connection and HF_HUB_OFFLINE, or set "
        r"GOEMOTIONS_MIRROR to a folder that holds models/own/good/model\.bin",
        answer.found,
    )
    assert answer.slept == []
    assert answer.said == ""


def test_what_was_fetched_before_needs_no_network(hub):
    (cached,) = ask("https://hub.invalid", hub.home, wanted("good"))
    assert Path(cached.found["model.bin"]).read_bytes() == BODY
    (wrong,) = ask("https://hub.invalid", hub.home, wanted("good", "0" * 64))
    assert "good is not what" not in wrong.found
    assert "cannot be resolved" in wrong.found
    assert "force_download" not in wrong.found


def test_without_an_address_only_a_file_that_has_begun_to_arrive_is_waited_for(hub):
    assert hub.answers["cut-unresolved"].slept == [1, 1]  # the cut, and the name
    assert hub.answers["cdn-unresolved"].slept == []


def test_a_repository_that_can_be_none_is_an_error_for_the_user(monkeypatch):
    monkeypatch.delenv("GOEMOTIONS_MIRROR", raising=False)
    with pytest.raises(UserError, match="a/b/c"):
        from_hub("model", "a/b/c", REVISION, {"config.json": DIGEST})


@needs_mpnet
def test_mpnet_from_the_hub_is_mpnet_from_its_packages(mpnet, settings, tmp_path):
    """By the entry that docs/files.md gives."""
    documented = (ROOT / "docs/files.md").read_text(encoding="utf-8")
    written = re.search(r"```yaml\n( +mpnet-base:\n.*?)    files:\n```", documented, re.S)[1]
    files = {name: str(digest) for name, digest in settings.models["mpnet-base"].files.items()}
    entry = yaml.safe_load(written)["mpnet-base"] | {"files": files}
    code = """
import json, sys
from pathlib import Path
from goemotions.config.model_settings import HubModel
from goemotions.models.prepare import cache
cache("mpnet-base", HubModel(**json.loads(sys.argv[1])), Path(sys.argv[2]))
"""
    contents = {path.name: path.read_bytes() for path in mpnet.iterdir()}
    with serving({name: contents[name] for name in files}) as server:
        env = os.environ | {"HF_ENDPOINT": server.endpoint, "HF_HOME": str(tmp_path / "home")}
        env |= {"NO_PROXY": "*", "no_proxy": "*", "HF_HUB_OFFLINE": "0"}
        env.pop("GOEMOTIONS_MIRROR", None)
        command = [RUN, sys.executable, "-c", code, json.dumps(entry), tmp_path / "mpnet-base"]
        subprocess.run(command, env=env, check=True, timeout=300)
        asked = {path for method, path, _ in server.asked if method == "GET" and "resolve" in path}
    place = f"/{entry['repo']}/resolve/{entry['revision']}/"
    assert asked == {place + name for name in files}
    del contents["manifest.json"]  # which says where the files came from
    made = {path.name: path.read_bytes() for path in (tmp_path / "mpnet-base").iterdir()}
    manifest = json.loads(made.pop("manifest.json"))
    assert made == contents
    assert (manifest["repo"], manifest["revision"]) == (entry["repo"], entry["revision"])
