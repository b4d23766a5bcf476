"""What the compiled loops share: how they are compiled and kept, and copying bytes.

A kernel is compiled at its first call and kept on disk: next to the sources, or in the user's cache
folder, or, where neither can be written, in the folder for temporary files.
"""

from __future__ import annotations

import atexit
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from llvmlite import ir
from llvmlite.binding import parse_assembly
from numba import config, njit, types
from numba.core import cgutils
from numba.core import event as events
from numba.core.caching import FunctionCache
from numba.core.compiler import Compiler
from numba.core.errors import TypingError
from numba.core.registry import CPUDispatcher as Dispatcher
from numba.core.runtime import rtsys
from numba.core.sigutils import normalize_signature
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin


def _can_keep_code() -> bool:
    """Make sure that there is a cache folder that can be written; Numba refuses to define a cached
    function without one.

    Where the usual ones cannot be written (beside the code, and the user's cache folder), it is one
    in the folder for temporary files. It stays there for the next time, unless somebody else could
    have written code into it.
    """
    if _has_usual_place():
        try:
            njit(cache=True)(lambda: None)
            return True
        except RuntimeError:
            pass
    try:
        user_id = os.getuid() if hasattr(os, "getuid") else "user"
        folder = Path(tempfile.gettempdir()) / f"vlmgym-kernels-{user_id}"
        folder.mkdir(mode=0o700, exist_ok=True)
        if not _is_ours_alone(folder):
            folder = Path(tempfile.mkdtemp(prefix="vlmgym-kernels-"))
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
    except OSError:
        return False
    os.environ["NUMBA_CACHE_DIR"] = config.CACHE_DIR = str(folder)
    return True


def _is_ours_alone(folder: Path) -> bool:
    """Whether nobody else could have written into a folder; true where a system does not tell."""
    if not hasattr(os, "getuid"):
        return True
    status = folder.lstat()
    return (
        status.st_uid == os.getuid() and not status.st_mode & 0o077 and stat.S_ISDIR(status.st_mode)
    )


def _has_usual_place() -> bool:
    """Whether Numba may look for one itself: without a home it would make a folder ``~`` wherever
    the process stands.
    """
    if (
        config.CACHE_DIR
        or os.environ.get("XDG_CACHE_HOME")
        or os.path.isabs(os.path.expanduser("~"))
    ):
        return True
    beside = Path(__file__).with_name("__pycache__")
    return os.access(beside if beside.exists() else beside.parent, os.W_OK)


class _CodeCache(FunctionCache):  # type: ignore[misc]
    """Machine code on disk, used as long as the files from which it was compiled are the same.

    Numba looks at the file of the function alone, though the code holds that of all kernels which
    it calls; here their files are looked at too. Reading it loads nothing that only compiling
    needs; Numba's own cache would load all of its compiler, and parts of SciPy.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        stamps = [_stamp_of(module) for module in sorted(_sources_of(function.__module__))]
        self._cache_file._source_stamp = (self._cache_file._source_stamp, *stamps)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        rtsys.initialize(target_context)
        with self._guard_against_spurious_io_errors():
            overload = self._load_overload(sig, target_context)
            # what is compiled around it needs the same
            if overload is not None and _can_need(overload.library):
                overload.library._reload_init.update(overload.reload_init)
            return overload


def _sources_of(module: str, found: set[str] | None = None) -> set[str]:
    """Names of the modules whose code may be in the kernels of a module: those from which it has
    kernels or anything of this package, and those from which these have theirs.
    """
    found = set() if found is None else found
    if module in found or module not in sys.modules:
        return found
    found.add(module)
    for origin in _origins_of(module):
        _sources_of(origin, found)
    return found


_origins: dict[str, set[str]] = {}
"""What :func:`_origins_of` says of modules that are loaded to their end."""


def _origins_of(module: str) -> set[str]:
    """Names of the modules from which a module has kernels or anything of this package."""
    if module in _origins:
        return _origins[module]
    origins = set()
    for value in list(vars(sys.modules[module]).values()):
        origin = getattr(value, "__module__", None)
        of_package = isinstance(origin, str) and origin.partition(".")[0] == "vlmgym"
        if of_package or isinstance(value, Dispatcher):
            origins.add(value.__module__)
    spec = sys.modules[module].__spec__
    if spec is not None and not getattr(spec, "_initializing", False):
        _origins[module] = origins
    return origins


@cache
def _stamp_of(module: str) -> tuple[str, float, int]:
    """A module's name with the time and the bytes of its file when this process began with it."""
    path = getattr(sys.modules[module], "__file__", None)
    if not path or not os.path.exists(path):
        return module, 0.0, 0
    status = os.stat(path)
    return module, status.st_mtime, status.st_size


_CAN_CACHE = _can_keep_code()
_OPTIONS = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}


def kernel(function: Callable[..., Any]) -> Any:
    """Decorator of the compiled functions; they hold no lock, so several threads may run them.

    Numba tells machine code apart by the function's name, its types and a number that begins anew
    in each process. Of two functions of one name (a definition with other variables around it) one
    may be taken for the other, when one comes from disk and one is compiled, as happens where
    several processes start at once on a new machine. So kernels that are made inside of a function
    need a ``__qualname__`` each. See https://github.com/numba/numba/issues/10486.

    Raises:
        ValueError: the name is not the kernel's own.
    """
    return _compiled(function)


def inner(function: Callable[..., Any], **options: Any) -> Any:
    """A :func:`kernel` that only kernels call: Python cannot call it, which saves a third of the
    time to compile a small one.
    """
    compiled = _compiled(function, no_cpython_wrapper=True, **options)

    def refuse(*arguments: Any, **keywords: Any) -> Any:
        raise TypeError(f"{function.__qualname__} is an inner kernel, which only kernels can call")

    compiled._insert = lambda *entry, **keywords: None  # nothing to call from Python
    compiled._compile_for_args = refuse
    return compiled


def apart(function: Callable[..., Any]) -> Any:
    """An :func:`inner` kernel of many instructions that is compiled once: its callers jump into it
    and hold no copy of it.

    Numba copies the instructions of an inner kernel into all its callers, where they are optimised
    and turned into machine code again, and once more in the callers of these. Here the callers get
    only a name, which is the same in all processes. So a caller that is read from disk first loads
    the kernel that it calls.
    """
    compiled = inner(function, pipeline_class=_Named)
    compile_types_and_keep = compiled.compile

    def compile_once(sig: Any) -> Any:
        entry = compile_types_and_keep(sig)
        arguments, _ = normalize_signature(sig)
        library = compiled.overloads[tuple(arguments)].library
        if _can_need(library):
            needed = _Needed(function.__module__, function.__qualname__, tuple(arguments))
            library._reload_init.add(needed)
        return entry

    compile_types = compiled._compiler.compile

    def hide(arguments: Any, result: Any) -> Any:
        compilation = compile_types(arguments, result)
        if _can_need(compilation.library):
            empty = compilation.library.codegen._create_empty_module(compilation.library.name)
            compilation.library._shared_module = parse_assembly(str(empty))
        return compilation

    compiled.compile = compile_once
    compiled._compiler.compile = hide
    return compiled


def _can_need(library: Any) -> bool:
    """Whether this Numba lets code say what must be there before it; an older one copies what is
    called into its callers.
    """
    return hasattr(library, "_reload_init")


class _Named(Compiler):  # type: ignore[misc]
    """A compiler that names a function without the number that Numba gives it in this process."""

    def _compile_bytecode(self) -> Any:
        self.state.func_id.unique_id = 0
        return super()._compile_bytecode()


class _Needed(NamedTuple):
    """A kernel :func:`apart` that a caller needs. It is stored with the caller, and called before
    the caller is read from disk.
    """

    module: str
    name: str
    arguments: tuple[Any, ...]

    def __call__(self) -> None:
        getattr(import_module(self.module), self.name).compile(self.arguments)


def _compiled(function: Callable[..., Any], **options: Any) -> Any:
    if "<locals>" in function.__qualname__:
        raise ValueError(
            f"kernel {function.__qualname__}: allowed is a __qualname__ that no other kernel has"
        )
    dispatcher = njit(**_OPTIONS, **options)(function)
    if _CAN_CACHE:
        dispatcher._cache = _CodeCache(function)
    usual_template = dispatcher.get_call_template

    def template(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """One version for all values: Numba would compile a version for each number that is written
        at a call.
        """
        return usual_template(
            tuple(types.unliteral(kind) for kind in arguments),
            {name: types.unliteral(kind) for name, kind in keywords.items()},
        )

    dispatcher.get_call_template = template
    return dispatcher


def instructions(
    plain: Callable[..., Any], result: Any, *arguments: Any
) -> Callable[[Callable[..., Any]], Any]:
    """Decorator of ``build(builder, *values)``, which writes what kernels do where they call the
    Python function ``plain``.

    So a few instructions that all kernels use are one function for Python and for kernels, and
    never compiled by themselves.

    Args:
        plain: what Python calls.
        result: Numba type of the value.
        arguments: Numba types that the arguments are turned into.
    """

    def join(build: Callable[..., Any]) -> Callable[..., Any]:
        cases = [signature(result, *arguments)]
        template = type(plain.__name__, (ConcreteTemplate,), {"key": plain, "cases": cases})
        infer_global(plain, types.Function(template))
        lower_builtin(plain, *arguments)(
            lambda context, builder, signature, values: build(builder, *values)
        )
        return build

    return join


@intrinsic
def move(context, target, offset, source, start, count):  # type: ignore[no-untyped-def]
    """``target[at : at + count] = source[start : start + count]`` for arrays of one type, read
    flat, with no check of bounds.

    (``target[k] = source[k]`` of arrays of rows would compile the text of an error about shapes,
    for three seconds.)
    """
    if target.dtype != source.dtype:
        raise TypingError(f"move from {source.dtype} to {target.dtype}")

    def build(context, builder, signature, values):  # type: ignore[no-untyped-def]
        def address(index):  # type: ignore[no-untyped-def]
            array = context.make_array(signature.args[index])(context, builder, values[index])
            return builder.gep(array.data, [values[index + 1]])

        cgutils.raw_memcpy(builder, address(0), address(2), values[4], target.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(target, types.intp, source, types.intp, types.intp), build


@intrinsic
def bit_length(context, number):  # type: ignore[no-untyped-def]
    """Bits of a non-negative int64 without its leading zeros; 0 for 0."""

    def build(context, builder, signature, values):  # type: ignore[no-untyped-def]
        zeros = builder.ctlz(values[0], ir.Constant(ir.IntType(1), 0))
        return builder.sub(ir.Constant(ir.IntType(64), 64), zeros)

    return types.int64(types.int64), build


# ---- the first compiling
class _Progress(events.Listener):  # type: ignore[misc]
    """What is said while kernels are compiled, which happens once on a machine.

    On a terminal a line that is written over and over; else, in pipes and notebooks, one plain line
    at the first.
    """

    def __init__(self) -> None:
        self.depth = 0
        self.count = 0
        self.started = 0.0
        self.seconds = 0.0

    def on_start(self, event: Any) -> None:
        is_ours = _is_of_vlmgym(event)
        if self.depth == 0:
            self.started = time.perf_counter()
            if is_ours and not self.seconds and sys.stderr is not None and not sys.stderr.isatty():
                sys.stderr.write(
                    "compiling vlmgym (once on a machine; vlmgym compile does all of it): some "
                    "seconds a game\n"
                )
                sys.stderr.flush()
        self.depth += 1

    def on_end(self, event: Any) -> None:
        self.depth -= 1
        if self.depth or not _is_of_vlmgym(event):
            return
        self.count += 1
        self.seconds += time.perf_counter() - self.started
        if sys.stderr is not None and sys.stderr.isatty():
            kernels = f"{self.count} kernels, {self.seconds:.1f} s"
            sys.stderr.write(f"\rcompiling vlmgym (once on a machine): {kernels}")
            sys.stderr.flush()


def _is_of_vlmgym(event: Any) -> bool:
    """Whether it is a kernel of this package that is compiled."""
    return event.data["dispatcher"].py_func.__module__.startswith("vlmgym")


progress = _Progress()
events.register("numba:compile", progress)
