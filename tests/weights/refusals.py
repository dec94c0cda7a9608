"""How files are made wrong, and with which line they are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from alexnet_lab.core.errors import UserError
from alexnet_lab.weights.importing import import_weights
from alexnet_lab.weights.safetensors_file import ENTRY


def refusal(file: Path) -> str:
    """The one line with which a file is refused."""
    with pytest.raises(UserError) as caught:
        import_weights(file)
    text = str(caught.value)
    assert text.startswith(str(file))
    assert "\n" not in text
    assert len(text) < len(str(file)) + 250
    return text.removeprefix(f"{file}: ")


def changed(
    good: Path,
    tensors: Callable[[dict[str, torch.Tensor]], Any] = lambda tensors: None,
    description: Callable[[dict[str, Any]], Any] = lambda description: None,
) -> Path:
    """A copy of the good file in which something is otherwise."""
    content = safetensors.torch.load_file(good)
    with safetensors.safe_open(good, "pt") as file:
        metadata = json.loads(file.metadata()[ENTRY])
    tensors(content)
    description(metadata)
    bad = good.with_name("bad.safetensors")
    safetensors.torch.save_file(content, bad, {ENTRY: json.dumps(metadata)})
    return bad
