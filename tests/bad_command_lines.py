"""Command lines that cannot work, made at random: python tests/bad_command_lines.py --count 500 --seed 0

Each is run as a person would run it, in a folder of its own. It must end within 10 seconds, exit not 0, say at most
three lines on standard error without a traceback, and leave the folder as it was. The last line printed is JSON.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1] / "src"), str(Path(__file__).parent)]

from alexnet_lab.cli.command_line import known_keys
from alexnet_lab.config.options import GROUPS as CONFIG_GROUPS
from alexnet_lab.config.options import RunConfig
from conftest import SOURCE, one_thread

SECONDS = 10.0  # on a machine that does nothing else
LINES = 3
NO_SERVER = "data.url=http://127.0.0.1:1"  # where there is a network, what can be fetched would be
GROUPS = {
    folder.name: sorted(file.stem for file in folder.glob("*.yaml"))
    for folder in sorted((SOURCE.parent / "conf").iterdir())
    if folder.is_dir() and folder.name not in ("hydra", "local")  # which hold groups of Hydra's own, and somebody's
}
WEIRD = [
    " ", "\t", "\n", "\r\n", "\x1b[31m", "\x7f", "\u202e", "\ufeff", "é", "日本", "🦊", "\udcff", "\u0661", "a" * 300,
    *"""'"\\`;|&<>*?!#%""",
    "$", "${", "${x", "${oc.env:HOME}", "${sweep}", "$(id)", "{", "}", "{}", "{a:", "[", "]", "[[", "(", ")", "((",
    ",", ",,", "%s", "~", "~~", "+", "++", "+++", "=", "==", ":", "::", "@", "/", "//", "..", "../..", "-", "--",
    "---", "choice(", "range(", "glob(", "null", "None", "nan", "0x", "1e", "1e999", "-0",
]  # fmt: skip

Line = tuple[str, list[str]]  # the script, and its arguments


@dataclasses.dataclass(frozen=True)
class Option:
    """A setting as config.py declares it."""

    key: str
    kind: str
    metadata: dict[str, Any]


def options() -> Iterator[Option]:
    """Of the run and of the default option of each group."""
    run = RunConfig()
    trackers = (("logger.wandb.", run.logger.wandb), ("logger.mlflow.", run.logger.mlflow))
    for prefix, node in (("", run), *((f"{group}.", getattr(run, group)) for group in CONFIG_GROUPS), *trackers):
        for item in dataclasses.fields(node):
            if (prefix or item.name not in CONFIG_GROUPS) and item.name not in ("wandb", "mlflow"):
                yield Option(prefix + item.name, str(item.type), dict(item.metadata))


OPTIONS = list(options())


class Generator:
    """Endless bad command lines, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.kinds: list[Callable[[], Line]] = [
            *[self.typo, self.wrong_type, self.out_of_range, self.impossible, self.weird] * 2,
            self.no_option, self.missing_data, self.hydra, self.sweep, self.reproduce, self.status,
            self.export, self.import_weights, self.others,
        ]  # fmt: skip

    def __iter__(self) -> Iterator[Line]:
        while True:
            yield self.random.choice(self.kinds)()

    def pick(self, *choices: Any) -> Any:
        return self.random.choice(choices)

    def number(self, low: int, high: int) -> int:
        return self.random.randint(low, high)

    def mutated(self, word: str, known: list[str]) -> str:
        """A word with one or two letters wrong, which is not among the known."""
        while True:
            letters = list(word)
            for _ in range(self.number(1, 2)):
                place = self.number(0, len(letters) - 1)
                letter = self.pick(*"abcdefghijklmnopqrstuvwxyz_")
                self.pick(
                    lambda: letters.insert(place, letter),  # noqa: B023
                    lambda: letters.__setitem__(place, letter),  # noqa: B023
                    lambda: letters.pop(place) if len(letters) > 2 else None,  # noqa: B023
                    lambda: letters.reverse(),  # noqa: B023
                )()
            text = "".join(letters)
            if text.strip("_.") and text not in known and not text.startswith("hydra"):
                return text

    def train(self, *arguments: str) -> Line:
        """Sometimes as one of a sweep's jobs, sometimes after or before something that is right."""
        words = list(arguments)
        if self.random.random() < 0.3:
            place = self.number(0, len(words))
            right = self.pick("seed=3", "model.lrn=false", "logger=csv", "trainer=cpu")
            key = right.partition("=")[0]
            # Of two values of a key the later one counts.
            words.insert(0 if any(word.partition("=")[0] == key for word in words) else place, right)
        if self.random.random() < 0.3:
            words = ["-m", self.pick("seed=0,1", "model.lrn=true,false", "seed=range(3)"), *words]
        return "train.py", words

    def text(self) -> str:
        return "".join(self.random.choice(WEIRD) for _ in range(self.number(1, 4)))

    def typo(self) -> Line:
        key = self.pick(*known_keys())
        value = self.pick("true", "1", "0.5", "abc", "null", "[1,2]", "{}", "")
        return self.train(f"{self.pick('', '', '+', '++', '~')}{self.mutated(key, known_keys())}={value}")

    def no_option(self) -> Line:
        group = self.pick(*GROUPS)
        wrong = self.mutated(self.pick(*GROUPS[group]), [*GROUPS[group], "schema"])
        return self.train(f"{group}={self.pick(wrong, wrong, wrong, '3', 'true', '[a]', '/etc/passwd', '..')}")

    def wrong_type(self) -> Line:
        option = self.pick(
            *(option for option in OPTIONS if option.kind.split(" ")[0] in ("int", "float", "bool", "list[int]"))
        )
        values = ["soon", "{a: 1}", "[[1]]", "'1 2'", "1.5.2", "[a]", "''", "--3", "1..5"]
        if not option.kind.endswith("| None"):
            values.append("null")
        if option.kind.startswith("int"):
            values += ["1.5", "true2", "1e3x", "[1]"]
        if option.kind == "bool":
            values += ["perhaps", "tru", "2.5", "2", "-1", "77"]
        return self.train(f"{option.key}={self.pick(*values)}")

    def out_of_range(self) -> Line:
        option = self.pick(
            *(option for option in OPTIONS if option.metadata["minimum"] is not None or option.metadata["choices"])
        )
        choices, low, high = (option.metadata[name] for name in ("choices", "minimum", "maximum"))
        if choices:
            wrong = [self.mutated(str(choices[0]), [str(c) for c in choices]) if isinstance(choices[0], str) else 3]
        else:
            whole = option.kind.startswith(("int", "list[int]"))
            wrong = [low - 1, -(10 ** self.number(2, 30)), 10**30, 10**18]
            wrong += [] if whole else ["nan", "inf", "-inf", low - 1e-3, "1e400"]
            wrong += [] if high is None else [high + 1, high * 1000 + 1]
        value = self.pick(*wrong)
        return self.train(f"{option.key}=[{value}]" if option.kind.startswith("list") else f"{option.key}={value}")

    def impossible(self) -> Line:
        n = self.number
        lines = [
            f"trainer=ddp trainer.devices={n(200, 1024)} optim.batch_size={n(200, 1024)}",
            f"trainer.devices={n(2, 64)}",
            f"trainer=ddp trainer.num_nodes={n(2, 9)} optim.batch_size=5040",
            f"trainer=ddp trainer.devices=2 optim.batch_size={2 * n(1, 99) + 1}",
            f"trainer.precision=16-mixed trainer.accelerator={self.pick('cpu', 'tpu', 'cuda')}",
            "trainer=cpu trainer.precision=16-mixed",
            f"trainer=ddp trainer.accelerator=gpu trainer.devices={n(17, 64)} optim.batch_size=1",
            f"optim.batch_size={n(10_000, 10**9)}",
            f"data.num_classes={n(-9, 1)}",
            f"data.num_classes={n(50_000, 99_000)} data.train_images_per_class={n(10**5, 10**6)}",
            f"data.num_classes={n(6, 90)} data.train_images_per_class={n(10**9, 10**15)}",
            f"data.image_size={n(16, 32)}",
            f"model.input_size={n(65, 4096)}",
            f"model.input_size={n(1, 12)}",
            f"model.stem_kernel_size={n(49, 63)} model.stem_stride={n(1, 63)} model.input_size=20",
            f"model.stem_stride={n(24, 63)}",
            f"model.stem_padding={self.pick(n(5, 99), 'floor', '-1', '1.5')}",
            f"model.kernels=[{n(1, 999)},{n(1, 999)}]",
            f"model.kernels=[{2 * n(1, 99) + 1},256,384,384,256] model.width=1",
            f"model.units=[{n(10**7, 10**9)},{n(10**7, 10**9)}]",
            f"model.init_std=[{n(0, 3)}]",
            "model.half_kernels=true",
            "model.towers=1 model.communicating=false",
            f"model.lrn_layers=[{n(6, 99)}]",
            f"model.width={self.pick('0.01', '0.013', '0.05')}",
            f"model={self.pick('vgg11', 'vgg16', 'resnet18', 'resnet50')} model.{self.pick('lrn=false', 'towers=1')}",
            f"model={self.pick('vgg11', 'resnet18')} optim=original",
            f"optim.milestones=[0.{n(6, 9)},0.{n(1, 5)}]",
            f"data={self.pick('imagenet', 'folder', f'imagenette {NO_SERVER}', f'cifar10 {NO_SERVER}')}",
            "data.root=.",
            f"sweep={self.pick('../x', 'a/b', '.hidden', chr(39) * 2, '/tmp')}",
            "model=null",
            f"seed={self.pick(-1, 2**32, 2**70)}",
        ]
        return self.train(*self.pick(*lines).split())

    def weird(self) -> Line:
        option = self.pick(
            *(
                option
                for option in OPTIONS
                if option.kind.split(" ")[0] in ("int", "float") and "None" not in option.kind
            )
        )
        depth = self.number(2, 5000)
        return self.train(
            self.pick(
                self.text() + "§",
                f"{self.text()}§={self.text()}",
                f"{option.key}={self.text()}§",
                f"{option.key}§{self.text()}=1",
                "[" * depth,
                f"{option.key}={'[' * depth}{']' * depth}",
                f"{option.key}={'{a:' * depth}1{'}' * depth}",
                f"{option.key}={'(' * depth}",
                f"{option.key}={'x' * self.number(1000, 100_000)}",
                f"{'x.' * depth}y=1",
                "§" * depth,
                f"{option.key}=${{{self.pick('oc.env:HOME', 'nothing', 'model', option.key)}}}",
                f"model.name=${{{self.pick('oc.env:PATH', 'oc.env:ALEXNET_LAB', 'nothing:1', '')}}}",
            )
        )

    def missing_data(self) -> Line:
        source = self.pick("imagenet", "folder", "imagenette", "imagewoof", "tiny_imagenet", "cifar10")
        root = self.pick(
            "/nowhere", "nowhere", "afile", "empty", "~nobody/x", "/dev/null", "/proc/1/cwd/x", "loop", "''", "half"
        )
        fetched = source not in ("imagenet", "folder")
        url = self.pick(NO_SERVER, NO_SERVER, "data.url=ftp://x", "data.url=http://x:y", "'data.url=http://['")
        return self.train(f"data={source}", f"data.root={root}", *([url] if fetched else []))

    def hydra(self) -> Line:
        return "train.py", [
            self.pick(
                f"--{self.mutated('resume', [])}", f"-{self.pick(*'xqzk')}", "--config-name", "--config-path",
                f"--config-name={self.mutated('train', ['train'])}", "--config-path=/nowhere", "--cfg=everything",
                "--cfg",
                "--multirun=3", "--package", "--info=nothing", "--config-dir=/nowhere",
                f"hydra/launcher={self.pick('slurm', 'basix', '3')}", f"hydra/sweeper={self.pick('ax', 'optun')}",
                "hydra.launcher.sweep_retrys=2", "hydra.run.dir=/proc/nothing", "hydra.run.dir=afile",
                "hydra.run.dir=afile/x",
                "hydra.run.dir=[1,2]", "hydra.run.dir=null", "hydra.runn.dir=x", "hydra.job.chdir=perhaps",
                "hydra.run.dir=/dev/null/x", "hydra.run.dir=${nothing}",
                "hydra/job_logging=nothing", "hydra.mode=nothing", "hydra.callbacks=null",
                "hydra.callbacks.preflight=null",
            ).replace("\n", "")
        ]  # fmt: skip

    def sweep(self) -> Line:
        words = self.pick(
            "model.lrn=true,true", "seed=0,1,0", "sweep=a,b", "model.towers=1,3", "model=mini,minni", "seed=range(3,0)",
            "seed=range(0,1,0)", "seed=choice()", "seed=interval(0,1)", "model=glob(nothing*)", "seed=0,", "seed=,0",
            "seed=0,-1", "trainer.max_epochs=1,soon", "hydra.sweeper.experiment=nothing", "hydra.launcher.jobs=0",
            "hydra.launcher.jobs=-3", "hydra.launcher.jobs=many", "hydra.launcher.sweep_retries=-1",
            "hydra.launcher.sweep_retries=x", "seed=range(0,100000000)",
            "seed=range(1000) optim.batch_size=range(1,900)",
            "seed=shuffle(range(0,10**9))", "hydra.launcher.jobs=1e9", "seed=range(0,inf)", "seed=range(0,1e18)",
            "seed=0,1 y",
        )  # fmt: skip
        return "train.py", ["-m", *words.split(" ")] if words.endswith(" y") else ["-m", *words.split()]

    def reproduce(self) -> Line:
        n = self.number
        words = self.pick(
            f"seeds={self.pick(0, -1, 'three', 1.5, 10**9, '', '٣')}", f"jobs={self.pick(0, -2, 'two', '', 'null')}",
            f"experiment={self.mutated('ablations', ['ablations'])}", "experiment=../ablations", "experiment=",
            f"data={self.mutated('fractals', GROUPS['data'])}", f"data=cifar10 {NO_SERVER}",
            "data=imagenet", "data=imagenet data.root=/nowhere",
            f"seed={n(0, 9)}", "model.dropout=0,0.5", "sweep=a/b", "sweep='x'", "sweep=..", "loud", "--fast", "-m",
            "=", "==",
            f"{self.mutated('model.lrn', known_keys())}=true", "seeds=1 seeds=2", "sweep_retries=-1", "sweep_retries=x",
            f"optim.batch_size={n(9000, 10**9)}", f"model.lrn={self.text()}§", f"{self.text()}§",
            "trainer=ddp trainer.devices=7",
            "trainer.max_epochs=0", "stat", "hydra.launcher.jobs=0", "data.root=/nowhere", "'", "a=b=c", "model=",
        )  # fmt: skip
        return "reproduce.py", [words] if "§" in words else words.split(" ")

    def status(self) -> Line:
        words = self.pick(
            "sweep=nothing", "sweep=/nowhere", "sweep=afile", "experiment=nothing", "seeds=0 experiment=ablations", "x",
            "sweep=a seeds=3", "model.lrn=true", f"sweep={self.text()}§", "sweep=", "sweep=/dev/null", "sweep=~nobody",
            "experiment=ablations sweep=a/b", "sweep=a sweep=b",
        )  # fmt: skip
        return "reproduce.py", ["status", *([words] if "§" in words else words.split())]

    def file(self) -> str:
        return self.pick(
            "nothing", "/nowhere/x", "afile", "garbage", "empty", "/dev/null", "/dev/zero", "loop", "hollow",
            "~nobody/x",
            f"{self.text()}§", "x" * 5000, "half", "link", ".", "/", "pipe",
        )  # fmt: skip

    def export(self) -> Line:
        run, weights = f"run={self.file()}", f"weights={self.file()}"
        form, out = "format=safetensors", "out=out.safetensors"
        return "export.py", self.pick(
            [], [run], [run, form], [run, form, out], [weights, form, out], [run, weights, form, out], [form, out],
            [run, f"format={self.mutated('onnx', ['onnx', 'safetensors', 'state_dict'])}", out],
            [run, form, out, "checkpoint=first"], [weights, form, out, "checkpoint=best"], [run, form,
            "out=/nowhere/x"],
            [run, form, "out=empty"], [run, form, "out=/proc/x"], [run, form, f"out={'y' * 4000}"], [run, form, out,
            out],
            [run, form, out, f"{self.mutated('checkpoint', ['checkpoint'])}=last"], [self.text() + "§"], ["--fast"],
            [run, form, "out="], [weights, "format=onnx", f"out={self.text()}/§/x"],
        )  # fmt: skip

    def import_weights(self) -> Line:
        file, out = f"file={self.file()}", "out=out.safetensors"
        return "import_weights.py", self.pick(
            [], [file], [out], [file, out], [file, out], [file, out], [file, out], [file, out, file],
            [file, out, f"{self.mutated('file', ['file', 'out'])}=x"], [file, "out=/nowhere/x"], [file, "out=empty"],
            [self.text() + "§"], [file.partition("=")[2], out], ["file="], [file, "out=/dev/full/x"],
        )  # fmt: skip

    def others(self) -> Line:
        """Every other entry point that there is: whatever its keys are, these are none."""
        known = {"train.py", "reproduce.py", "export.py", "import_weights.py"}
        scripts = sorted({file.name for file in SOURCE.glob("*.py")} - known)
        if not scripts:
            return self.train("model.lnr=true")
        return self.pick(*scripts), self.pick(
            [f"{self.mutated('run', [])}§={self.file()}"], [self.text() + "§"], [f"run={self.file()}", "views=§"],
            [f"source={self.text()}§"], ["data=nothing§"], ["--fast§"], [f"root=/nowhere/{self.text()}§"],
        )  # fmt: skip


def furnish(folder: Path) -> None:
    """What bad command lines name: files that are no good, and folders without what is looked for."""
    (folder / "afile").write_text("text\n")
    (folder / "garbage").write_bytes(random.Random(0).randbytes(5000))
    (folder / "hollow").write_bytes(b"")
    (folder / "empty").mkdir()
    for split in ("train", "val"):
        (folder / "half" / split).mkdir(parents=True)
    (folder / "half" / "train" / "elm").mkdir()
    (folder / "link").symlink_to("nothing")
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe")


def contents(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def fault(line: Line, folder: Path, seconds: float) -> str | None:
    """What is wrong with how the program takes a bad command line; None where it is as it should be, in that time."""
    script, arguments = line
    words = [os.fsencode(word.replace("\x00", "")) for word in arguments]
    before = contents(folder)
    process = subprocess.Popen(
        [sys.executable, str(SOURCE / script), *words],
        cwd=folder,
        env=one_thread(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,
    )
    try:
        stderr = process.communicate(timeout=seconds)[1].decode(errors="replace")
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.communicate()
        return f"has not ended in {seconds:.0f} s"
    if process.returncode == 0:
        return "exited 0"
    if "Traceback" in stderr:
        return "a traceback: " + stderr[-1500:]
    if process.returncode < 0:
        return f"died of signal {-process.returncode}"
    if not 1 <= len(stderr.splitlines()) <= LINES:
        return f"{len(stderr.splitlines())} lines on standard error: {stderr[:500]!r}"
    if contents(folder) != before:
        return f"left {sorted(set(contents(folder)) ^ set(before))} behind"
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    faults, slowest = 0, 0.0
    lines = iter(Generator(options.seed))
    for number in range(options.count):
        line = next(lines)
        with tempfile.TemporaryDirectory() as name:
            furnish(Path(name))
            started = time.monotonic()
            wrong = fault(line, Path(name), SECONDS)
            slowest = max(slowest, time.monotonic() - started)
        if wrong:
            faults += 1
            said = json.dumps([line[0], *(word[:200] for word in line[1])])
            print(f"{number}: {said}\n    {wrong}", flush=True)
    print(
        json.dumps(
            {"command_lines": options.count, "seed": options.seed, "faults": faults, "slowest_s": round(slowest, 1)}
        )
    )
    sys.exit(faults > 0)


if __name__ == "__main__":
    main()
