"""Finding the services in Python modules."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import sysconfig
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from ..errors import LoadError, SlingshotError
from ..microservice import Microservice, collect_services

__all__ = ["load_service", "load_services"]

_PACKAGE = str(Path(__file__).resolve().parents[1])


def load_services(modules: Sequence[str]) -> list[Microservice]:
    """Import modules and return the services in them.

    A service is one that the module starts while it is imported (it is not run), or one that is
    a variable of the module.

    Args:
        modules: Dotted names, or paths of ``.py`` files. The current folder comes first when
            names are looked up.

    Raises:
        LoadError: A module is not there or cannot be imported, or no service was found.
    """
    _put_first(Path.cwd())
    found = [service for name in dict.fromkeys(modules) for service in _services_in(_load(name))]
    return _distinct(found, modules)


def load_service(target: str) -> Microservice:
    """Import a module and return the one service in it, or the one that is named.

    Args:
        target: A module as for `load_services`; after a colon, if there are several services in
            it, the variable that holds one, or the name of a service.

    Raises:
        LoadError: As `load_services`; or there is no such service, or there are several.
    """
    name, colon, wanted = target.rpartition(":")
    if not colon or "/" in wanted or "\\" in wanted:
        name, wanted = target, ""
    _put_first(Path.cwd())
    loaded = _load(name)
    services = _distinct(_services_in(loaded), [name])
    if not wanted:
        if len(services) > 1:
            names = ", ".join(f"{name}:{service.name}" for service in services)
            raise LoadError(f"there are {len(services)} services in {name}; name one: {names}")
        return services[0]
    variable = vars(loaded.module).get(wanted)
    if isinstance(variable, Microservice):
        return variable
    for service in services:
        if service.name == wanted:
            return service
    names = ", ".join(repr(service.name) for service in services)
    raise LoadError(f"there is no service {wanted!r} in {name}; there is {names}")


class _Loaded(NamedTuple):
    module: ModuleType
    started: list[Microservice]


def _services_in(loaded: _Loaded) -> list[Microservice]:
    values = vars(loaded.module).values()
    return [*loaded.started, *(value for value in values if isinstance(value, Microservice))]


def _distinct(found: Sequence[Microservice], modules: Sequence[str]) -> list[Microservice]:
    services = list({id(service): service for service in found}.values())
    if not services:
        raise LoadError(
            f"there is no service in {', '.join(modules)}: neither a call of .start() nor a "
            "variable that is a Microservice was found at the top level (what stands under "
            '`if __name__ == "__main__":` is not seen)'
        )
    return services


def _load(name: str) -> _Loaded:
    with collect_services() as started:
        module = _load_module(name)
    return _Loaded(module, started)


def _load_module(name: str) -> ModuleType:
    if name.endswith(".py") or "/" in name or "\\" in name:
        return _load_file(name)
    if not all(part.isidentifier() for part in name.split(".")):
        raise LoadError(
            f"{name!r} is neither the dotted name of a module nor the path of a .py file"
        )
    with _errors_in_one_line(name):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise  # it is there, and what it imports is not
            raise LoadError(
                f"there is no module {error.name} in {Path.cwd()} or on Python's path; expected "
                "the dotted name of a module, or the path of a .py file"
            ) from None


def _load_file(name: str) -> ModuleType:
    path = Path(name)
    if not path.is_file() or path.suffix != ".py":
        problem = "it is no Python file" if path.exists() else "there is no such file"
        raise LoadError(f"cannot load {name}: {problem}; expected the path of a .py file")
    if path.parent.resolve() not in [Path(entry).resolve() for entry in sys.path]:
        sys.path.insert(1, str(path.parent.resolve()))  # for what lies beside it
    module_name = _unused_name(path.stem)
    spec = importlib.util.spec_from_file_location(module_name, path.resolve())
    if spec is None or spec.loader is None:
        raise LoadError(f"cannot load {name}: Python does not know how")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    with _errors_in_one_line(name):
        spec.loader.exec_module(module)
    return module


def _put_first(folder: Path) -> None:
    if sys.path[:1] != [str(folder)]:
        sys.path.insert(0, str(folder))


def _unused_name(stem: str) -> str:
    """Return a name that hides no other module, so that a service may lie in ``queue.py``."""
    name, number = stem, 1
    while name in sys.modules or name in sys.stdlib_module_names:
        number += 1
        name = f"{stem}_{number}"
    return name


@contextmanager
def _errors_in_one_line(name: str) -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, LoadError):
        raise
    except SyntaxError as error:
        place = f" ({error.filename}:{error.lineno})" if error.filename else ""
        raise LoadError(f"cannot load {name}: SyntaxError: {error.msg}{place}") from error
    except BaseException as error:
        frame = _user_frame(error)
        place = f" ({frame.filename}:{frame.lineno})" if frame else ""
        kind = "" if isinstance(error, SlingshotError) else f"{type(error).__name__}: "
        raise LoadError(f"cannot load {name}: {kind}{error}{place}") from error


def _user_frame(error: BaseException) -> traceback.FrameSummary | None:
    """Return where the error came up: the innermost frame in a user's file, else in a library."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename[:1] != "<"]
    paths = sysconfig.get_paths()
    libraries = tuple(paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    outside = [f for f in frames if not f.filename.startswith(_PACKAGE)]
    users = [f for f in outside if not f.filename.startswith(libraries)]
    return next(reversed(users or outside), None)
