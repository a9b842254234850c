"""The command line as a process: its streams, the signals that end it, and how it ends."""

from __future__ import annotations

import functools
import os
import signal
import sys
import warnings
from collections.abc import Callable
from typing import Any, NoReturn, ParamSpec, TypeVar

import typer

from semrsm.cli.console import drop_stdout, flush, say
from semrsm.errors import SemrsmError
from semrsm.storage.whole_files import forget_written, written

P = ParamSpec("P")
R = TypeVar("R")

FAILED = 1
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
AGAIN = 0.05  # seconds after which a signal that Python lost is sent once more


def ends_well(command: Callable[P, R]) -> Callable[P, R]:
    """Have a command end as documented: 1 with one sentence, and well when its reader has read enough."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        forget_written()
        try:
            result = command(*args, **kwargs)
            flush()
            return result
        except SemrsmError as error:
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
        drop_stdout()
        why = getattr(error, "strerror", None) or error
        say("; ".join([f"semrsm: {why}", *_outcome(error)]))
        return FAILED
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
    """A signal has come that ends the process; temporary files are removed on its way out."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.signal = number


def _terminate(number: int, _: object) -> None:
    # Another one comes while temporary files are removed, and is one too many; but for Ctrl-\.
    for other in ENDING:
        if signal.getsignal(other) is _terminate:
            end_now = other == signal.SIGQUIT != number
            signal.signal(other, signal.SIG_DFL if end_now else signal.SIG_IGN)
    raise Terminated(number)


def _send_again(lost: Any) -> None:
    """Raise a signal anew that came where Python drops what is raised, such as in a destructor."""
    error = lost.exc_value
    if not isinstance(error, Terminated):
        sys.__unraisablehook__(lost)
        return
    signal.signal(signal.SIGALRM, lambda *_: _terminate(error.signal, None))
    signal.setitimer(signal.ITIMER_REAL, AGAIN)


def _outcome(error: BaseException) -> list[str]:
    """Return what is there after an error: the outputs that were written, and what was noted on its way."""
    outputs = [str(out) for out in written()]
    verb = "was" if len(outputs) == 1 else "were"
    notes: list[str] = getattr(error, "__notes__", [])
    return [*([f"{', '.join(outputs)} {verb} written"] if outputs else []), *notes]


def _leave(error: Terminated) -> NoReturn:
    """End the process at once: threads may be deep in a solver, waiting would look like a hang."""
    why = "interrupted" if error.signal == signal.SIGINT else "terminated"
    say("; ".join([f"semrsm: {why}", *(_outcome(error) or ["no output was written"])]))
    os._exit(128 + error.signal)
