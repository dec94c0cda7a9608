"""What pyproject.toml cannot say: a wheel holds the scripts, conf/ and experiments/, as alexnet_lab/shipped/.

There they lie as in a checkout, so that every path between them is the same. An editable install uses the checkout's.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithFiles(build_py):
    def _shipped(self) -> dict[str, str]:
        """Each file in the build folder, and where it is from."""
        options = [file for file in Path("conf").rglob("*.yaml") if Path("conf", "local") not in file.parents]
        files = [*Path("src").glob("*.py"), *options, *Path("experiments").rglob("*.yaml")]
        return {str(Path(self.build_lib, "alexnet_lab", "shipped", file)): str(file) for file in sorted(files)}

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for target, file in self._shipped().items():
                self.mkpath(str(Path(target).parent))
                self.copy_file(file, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        return [*super().get_outputs(include_bytecode), *([] if self.editable_mode else self._shipped())]


setup(cmdclass={"build_py": BuildWithFiles})
