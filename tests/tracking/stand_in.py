"""A stand-in for the W&B server on the loopback interface: what wandb's own client needs; keeps all that it is sent."""

from __future__ import annotations

import gzip
import json
import re
import threading
import time
from collections import defaultdict
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml

KEY = "5" * 40
ENTITY = "somebody"
HANG_SECONDS = 3600.0  # longer than any test waits


class Run:
    """What arrived of one run."""

    def __init__(self) -> None:
        self.bucket: dict[str, Any] = {}  # the inputs of UpsertBucket, later ones over earlier ones
        self.history: list[dict[str, Any]] = []
        self.summary: dict[str, Any] = {}
        self.files: dict[str, bytes] = {}
        self.exit_code: int | None = None
        self.preempting = False

    @property
    def config(self) -> dict[str, Any]:
        return {key: item["value"] for key, item in json.loads(self.bucket["config"]).items() if key != "_wandb"}


class StandIn:
    """with StandIn() as server: ... server.runs["id"].history. `mood` is healthy, failing (500) or hanging."""

    def __init__(self, mood: str = "healthy") -> None:
        self.mood = mood
        self.moody_from: str | None = None  # a path from whose first request on the mood is `later`
        self.later = "healthy"
        self.runs: dict[str, Run] = defaultdict(Run)
        self.artifacts: dict[str, dict[str, Any]] = {}
        self.sweeps: dict[str, dict[str, Any]] = {}  # what their files say
        self.planned = 0  # runs that agents were told to start
        self.stopped = False  # whether somebody has pressed every run's stop button
        self.used: set[str] = set()  # artifacts that a run said it was made from
        self.views: dict[str, dict[str, Any]] = {}
        self.projects: set[str] = set()
        self.operations: list[str] = []
        self.unknown: list[str] = []
        self.sent = bytearray()  # every byte of every request: first line, headers, body
        self.hung_up = threading.Event()
        self.lock = threading.Lock()

    def __enter__(self) -> StandIn:
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments: Any) -> None:
                pass

            def do(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                stand_in.answer(self, body)

            do_GET = do_POST = do_PUT = do_HEAD = do  # noqa: N815

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *connection: None  # type: ignore[method-assign]  # a client that is gone
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.vanish()

    def vanish(self) -> None:
        """Stop listening, and close what is open."""
        self.mood = "vanished"
        self.hung_up.set()
        self.server.shutdown()
        self.server.server_close()

    @property
    def environment(self) -> dict[str, str]:
        """Variables that lead wandb here, and to nobody's account."""
        return {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": KEY}

    def answer(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        if request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        headers = [f"{key}: {value}\n" for key, value in request.headers.items() if key != "Authorization"]
        with self.lock:
            self.sent += f"{request.requestline}\n{''.join(headers)}".encode() + body
            if self.moody_from and self.moody_from in request.path:
                self.mood = self.later
        if self.mood == "hanging":
            self.hung_up.wait(HANG_SECONDS)
        if self.mood == "vanished":
            request.close_connection = True
            return
        status, reply = 500, b"trouble"
        if self.mood == "healthy":
            with self.lock:
                status, reply = 200, json.dumps(self.handle(request, body)).encode()
        with suppress(OSError):
            request.send_response(status)
            request.send_header("Content-Type", "application/json")
            request.send_header("Content-Length", str(len(reply)))
            request.end_headers()
            if request.command != "HEAD":
                request.wfile.write(reply)

    def handle(self, request: BaseHTTPRequestHandler, body: bytes) -> Any:
        path = request.path
        if path == "/graphql":
            asked = json.loads(body)
            operation = re.search(r"(?:query|mutation)\s+(\w+)", asked["query"])
            name = operation[1] if operation else "unnamed"
            self.operations.append(name)
            inner = getattr(self, name, None)
            variables = asked.get("variables") or {}
            if inner is None:
                self.unknown.append(f"{name}: {variables}\n{asked['query']}")
                return {"errors": [{"message": f"the stand-in does not know {name}"}]}
            return {"data": inner(variables)}
        if found := re.fullmatch(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", path):
            self.stream(self.runs[found[1]], json.loads(body))
            return {"stopped": self.stopped}
        if found := re.fullmatch(r"/upload/run/([^/]+)/(.+)", path):
            self.runs[found[1]].files[found[2]] = body
        elif found := re.fullmatch(r"/upload/artifact/([^/]+)/(.+)", path):
            self.artifacts[found[1]]["files"][found[2]] = body
        return {}

    def stream(self, run: Run, told: dict[str, Any]) -> None:
        for name, part in (told.get("files") or {}).items():
            rows = [json.loads(line) for line in part["content"]]
            if name == "wandb-history.jsonl":
                run.history[part["offset"] :] = rows
            elif name == "wandb-summary.json":
                run.summary = rows[-1]
        if told.get("complete"):
            run.exit_code = told.get("exitcode")
        run.preempting |= bool(told.get("preempting"))

    # The operations of wandb's client, by their names.

    def ArtifactType(self, asked: dict[str, Any]) -> Any:  # noqa: N802
        return {"project": {"artifact": None}}

    def Viewer(self, asked: dict[str, Any]) -> Any:  # noqa: N802
        teams = {"edges": [{"node": {"name": ENTITY}}]}
        user = {"id": "user", "entity": ENTITY, "username": ENTITY, "email": None, "flags": "{}", "teams": teams}
        return {"viewer": {**user, "name": ENTITY, "admin": False, "apiKeys": {"edges": []}, "deletedAt": None}}

    def GetDefaultEntity(self, asked: dict[str, Any]) -> Any:  # noqa: N802
        return {"viewer": {"id": "user", "entity": ENTITY}}

    def OrganizationCoreWeaveOrganizationID(self, asked: dict[str, Any]) -> Any:  # noqa: N802
        """Asked by what W&B records of a machine."""
        return {"entity": {"organization": {"coreWeaveOrganizationId": None}}}

    def View(self, asked: dict[str, Any]) -> Any:  # noqa: N802
        if asked["name"] not in self.projects:
            return {"project": None}
        same = [view for view in self.views.values() if view["name"] == asked["viewName"]]
        return {"project": {"allViews": {"edges": [{"node": view} for view in same]}}}

    def ProjectViews(self, asked: dict[str, Any]) -> Any:  # noqa: N802
        user = {"username": ENTITY, "photoUrl": None, "email": None}
        reports = [view for view in self.views.values() if view["type"] == "runs"]
        edges = [{"node": {**view, "user": user, "createdAt": view["updatedAt"]}, "cursor": "c"} for view in reports]
        page = {"endCursor": None, "hasNextPage": False}
        return {"project": {"allViews": {"edges": edges, "pageInfo": page}}}

    def GetProjects(self, asked: dict[str, Any]) -> Any:  # noqa: N802
        nodes = [
            {"id": name, "name": name, "entityName": ENTITY, "createdAt": "", "isBenchmark": False, "user": None}
            for name in self.projects
        ]
        page = {"endCursor": None, "hasNextPage": False}
        return {"models": {"edges": [{"node": node, "cursor": "c"} for node in nodes], "pageInfo": page}}

    def ProjectInternalId(self, asked: dict[str, Any]) -> Any:  # noqa: N802
        return {"project": {"id": "project", "internalId": "UHJvamVjdDox"}}

    def UpsertView2(self, asked: dict[str, Any]) -> Any:  # noqa: N802
        """As the real one: a view is known by its id, and a name alone makes another."""
        number = asked.get("id") or f"view{len(self.views)}"
        inserted = number not in self.views
        self.projects.add(asked["projectName"])
        project = {"id": "project", "name": asked["projectName"], "entityName": asked["entityName"]}
        self.views[number] = {
            "id": number,
            **{key: asked.get(key) for key in ("type", "name", "displayName", "description", "spec")},
            "project": project,
            "updatedAt": "2026-01-01T00:00:00",
        }
        return {"upsertView": {"view": self.views[number], "inserted": inserted}}

    upsertView = UpsertView2  # noqa: N815

    def ServerFeaturesQuery(self, asked: dict[str, Any]) -> Any:  # noqa: N802
        return {"serverInfo": {"features": []}}

    def XXHashDigestsEnabled(self, asked: dict[str, Any]) -> Any:  # noqa: N802
        return {"entity": {"xxhashDigestsEnabled": False}}

    def FetchArtifactDigestAlgorithm(self, asked: dict[str, Any]) -> Any:  # noqa: N802
        return {"project": None}

    def RunResumeStatus(self, asked: dict[str, Any]) -> Any:  # noqa: N802
        project = {"id": "project", "name": asked["project"], "entity": {"id": "entity", "name": ENTITY}}
        run = self.runs.get(asked["name"])
        if run is None or not run.bucket:
            return {"model": {**project, "bucket": None}}
        bucket = {
            "id": asked["name"],
            "name": asked["name"],
            "summaryMetrics": json.dumps(run.summary),
            "displayName": run.bucket.get("displayName"),
            "logLineCount": 0,
            "historyLineCount": len(run.history),
            "eventsLineCount": 0,
            "historyTail": json.dumps([json.dumps(row) for row in run.history[-1:]]),
            "eventsTail": "[]",
            "config": run.bucket.get("config"),
            "tags": run.bucket.get("tags") or [],
            "notes": None,
            "wandbConfig": json.dumps({"t": 1}),
        }
        return {"model": {**project, "bucket": bucket}}

    def UpsertBucket(self, asked: dict[str, Any]) -> Any:  # noqa: N802
        run = self.runs[asked["name"]]
        inserted = not run.bucket
        run.bucket |= {key: value for key, value in asked.items() if value is not None}
        self.projects.add(asked["project"])
        project = {"id": "project", "name": asked["project"], "entity": {"id": "entity", "name": ENTITY}}
        bucket = {key: run.bucket.get(key) for key in ("name", "displayName", "description", "config")}
        bucket["sweepName"] = asked.get("sweep")
        return {
            "upsertBucket": {
                "bucket": {"id": asked["name"], **bucket, "project": project, "historyLineCount": 0},
                "inserted": inserted,
            }
        }

    def UpsertSweep(self, asked: dict[str, Any]) -> Any:  # noqa: N802
        name = f"sweep{len(self.sweeps)}"
        self.sweeps[name] = yaml.safe_load(asked["config"])
        project = {"id": "project", "name": asked["projectName"], "entity": {"id": "entity", "name": ENTITY}}
        return {"upsertSweep": {"sweep": {"name": name, "project": project}, "configValidationWarnings": []}}

    def SweepWithRuns(self, asked: dict[str, Any]) -> Any:  # noqa: N802
        known = {"id": asked["sweep"], "name": asked["sweep"], "config": yaml.safe_dump(self.sweeps[asked["sweep"]])}
        return {"project": {"sweep": {**known, "runs": {"edges": []}}}}

    def CreateAgent(self, asked: dict[str, Any]) -> Any:  # noqa: N802
        return {"createAgent": {"agent": {"id": asked["sweep"]}}}  # one an agent would do; one a sweep does here

    def Heartbeat(self, asked: dict[str, Any]) -> Any:  # noqa: N802
        """An agent without a run is told to start one."""
        commands = []
        if not json.loads(asked["runState"]):
            plan, number = self.sweeps[asked["id"]], self.planned
            self.planned += 1
            chosen = {
                key: values["min"] if "min" in values else values["values"][number % len(values["values"])]
                for key, values in plan["parameters"].items()
            }
            arguments = {key: {"value": value} for key, value in chosen.items()}
            commands = [{"type": "run", "run_id": f"planned{number}", "program": plan["program"], "args": arguments}]
        return {"agentHeartbeat": {"agent": {"id": asked["id"]}, "commands": json.dumps(commands)}}

    def CreateRunFiles(self, asked: dict[str, Any]) -> Any:  # noqa: N802
        files = [{"name": name, "uploadUrl": f"{self.url}/upload/run/{asked['run']}/{name}"} for name in asked["files"]]
        return {"createRunFiles": {"runID": asked["run"], "uploadHeaders": [], "files": files}}

    def CreateArtifact(self, asked: dict[str, Any]) -> Any:  # noqa: N802
        told = asked["input"]
        name = told.get("artifactCollectionName") or (told.get("artifactCollectionNames") or ["?"])[0]
        same = [key for key, it in self.artifacts.items() if (it["name"], it["digest"]) == (name, told["digest"])]
        number = same[0] if same else f"artifact{len(self.artifacts)}"
        if not same:
            facts = {"name": name, "type": told["artifactTypeName"], "digest": told["digest"], "run": told["runName"]}
            self.artifacts[number] = {**facts, "metadata": told.get("metadata"), "files": {}, "state": "PENDING"}
            self.artifacts[number]["aliases"] = [alias["alias"] for alias in told.get("aliases") or []]
        state = self.artifacts[number]["state"]
        sequence = {"id": "sequence", "latestArtifact": None}
        return {"createArtifact": {"artifact": {"id": number, "state": state, "artifactSequence": sequence}}}

    def CreateArtifactManifest(self, asked: dict[str, Any]) -> Any:  # noqa: N802
        url = f"{self.url}/upload/artifact/{asked['artifactID']}/{asked['name']}"
        file = {"id": "file", "uploadUrl": url, "uploadHeaders": []}
        return {"createArtifactManifest": {"artifactManifest": {"id": asked["artifactID"], "file": file}}}

    def UpdateArtifactManifest(self, asked: dict[str, Any]) -> Any:  # noqa: N802
        number = asked["artifactManifestID"]
        file = {"id": "file", "uploadUrl": f"{self.url}/upload/artifact/{number}/manifest", "uploadHeaders": []}
        return {"updateArtifactManifest": {"artifactManifest": {"id": number, "file": file}}}

    def CreateArtifactFiles(self, asked: dict[str, Any]) -> Any:  # noqa: N802
        edges = []
        for file in asked["input"]["artifactFiles"]:
            number = file["artifactID"]
            url = f"{self.url}/upload/artifact/{number}/{file['name']}"
            node = {"storagePath": file["name"], "uploadUrl": url, "uploadHeaders": [], "uploadMultipartUrls": None}
            edges.append({"node": {**node, "artifact": {"id": number}}})
        return {"createArtifactFiles": {"files": {"edges": edges}}}

    def CommitArtifact(self, asked: dict[str, Any]) -> Any:  # noqa: N802
        artifact = self.artifacts[asked["artifactID"]]
        artifact["state"] = "COMMITTED"
        return {"commitArtifact": {"artifact": {"id": asked["artifactID"], "digest": artifact["digest"]}}}

    def ArtifactMembershipByName(self, asked: dict[str, Any]) -> Any:  # noqa: N802
        name = asked["name"].partition(":")[0]
        number = next((key for key, known in self.artifacts.items() if known["name"] == name), None)
        if number is None:
            return {"project": {"artifactCollectionMembership": None}}
        known = self.artifacts[number]
        project = {"id": "project", "internalId": "1", "name": asked["project"], "entity": {"name": asked["entity"]}}
        collection = {"__typename": "ArtifactSequence", "name": name, "project": project}
        aliases = [{"__typename": "ArtifactAlias", "id": alias, "alias": alias} for alias in known["aliases"]]
        times = {"createdAt": "2026-01-01T00:00:00", "updatedAt": "2026-01-01T00:00:00"}
        artifact = {
            "__typename": "Artifact", "id": number, "artifactSequence": collection, "versionIndex": 0,
            "artifactType": {"name": known["type"]}, "description": None, "metadata": "{}", "ttlDurationSeconds": -2,
            "ttlIsInherited": True, "tags": [], "historyStep": None, "state": known["state"], "size": 1,
            "digest": known["digest"], "commitHash": "c", "fileCount": 1, **times,
        }  # fmt: skip
        membership = {"__typename": "ArtifactCollectionMembership", "id": "member", "versionIndex": 0, **times}
        membership |= {"aliases": aliases, "artifactCollection": collection, "artifact": artifact}
        return {"project": {"artifactCollectionMembership": membership}}

    def UseArtifact(self, asked: dict[str, Any]) -> Any:  # noqa: N802
        told = asked.get("input", asked)
        self.used.add(self.artifacts[told["artifactID"]]["name"])
        return {"useArtifact": {"artifact": {"id": told["artifactID"]}}}


def main() -> None:
    """Serve until interrupted, for trying things by hand."""
    with StandIn() as server:
        print(f"WANDB_BASE_URL={server.url} WANDB_API_KEY={KEY}", flush=True)
        with suppress(KeyboardInterrupt):
            while True:
                time.sleep(1.0)


if __name__ == "__main__":
    main()
