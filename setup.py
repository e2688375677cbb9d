"""Builds the compiled hot path; everything else about the package is in pyproject.toml.

Without a compiler the package is installed all the same, as pure Python, and says so.
``SLINGSHOT_REQUIRE_EXTENSIONS=1`` makes that an error, ``SLINGSHOT_NO_EXTENSIONS=1`` does not try
(the wheel is then one for every platform), ``SLINGSHOT_WARNINGS_ARE_ERRORS=1`` is for our own CI.

There is one wheel for every version of Python, and none for all of them (abi3): docs/packaging.md
has the figures.
"""

import os
import sys

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext


def is_set(name: str) -> bool:
    """Tell whether an environment variable asks for something."""
    return os.environ.get(name, "") not in ("", "0")


NO_EXTENSIONS = is_set("SLINGSHOT_NO_EXTENSIONS")
REQUIRE_EXTENSIONS = is_set("SLINGSHOT_REQUIRE_EXTENSIONS")
WARNINGS_ARE_ERRORS = is_set("SLINGSHOT_WARNINGS_ARE_ERRORS")

if NO_EXTENSIONS and REQUIRE_EXTENSIONS:
    sys.exit("SLINGSHOT_NO_EXTENSIONS and SLINGSHOT_REQUIRE_EXTENSIONS are both set; unset one")


class BuildExtensions(build_ext):
    """Says what it means for the user when setuptools goes on without an extension."""

    def run(self) -> None:
        """Build, and look whether there is something now."""
        super().run()
        if not all(os.path.exists(self.get_ext_fullpath(one.name)) for one in self.extensions):
            self.warn(
                "the hot path could not be compiled (see above); slingshot-microservice is "
                "installed as pure Python, which is slower and does the same"
            )


def compiler_arguments() -> list[str]:
    """Return the flags for gcc and clang; other compilers get their own defaults."""
    if sys.platform == "win32":
        return []
    warnings = ["-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-unused-function"]
    return ["-O3", *warnings, *(["-Werror"] if WARNINGS_ARE_ERRORS else [])]


EXTENSIONS = [
    Extension(
        "slingshot_microservice.hotpath._compiled",
        ["slingshot_microservice/hotpath/_compiled.pyx"],
        extra_compile_args=compiler_arguments(),
        # setuptools then reports a failed build and goes on without the extension.
        optional=not REQUIRE_EXTENSIONS,
    )
]

setup(
    ext_modules=[] if NO_EXTENSIONS else EXTENSIONS,
    cmdclass={"build_ext": BuildExtensions},
)
