"""A training run: resumable by the same command, seeded step by step, logged, saved in time."""

import copy
import json
import math
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ...clip_drift.whole_file import whole_file
from ..rig.paths import RUN_DIR

RUNS = RUN_DIR / "mini"

SAVE_SECONDS = 120
LOG_STEPS = 50


@dataclass
class Plan:
    """How long and how fast a part learns. A longer plan goes on from where a shorter one ended.

    Attributes:
        part: name of the run and of its folder.
        steps: optimiser steps in all. rate: the highest learning rate, reached after `warmup`
            steps, then down to a hundredth of it along a cosine.
        batch: pictures per step. seed: of the weights and, with the step's number, of every batch.
        average: decay of the weights' moving average, which is what is used; 0 = none.
        look: steps between pictures.
    """

    part: str
    steps: int
    batch: int
    rate: float
    warmup: int = 100
    weight_decay: float = 0.01
    average: float = 0.0
    seed: int = 0
    look: int = 500

    def but(self, **changes: float | None) -> "Plan":
        """The same plan with other values; None = as it is."""
        return replace(self, **{name: to for name, to in changes.items() if to is not None})

    def rate_at(self, step: int) -> float:
        if step < self.warmup:
            return self.rate * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))

    def seed_of(self, step: int) -> int:
        """A seed for one step's batch, of its own for every part and step, below HELD_OUT."""
        return (self.seed % 10) * 100_000_000 + _PARTS[self.part] * 10_000_000 + step


# Each part takes ten million seeds.
_PARTS = {"classifier": 0, "clip": 1, "movq": 2, "unet": 3, "prior": 4, "small_sd": 5}


def folder_of(part: str, runs: Path = RUNS) -> Path:
    folder = runs / part
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def state_file(part: str, runs: Path = RUNS) -> Path:
    return folder_of(part, runs) / "state.pt"


def fit(
    plan: Plan,
    module: nn.Module,
    loss_of: Callable[[int], tuple[Tensor, dict[str, float]]],
    look: Callable[[int, nn.Module, Path], None] | None = None,
    runs: Path = RUNS,
) -> nn.Module:
    """Train `module` in place, from its last save if there is one.

    Args:
        loss_of: a step's number → the loss, and figures for the log.
        look: called now and then with the step, the module as it will be used, and the folder.

    Returns:
        The module to use: the moving average where the plan asks for one.
    """
    folder = folder_of(plan.part, runs)
    optimiser = torch.optim.AdamW(
        _groups(module, plan.weight_decay), lr=plan.rate, betas=(0.9, 0.99), fused=True
    )
    average = copy.deepcopy(module).requires_grad_(False) if plan.average else module
    step, seconds = 0, 0.0
    saved = folder / "state.pt"
    if saved.is_file():
        state = torch.load(saved, map_location="cpu", weights_only=True)
        module.load_state_dict(state["module"])
        average.load_state_dict(state["average"])
        if state["optimiser"]:  # not where begin.py wrote it
            optimiser.load_state_dict(state["optimiser"])
        step, seconds = state["step"], state["seconds"]

    def save() -> None:
        state = {
            "step": step,
            "seconds": seconds + time.monotonic() - began,
            "plan": asdict(plan),
            "module": module.state_dict(),
            "average": average.state_dict(),
            "optimiser": optimiser.state_dict(),
        }
        with whole_file(saved) as file:
            torch.save(state, file)

    stopped: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
    began = last_save = last_log = time.monotonic()
    log_from = step
    module.train(True)
    try:
        while step < plan.steps:
            for group in optimiser.param_groups:
                group["lr"] = plan.rate_at(step)
            loss, figures = loss_of(step)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimiser.step()
            step += 1
            if plan.average:
                _follow(average, module, min(plan.average, (1 + step) / (10 + step)))
            now = time.monotonic()
            if step % LOG_STEPS == 0 or step == plan.steps:
                line = {"step": step, "loss": round(loss.item(), 5)}
                line |= {name: round(float(value), 4) for name, value in figures.items()}
                line["a_step"] = round((now - last_log) / (step - log_from), 3)
                line["minutes"] = round((seconds + now - began) / 60, 1)
                _log(folder, line)
                last_log, log_from = now, step
            if look and (step % plan.look == 0 or step == plan.steps):
                look(step, average, folder)
                module.train(True)
            if now - last_save > SAVE_SECONDS or step == plan.steps or stopped:
                save()
                last_save = now
            if stopped:
                raise SystemExit(f"{plan.part}: stopped and saved at step {step}")
    finally:
        signal.signal(signal.SIGTERM, before)
    return average.train(False).requires_grad_(False)


def load_trained(
    part: str, module: nn.Module, runs: Path = RUNS, average: bool = True
) -> nn.Module:
    """Put what a run has learned so far into a module of the same make."""
    state = torch.load(state_file(part, runs), map_location="cpu", weights_only=True)
    module.load_state_dict(state["average" if average else "module"])
    return module.train(False).requires_grad_(False)


def progress_of(part: str, runs: Path = RUNS) -> dict:
    """How far a run is: its plan, steps done and seconds taken."""
    state = torch.load(state_file(part, runs), map_location="cpu", weights_only=True, mmap=True)
    return {name: state[name] for name in ("step", "seconds", "plan")}


def save_picture(path: Path, pictures: Tensor, columns: int = 16, scale: int = 2) -> None:
    """Write (B, 3, S, S) pictures in 0..1 as one PNG."""
    from torchvision.utils import make_grid, save_image

    grid = make_grid(pictures.float().clamp(0, 1), columns, padding=1)
    save_image(nn.functional.interpolate(grid[None], scale_factor=scale), path)


def _groups(module: nn.Module, weight_decay: float) -> list[dict]:
    """Matrices decay; biases, gains and single numbers don't."""
    matrices = [p for p in module.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in module.parameters() if p.requires_grad and p.ndim <= 1]
    return [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


@torch.no_grad()
def _follow(average: nn.Module, module: nn.Module, decay: float) -> None:
    mean, now = average.state_dict(), module.state_dict()
    for name, value in mean.items():
        if value.is_floating_point():
            value.lerp_(now[name], 1 - decay)
        else:
            value.copy_(now[name])


def _log(folder: Path, line: dict) -> None:
    text = json.dumps(line)
    print(f"{folder.name} {text}", flush=True)
    with (folder / "log.txt").open("a", encoding="utf-8") as file:
        file.write(text + "\n")
