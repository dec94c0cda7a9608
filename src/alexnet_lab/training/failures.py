"""Failures of training, found and said in one line with what helps."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from alexnet_lab.config.options import RunConfig
from alexnet_lab.core.errors import Preempted, UserError
from alexnet_lab.core.files import NO_ROOM
from alexnet_lab.training.ranks import Ranks

log = logging.getLogger(__name__)

CHANCE_MARGIN = 0.005  # how much better than guessing, as a fraction of its loss, a loss must be


@contextmanager
def one_line_failures(run: RunConfig, ranks: Ranks, command: str) -> Iterator[None]:
    """Turn what may happen to a run that is not its fault into UserError, or Preempted where room alone is missing.

    command: what continues the run.
    """
    try:
        yield
    except (Preempted, UserError):
        raise
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise UserError(_out_of_memory(run, ranks)) from error
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise Preempted(f"{error.strerror}: {error.filename or 'the disk'}; make room, then: {command}") from error
    except RuntimeError as error:
        # PyTorch's allocator on the CPU says the first, oneDNN, where it has no memory for its code, the second.
        if "can't allocate memory" in str(error) or "could not create a primitive" in str(error):
            raise UserError(_out_of_memory(run, ranks)) from error
        if "returned nan values" in str(error):  # trainer.detect_anomaly has found it
            raise UserError(f"{str(error).rstrip('.')}: this is what trainer.detect_anomaly looks for") from error
        if "does not allow for gradient clipping" in str(error):  # Lightning, of a fused optimizer
            raise UserError(
                "optim.fused=true: cannot be clipped in mixed precision; drop it, or the clipping"
            ) from error
        if who := ranks.missing(error):
            raise UserError(
                f"{who}; what was done up to the last checkpoint is kept, continue with: {command}"
            ) from error
        raise


def diverged(what: str, step: int) -> UserError:
    return UserError(f"the {what} at step {step}: training diverged; try a smaller optim.learning_rate")


def _out_of_memory(run: RunConfig, ranks: Ranks) -> str:
    batch = run.optim.batch_size
    shares = run.trainer.shares
    share = f", {batch // shares} on each of {ranks.size} devices" if ranks.size > 1 else ""
    advice = [f"try optim.batch_size={max(shares, batch // 2)}", "trainer.precision=bf16-mixed", "or more devices"]
    return f"out of memory with optim.batch_size={batch}{share}: {', '.join(advice)}; input_size and width help too"


class ChanceLevelDetector:
    """Finds a loss that stays where guessing would be, ln(classes): the classic failure of this network.

    `after`: how many steps it is given. From then on the mean of the losses seen in the last half of them must lie
    below ln(classes) by half a percent; a network that learns, however slowly, leaves that margin for good.
    classes: infinity where it is not known what guessing gives.
    """

    def __init__(self, classes: float, after: int) -> None:
        self.guessing, self.after = math.log(classes), after
        self.losses: deque[tuple[int, float]] = deque()

    def see(self, step: int, loss: float) -> str | None:
        """Take note of the loss at a step; the warning, when there is reason for it."""
        self.losses.append((step, loss))
        while self.losses[0][0] <= step - self.after // 2:
            self.losses.popleft()
        mean = sum(loss for _, loss in self.losses) / len(self.losses)
        if step < self.after or mean < self.guessing * (1 - CHANCE_MARGIN):
            return None
        return (
            f"the loss is stuck at {mean:.4f} after {step} steps, where guessing has {self.guessing:.4f} "
            f"(ln {round(math.exp(self.guessing))}); what helps: larger model.init_std, model.init_bias of 1 in conv2, "
            "conv4, conv5, fc6 and fc7, another optim.learning_rate (10 times more or less), model.pixel_scale so that "
            "conv1 sees pixels of about its weights' design (1 for 0..255), a smaller optim.batch_size"
        )
