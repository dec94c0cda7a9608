"""How the processes of a run share its work: each a share of the batch, or each a tower of a share."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Optimizer

from alexnet_lab.networks.towers import TOWERS, Exchange, divided_along, keep_own_tower, own_part, whole_of
from alexnet_lab.training.lightning_compat import RankLauncher, StartedBy
from alexnet_lab.training.ranks import RANK_ZERO, Ranks

log = logging.getLogger(__name__)

NETWORK = "network."  # what the parameters of the training module's network are called in its state


class DistributedDataParallel(StartedBy):
    """Lightning's, without the thread that kills rank zero when another rank has ended: rank zero notices by itself,
    and has a checkpoint to finish and a line to say first.
    """

    def __init__(self, ranks: Ranks, **options: Any) -> None:
        def expect(started: range) -> None:
            os.environ[RANK_ZERO] = str(os.getpid())
            ranks.expect(started)

        super().__init__(partial(RankLauncher, before=expect, after=ranks.follow), **options)
        self.ranks = ranks

    def setup_distributed(self) -> None:
        self.set_world_ranks()
        with self.ranks.meeting(self.global_rank, self.world_size):
            super().setup_distributed()
            self.make_groups()

    def make_groups(self) -> None:
        """Groups of some of the ranks, where they are needed, while it is watched who comes."""


class Towers(DistributedDataParallel):
    """Two processes a network, each with one of its towers: ranks 2 r and 2 r + 1 compute share r of each batch.

    Gradients are averaged over the processes that have the same tower. Checkpoints are those of one process: all of the
    network and of the optimizer's state is gathered to be saved, and each process loads its part.

    Lightning's ModelParallelStrategy would make the same groups, as a device mesh. It is not used, because it reads
    checkpoints past CheckpointIO, gathers parameters of type DTensor alone, averages no gradients, and its groups wait
    as long as PyTorch's default says, where these wait as long as `trainer.collective_timeout` does.
    """

    exchange: Exchange
    _told = False

    def make_groups(self) -> None:
        def own(ranks: list[list[int]]) -> dist.ProcessGroup:
            timeout = self._timeout if isinstance(self._timeout, timedelta) else None
            group, _ = dist.new_subgroups_by_enumeration(ranks, timeout=timeout)
            assert isinstance(group, dist.ProcessGroup)  # every rank is in one
            return group

        pairs = [[first, first + 1] for first in range(0, self.world_size, TOWERS)]
        self.exchange = Exchange(self.global_rank % TOWERS, own(pairs))
        self.same_tower = own([list(range(tower, self.world_size, TOWERS)) for tower in range(TOWERS)])
        self._ddp_kwargs["process_group"] = self.same_tower

    def optimizer_step(
        self, optimizer: Optimizer, closure: Callable[[], Any], model: Any = None, **options: Any
    ) -> Any:
        before = self.exchange.bytes_sent
        answer = super().optimizer_step(optimizer, closure, model, **options)
        if not self._told:
            self._told = True
            own = sum(parameter.numel() for _, parameter in self._names(optimizer))
            sent = self.exchange.bytes_sent - before
            text = "this process has tower %d, %d parameters, and sends %d bytes of activations and gradients a batch"
            log.info(text, self.exchange.tower, own, sent)
        return answer

    def setup_environment(self) -> None:
        super().setup_environment()
        assert self.lightning_module is not None
        network: Any = self.lightning_module.network
        keep_own_tower(network, self.exchange)

    @property
    def distributed_sampler_kwargs(self) -> dict[str, Any]:
        return {"num_replicas": self.world_size // TOWERS, "rank": self.global_rank // TOWERS}

    def reduce(self, tensor: Any, group: Any = None, reduce_op: Any = "mean") -> Any:
        """Over the shares of the batch: both towers of a share have the same numbers, which count once."""
        return super().reduce(tensor, group or self.same_tower, reduce_op)

    def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool:
        said = torch.tensor(int(decision), device=self.root_device)
        count = int(super().reduce(said, dist.group.WORLD, "sum"))
        return count == self.world_size if all else count > 0

    def lightning_module_state_dict(self) -> dict[str, Any]:
        state = super().lightning_module_state_dict()
        return {key: self._whole(value, key) if key.startswith(NETWORK) else value for key, value in state.items()}

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        state = checkpoint["state_dict"]
        own = {key: self._own(value, key) if key.startswith(NETWORK) else value for key, value in state.items()}
        super().load_model_state_dict({"state_dict": own}, strict)

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        state: dict[str, Any] = super().optimizer_state(optimizer)
        names = self._names(optimizer)

        def whole(number: int, value: Any) -> Any:
            name, parameter = names[number]
            return self._whole(value, name) if _is_each_weights(value, parameter.shape) else value

        return {**state, "state": _each(state["state"], whole)}

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        states = []
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            names = self._names(optimizer)

            def own(number: int, value: Any, names: list[tuple[str, nn.Parameter]] = names) -> Any:
                name, parameter = names[number]
                shape, dimension = list(parameter.shape), divided_along(name.removeprefix(NETWORK))
                if dimension is not None:
                    shape[dimension] *= TOWERS
                return self._own(value, name) if _is_each_weights(value, torch.Size(shape)) else value

            states.append({**state, "state": _each(state["state"], own)})
        super().load_optimizer_state_dict({"optimizer_states": states})

    def clip_gradients(self, optimizer: Optimizer, largest: float) -> None:
        """As torch.nn.utils.clip_grad_norm_ does, by the norm of both towers' gradients, those of both once."""
        parameters, counted = [], []
        for name, parameter in self._names(optimizer):
            parameters.append(parameter)
            is_in_both = divided_along(name.removeprefix(NETWORK)) is None
            if parameter.grad is not None and not (is_in_both and self.exchange.tower > 0):
                counted.append(parameter.grad)
        norms = self.exchange.both(torch.nn.utils.get_total_norm(counted))
        torch.nn.utils.clip_grads_with_norm_(parameters, largest, torch.linalg.vector_norm(torch.stack(norms)))

    def _names(self, optimizer: Optimizer) -> list[tuple[str, nn.Parameter]]:
        """The optimizer's parameters with their names, in the order in which its state counts them."""
        if isinstance(optimizer, LightningOptimizer):
            optimizer = optimizer.optimizer
        assert self.lightning_module is not None
        names = {parameter: name for name, parameter in self.lightning_module.named_parameters()}
        return [(names[parameter], parameter) for group in optimizer.param_groups for parameter in group["params"]]

    def _whole(self, own: Tensor, name: str) -> Tensor:
        return whole_of(own, divided_along(name.removeprefix(NETWORK)), self.exchange).cpu()

    def _own(self, whole: Tensor, name: str) -> Tensor:
        return own_part(whole, divided_along(name.removeprefix(NETWORK)), self.exchange.tower)


def _is_each_weights(value: Any, shape: torch.Size) -> bool:
    """Whether a part of an optimizer's state has a number for each weight of a parameter."""
    return isinstance(value, Tensor) and value.shape == shape


def _each(states: Mapping[int, Any], change: Any) -> dict[int, Any]:
    return {number: {key: change(number, value) for key, value in state.items()} for number, state in states.items()}
