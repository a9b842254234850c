"""The command line as a process: its streams, the signals that end it, and how it ends."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable
from types import FrameType
from typing import Any, ClassVar, NoReturn, ParamSpec, TypeVar

import typer
from typer.core import TyperCommand

from semrsm.cli.console import drop_stdout, flush, say
from semrsm.errors import SemrsmError
from semrsm.storage.hdf5_lock import is_at_work
from semrsm.storage.temporary_files import remove_all_temporary
from semrsm.storage.whole_files import forget_outputs, outputs_of_process

P = ParamSpec("P")
R = TypeVar("R")

FAILED = 1
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
AGAIN = 0.01  # seconds after which a signal is seen to that came at the wrong moment
GRACE = 1.0  # seconds in which temporary files are removed, whatever else comes


def ends_well(command: Callable[P, R]) -> Callable[P, R]:
    """Have a command end as documented: 1 with one sentence, and well when its reader has read enough."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        forget_outputs()
        try:
            result = command(*args, **kwargs)
            flush()
            return result
        except SemrsmError as error:
            _require_no_signal(error)
            say("; ".join([f"semrsm: {error}", *_outcome(error)]))
            raise typer.Exit(FAILED) from None
        except BrokenPipeError:
            drop_stdout()
            raise typer.Exit(0) from None
        except MemoryError as error:
            why = f"memory ran out ({error or 'of this process'}); choose fewer samples or layers"
            say("; ".join([f"semrsm: {why}, or have more of it", *_outcome(error)]))
            raise typer.Exit(FAILED) from None

    return run


class CheckedCommand(TyperCommand):
    """A command whose flags have their values refused as its own checks refuse them: 1, one sentence.

    Unknown flags and missing arguments are wrong usage, which ends with 2 and a hint to --help.
    Its help is the command's docstring, whose lines are wrapped anew for the terminal.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        paragraphs = (self.help or "").split("\n\n")
        self.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments."""
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            if type(error) is not typer.BadParameter or error.param is None:
                raise
            flag = max(error.param.opts, key=len)
            name = flag if flag.startswith("-") else error.param.metavar or flag
            say(f"semrsm: {name} {_problem_of(error)}; change it")
            raise typer.Exit(FAILED) from None


# What the validator calls values that do not fit, and what a person calls the thing that was wanted.
KINDS_OF_VALUE = {
    "int_parsing": "a whole number",
    "float_parsing": "a number",
    "greater_than_equal": "at least {ge}",
}


def _problem_of(error: typer.BadParameter) -> str:
    """Say what is wrong with the value of a flag: what came and what was wanted, where that is known."""
    find_faults = getattr(error.__cause__, "errors", None)  # of Pydantic's ValidationError
    for fault in find_faults() if find_faults else ():
        if kind := KINDS_OF_VALUE.get(fault["type"]):
            return f"is '{fault['input']}', not {kind.format(**fault.get('ctx', {}))}"
    return f"has a value that does not fit: {error.message.rstrip('.')}"


def run_process(commands: Callable[[], object]) -> NoReturn:
    """Run a command line in a process of its own, and end it.

    A signal ends it in one sentence, with its temporary files removed; one that is ignored, as SIGHUP
    is under nohup, stays so.
    """
    _prepare()
    try:
        code = _run(commands)
        for number in ENDING:  # all is done and said
            if signal.getsignal(number) is _terminate:
                signal.signal(number, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, 0)  # a signal that was put off has come too late
    except Terminated as error:
        _leave(error)
    sys.exit(code)


def _run(commands: Callable[[], object]) -> Any:
    """Return the exit code of a command line."""
    code: Any = 0
    try:
        try:
            commands()
        except SystemExit as ended:
            code = ended.code
        flush()
    except BrokenPipeError:
        drop_stdout()
    except (SemrsmError, OSError) as error:  # of stdout, to which help and version are printed
        _require_no_signal(error)
        drop_stdout()
        where = getattr(error, "filename", None)
        why = getattr(error, "strerror", None) or error
        say("; ".join([f"semrsm: {where}: {why}" if where else f"semrsm: {why}", *_outcome(error)]))
        return FAILED
    except Exception as error:
        _require_no_signal(error)
        raise
    return code


def _prepare() -> None:
    # A file that takes the number of a closed stream would be written to by whoever means the stream.
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    os.environ["MPLBACKEND"] = "agg"  # pictures go to files, whatever the user draws with
    warnings.showwarning = lambda message, *_: say(f"note: {message}")
    sys.unraisablehook = _send_again
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, _terminate)


class Terminated(BaseException):
    """A signal has come that ends the process; temporary files are removed on its way out.

    A library may swallow it, or raise something else in its place. So the last one is known, and a
    later signal raises it anew.
    """

    last: ClassVar[Terminated | None] = None

    def __init__(self, number: int) -> None:
        super().__init__()
        self.signal = number
        self.when = time.monotonic()

    def with_notes_of(self, error: BaseException) -> Terminated:
        """Return it with what was noted on the way of the error that came in its place."""
        for note in getattr(error, "__notes__", []):
            self.add_note(note)
        return self


def _terminate(number: int, frame: FrameType | None) -> None:
    last = Terminated.last
    # An error raised inside contextlib reaches neither the block nor its manager: nothing would be tidied.
    between = frame is not None and frame.f_code.co_filename == contextlib.__file__
    if between or is_at_work():
        _terminate_later(number)
    elif last is None or time.monotonic() - last.when > GRACE:
        if signal.getsignal(signal.SIGQUIT) is _terminate:  # Ctrl-\ ends at once what does not end
            signal.signal(signal.SIGQUIT, signal.SIG_DFL)
        Terminated.last = Terminated(number)
        raise Terminated.last


def _require_no_signal(error: BaseException) -> None:
    """Raise the signal that has come instead of an error: a library may have made the one of the other.

    shutil.rmtree, say, closes a folder again whose closing a signal has ended, and Python 3.11 raises
    a RuntimeError for what comes while it makes a class.
    """
    if Terminated.last is not None:
        raise Terminated.last.with_notes_of(error) from None


def _send_again(lost: Any) -> None:
    """Raise a signal anew that came where Python drops what is raised, such as in a destructor."""
    if isinstance(lost.exc_value, Terminated):
        Terminated.last = None
        _terminate_later(lost.exc_value.signal)
    else:
        sys.__unraisablehook__(lost)


def _terminate_later(number: int) -> None:
    signal.signal(signal.SIGALRM, lambda _, frame: _terminate(number, frame))
    signal.setitimer(signal.ITIMER_REAL, AGAIN)


def _outcome(error: BaseException) -> list[str]:
    """Return what is there after an error: the outputs that were written, and what was noted on its way."""
    outputs = [str(out) for out in outputs_of_process()]
    verb = "was" if len(outputs) == 1 else "were"
    notes: list[str] = getattr(error, "__notes__", [])
    return [*([f"{', '.join(outputs)} {verb} written"] if outputs else []), *notes]


def _leave(error: Terminated) -> NoReturn:
    """End the process at once: threads may be deep in a solver, waiting would look like a hang."""
    for number in (*ENDING, signal.SIGALRM):  # nor does one end it that was put off
        signal.signal(number, signal.SIG_IGN)
    remove_all_temporary()
    why = "interrupted" if error.signal == signal.SIGINT else "terminated"
    say("; ".join([f"semrsm: {why}", *(_outcome(error) or ["no output was written"])]))
    os._exit(128 + error.signal)
