"""Whether a folder's run is the one that is asked for: its settings, and the images that it was trained on.

Results and checkpoints hold the identity of their store.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from alexnet_lab.config.options import RunConfig
from alexnet_lab.core.errors import UserError
from alexnet_lab.runs.config_snapshot import NOT_PART_OF_A_RESULT, refuse_other_settings
from alexnet_lab.runs.result import read_result


def result_of_same_run(
    folder: Path, run: RunConfig, images_now: Callable[[], Mapping[str, Any] | None]
) -> dict[str, Any] | None:
    """The result in a run folder; None where there is none.

    images_now: the facts of the images that are prepared now, None where none are. Raises UserError where the result
    was made with other settings, or on other images than these.
    """
    result = read_result(folder)
    if result is not None:
        refuse_other_settings(folder, result["config"], run)
        if (now := images_now()) is not None:
            refuse_other_images(folder, result.get("images"), now)
    return result


def refuse_other_images(folder: Path, before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> None:
    """Raise UserError where the run in a folder was trained on other images than are prepared now.

    before: the facts that its result or checkpoint holds; None where a version wrote it that did not keep them.
    """
    if before is not None and before["identity"] != now["identity"]:
        raise UserError(
            f"{folder}: was trained on other images ({_in_words(before)}) than are prepared now ({_in_words(now)}); "
            "prepare the former again, choose another sweep or folder, or remove that one"
        )


def check_same_images(results: Mapping[Path, Mapping[str, Any]]) -> None:
    """Raise UserError where two results, by run folder, have the same data settings and other images."""
    first: dict[str, Path] = {}
    for folder, result in results.items():
        if (images := result.get("images")) is None:
            continue
        data = result["config"]["data"].items()
        settings = {key: value for key, value in data if f"data.{key}" not in NOT_PART_OF_A_RESULT}
        other = first.setdefault(json.dumps(settings, sort_keys=True), folder)
        before = results[other]["images"]
        if images["identity"] != before["identity"]:
            raise UserError(
                f"{folder}: was trained on other images ({_in_words(images)}) than {other} ({_in_words(before)}), with "
                "the same settings; remove one of the two folders and run again"
            )


def _in_words(images: Mapping[str, Any]) -> str:
    return f"{images['train']} to train on, {images['val']} to validate on, identity {images['identity'][:12]}"
