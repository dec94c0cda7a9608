"""The process between `src/reproduce.py` and its sweep."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from alexnet_lab.core.errors import PREEMPTED_EXIT_CODE
from processes import wait_for

pytestmark = pytest.mark.slow

SCRIPT = """
import sys
from pathlib import Path
from alexnet_lab.sweeps import sweep_process
sweep_process.TRAIN = Path(sys.argv[1])
sys.exit(sweep_process.run_sweep([]))
"""


def test_a_sweep_that_is_asked_to_end_before_it_listens_counts_as_preempted(tmp_path: Path) -> None:
    started = tmp_path / "started"
    deaf = tmp_path / "deaf.py"
    deaf.write_text(f"import time\nopen({str(started)!r}, 'w').close()\ntime.sleep(600)\n")
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(deaf)], cwd=Path(__file__).parents[2] / "src")
    wait_for(started.exists)

    process.send_signal(signal.SIGTERM)

    assert process.wait() == PREEMPTED_EXIT_CODE
