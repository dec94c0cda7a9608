"""The process that speaks with W&B for a run: reads messages from standard input and passes them on.

It is a process of its own so that nothing of W&B can hold up or end a training run: the run writes lines and
goes on, whether they are read or not. Its working folder is the run's, so that every path it names is relative.

Standard input: one JSON object per line, {"do": "start" | "row" | "images" | "config" | "summary" |
"artifact" | "finish", ...}.
Standard output: one JSON object per line, {"say": text, "level": "info" | "warning"}, the first of them with "used":
whether W&B is, {"stop": true} when somebody stops
the run on W&B, and at last {"done": true}.
"""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from alexnet_lab.tracking import images, wandb_access
from alexnet_lab.tracking.wandb_pipe import unpacked

INIT_SECONDS = 10.0  # for the server to make the run, before it goes on offline
# What is so in every run: the terminal's output is in train.log, and code is kept by git.
ALWAYS: dict[str, Any] = {
    "console": "off",
    "disable_job_creation": True,
    "save_code": False,
    "silent": True,
    "symlink": False,
}
# Settings with which W&B tells nothing of the machine's folders, its user, his code or his hardware.
PRIVATE: dict[str, Any] = {
    "disable_code": True,
    "disable_git": True,
    "host": "",
    "program": "src/train.py",
    "program_abspath": "src/train.py",
    "program_relpath": "src/train.py",
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_save_requirements": False,
}
GIVEN = ("id", "name", "notes", "group", "job_type", "tags", "config", "project", "entity", "resume")  # to wandb.init
NICENESS = 5  # where every core is busy, training goes first
KILLED_EXIT_CODE = 137  # of a run that ended without a word


def main() -> None:
    words = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.nice(NICENESS)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)  # what W&B prints must not pass for an answer

    def say(**message: Any) -> None:
        with suppress(OSError):  # the run is gone, and what it wrote is passed on all the same
            words.write(json.dumps(message) + "\n")

    # W&B's own logs name folders of this machine; nothing that a run needs lies there.
    scratch = tempfile.mkdtemp(prefix="alexnet-lab-wandb-")
    os.environ |= {"WANDB_CACHE_DIR": scratch, "WANDB_DATA_DIR": scratch}
    code = 0
    try:
        speak(sys.stdin, say)
        say(done=True)
    except BaseException as error:
        text = f"W&B: stopped ({_short(error)}); training goes on and its folder has everything"
        say(say=text, level="warning", done=True)
        code = 1
    for folder in (Path(scratch), *Path("wandb").glob("*run-*/logs")):
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(code)  # at an ordinary end W&B would wait for its server


def speak(lines: TextIO, say: Callable[..., None]) -> None:
    """Pass the messages on until the last one. Raises what W&B raises."""
    start = json.loads(lines.readline())
    if start["mode"] is not None:
        os.environ["WANDB_MODE"] = start["mode"]
    access = wandb_access.find_access()
    say(say=access.line(start["sync_command"]), level="info", used=access.mode != "none")
    if access.mode == "none":
        return
    run = open_run(start, access, say)
    exit_code = KILLED_EXIT_CODE
    summary: dict[str, Any] = {}
    kept: list[dict[str, Any]] = []  # artifacts that the server could not be told of
    for line in lines:
        if not line.endswith("\n"):
            break  # the run was killed while it wrote this
        message = json.loads(line)
        if message["do"] == "row":
            run.log(whole_row(message), step=message["step"])
        elif message["do"] == "images":
            try:
                drawn = images.draw(unpacked(message))
            except (OSError, ValueError) as error:  # such as letters that the font cannot draw
                say(say=f"W&B: there are no images after step {message['step']} ({_short(error)})", level="warning")
            else:
                run.log({image.name: _image(image) for image in drawn}, step=message["step"])
        elif message["do"] == "config":
            run.config.update(message["values"], allow_val_change=True)
        elif message["do"] == "summary":
            summary |= message["values"]
            run.summary.update(message["values"])
        elif message["do"] == "artifact":
            # W&B asks its server before it writes an artifact down, and waits for the answer.
            if access.mode == "online" and wandb_access.answers(access.server):
                kept.append(message)
            else:
                log_artifact(run, message)
        elif message["do"] == "finish":
            exit_code = int(message["exit_code"])
            if message["preempted"]:
                run.mark_preempting()
            break
    finish(run, exit_code, access, say)
    if kept:
        run = open_run(start, wandb_access.Access("offline"), say)  # another record of the same run, for `make sync`
        run.summary.update(summary)
        for message in kept:
            log_artifact(run, message)
        run.finish(exit_code=exit_code)


def open_run(start: dict[str, Any], access: wandb_access.Access, say: Callable[..., None]) -> Any:
    """The W&B run, offline where the server does not answer in time."""
    import wandb

    settings = wandb.Settings(
        **ALWAYS,
        **told_of_the_machine(start.get("machine")),
        finish_timeout=start["finish_seconds"],
        finish_timeout_raises=True,
        init_timeout=INIT_SECONDS,
        root_dir=".",
        stop_fn=lambda: say(stop=True),
        x_stats_gpu_device_ids=gpu_numbers(),
        x_stats_pid=start["pid"],
        x_transaction_log_flush_interval=2.0,  # seconds that a power cut may cost
    )
    given = {key: start[key] for key in GIVEN}
    given |= {"dir": ".", "settings": settings}
    try:
        run = wandb.init(mode=access.mode, **given)  # type: ignore[arg-type]
    except Exception as error:
        if access.mode == "offline":
            raise
        say(say=f"W&B: offline ({_short(error)}); `{start['sync_command']}` uploads it later", level="warning")
        access.mode = "offline"
        run = wandb.init(mode="offline", **given)
    run.define_metric("epoch", hidden=True)
    run.define_metric("*", step_metric="epoch")
    return run


def told_of_the_machine(machine: dict[str, Any] | None) -> dict[str, Any]:
    """Settings with which W&B records what it does of any program, as if the run had asked it to; None: nothing."""
    if machine is None:
        return PRIVATE
    sys.argv = machine["command"]  # W&B takes the arguments from here
    return {"program": sys.argv[0], "git_root": machine["folder"]}


def gpu_numbers() -> list[int] | None:
    """The GPUs that the run may use, by number; None where it may use all, or they are named otherwise."""
    numbers = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return [int(number) for number in numbers] if all(number.strip().isdigit() for number in numbers) else None


def log_artifact(run: Any, message: dict[str, Any]) -> None:
    """Files of the run's folder, which are not copied, as a version of an artifact."""
    import wandb

    artifact = wandb.Artifact(message["name"], message["type"], metadata=message["metadata"])
    for path in message["files"]:
        artifact.add_file(path, name=Path(path).name, policy="immutable", skip_cache=True)
    run.log_artifact(artifact, aliases=message["aliases"])


def finish(run: Any, exit_code: int, access: wandb_access.Access, say: Callable[..., None]) -> None:
    """End the W&B run; mark its folder as uploaded where it was."""
    file = Path(run.settings.sync_file)
    try:
        run.finish(exit_code=exit_code)
    except TimeoutError:
        say(say="W&B: the server did not take everything in time; `make sync` does it later", level="warning")
    else:
        if access.mode == "online":
            file.with_name(file.name + ".synced").touch()


def _image(image: images.Drawing) -> Any:
    import wandb
    from PIL import Image

    kind = "jpg" if image.of_photographs else "png"
    return wandb.Image(Image.open(io.BytesIO(image.png)), caption=image.caption, file_type=kind)


def whole_row(message: dict[str, Any]) -> dict[str, Any]:
    """A row's values, with its histograms (counts, lowest, highest) and images (PNG) where it has some."""
    import numpy as np
    import wandb
    from PIL import Image

    row: dict[str, Any] = dict(message["values"])
    for name, (counts, low, high) in message.get("bins", {}).items():
        row[name] = wandb.Histogram(np_histogram=(np.array(counts), np.linspace(low, high, len(counts) + 1)))
    for name, one in message.get("png", {}).items():
        row[name] = wandb.Image(Image.open(io.BytesIO(base64.b64decode(one["png"]))), caption=one["caption"])
    return row


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:160]}" if text else type(error).__name__


if __name__ == "__main__":
    main()
