"""Whether W&B can be reached: is it installed, is there a key, does its server answer."""

from __future__ import annotations

import os
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass

from alexnet_lab.core.time_limit import within

PROBE_SECONDS = 2.0

# Without the first, even an offline run reports to the vendor.
QUIET = {"WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true"}


@dataclass
class Access:
    """mode: online, offline, or none (no tracker at all); why it is not online, and what helps."""

    mode: str
    reason: str = ""
    remedy: str = ""
    server: str = ""

    def line(self, sync_command: str) -> str:
        """What a person is told, in one line."""
        if self.mode == "online":
            return f"W&B: online at {self.server}"
        if self.mode == "offline":
            return f"W&B: offline ({self.reason}); `{sync_command}` uploads it later"
        return f"W&B: not used ({self.reason}); the run folder has everything"


def find_access(wanted: bool = False) -> Access:
    """Look once, within a few seconds; asks nobody for a key. wanted: never mind a wish to stay offline."""
    os.environ |= QUIET
    if wanted:
        os.environ.pop("WANDB_MODE", None)
    if os.environ.get("WANDB_MODE") == "disabled":
        return Access("none", "WANDB_MODE=disabled")
    try:
        import wandb  # here, because it takes half a second
    except ImportError:
        return Access("none", "wandb is not installed", "pip install wandb")
    settings = wandb.setup(wandb.Settings(mode="online") if wanted else None).settings
    server = str(settings.base_url)
    if settings.mode == "disabled":
        return Access("none", "it is switched off on this machine", "`wandb enabled`", server)
    if settings.mode in ("offline", "dryrun"):
        return Access("offline", "as asked for", "", server)
    log_in = "run `wandb login`, or set WANDB_API_KEY"
    try:
        key = wandb.login(prompt=False, verify=False)  # from the environment, the settings or the netrc file
    except Exception as error:  # a key that cannot be one
        return Access("offline", f"the key is of no use, {type(error).__name__}", log_in, server)
    if not key:
        return Access("offline", "no key", log_in, server)
    if problem := answers(server):
        return Access("offline", problem, f"try again when {server} can be reached", server)
    return Access("online", server=server)


def answers(server: str) -> str | None:
    """None where something answers HTTP at this address; otherwise what is wrong with it."""

    def ask() -> str | None:
        try:
            urllib.request.urlopen(f"{server}/healthz", timeout=PROBE_SECONDS)  # noqa: S310
        except urllib.error.HTTPError as error:
            return f"the server answers {error.code}" if error.code >= 500 else None
        except urllib.error.URLError as error:
            # W&B's client brings its own certificates: what Python cannot verify may be all right.
            return None if isinstance(error.reason, ssl.SSLError) else "no network"
        except (OSError, ValueError):
            return "no answer from the server"
        return None

    late: str | None = "no answer from the server"
    return within(PROBE_SECONDS, ask, late)
