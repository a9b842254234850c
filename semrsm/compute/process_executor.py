"""An executor of one process that has several things in work at once, each in a thread."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from typing import Any

from semrsm.errors import SemrsmError


class ThreadsOfProcess(Executor):
    """Calls functions in threads of another process.

    ProcessPoolExecutor gives a process one thing after the other; a device would wait in between. The
    process is started by the first call. When it dies, all that it had in work fails with
    BrokenProcessPool; when this process dies, so does the other one.
    """

    def __init__(self, threads: int) -> None:
        """Prepare to call functions in `threads` threads."""
        self._threads, self._numbers = threads, itertools.count()
        self._futures: dict[int, Future[Any]] = {}
        self._turn = threading.Lock()
        self._process: Any = None
        self._is_broken = False

    def submit(self, call: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        """Have a function called; raises BrokenProcessPool if the process has died.

        Raises OSError if it cannot be started.
        """
        future: Future[Any] = Future()
        with self._turn:
            if self._process is None:
                self._start()
            if self._is_broken:
                raise BrokenProcessPool("the process has died")
            future.set_running_or_notify_cancel()
            number = next(self._numbers)
            self._futures[number] = future
            try:
                self._connection.send((number, call, args, options))
            except BaseException as error:
                del self._futures[number]
                if isinstance(error, OSError):
                    raise BrokenProcessPool("the process has died") from error
                raise
        return future

    def _start(self) -> None:
        # Spawned: a fork of a process with threads may hang.
        spawn = multiprocessing.get_context("spawn")
        self._connection, theirs = spawn.Pipe()
        process = spawn.Process(target=_serve, args=(theirs, self._threads))
        process.start()
        theirs.close()  # so that the end of the process is the end of the connection
        self._process = process
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        while True:
            try:
                number, error, result = self._connection.recv()
            except (EOFError, OSError):
                break
            with self._turn:
                future = self._futures.pop(number)
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
        with self._turn:
            self._is_broken = True
            left = list(self._futures.values())
            self._futures.clear()
        for future in left:
            future.set_exception(BrokenProcessPool("the process has died"))

    def kill(self) -> None:
        """End the process, whatever it is at."""
        if self._process is not None:
            self._process.kill()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the process once what it is at has ended; what it has not begun yet is dropped."""
        with self._turn:
            if self._process is None:
                return
            with contextlib.suppress(OSError):  # it has ended already
                self._connection.send(None)
        if wait:
            self._process.join()
            self._listener.join()
            self._connection.close()


def _serve(connection: Connection, threads: int) -> None:
    """Call what comes, and send back what it returns; Ctrl-C is the business of who started this."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    turn = threading.Lock()

    def call(number: int, function: Callable[..., Any], args: Any, options: Any) -> None:
        error, result = None, None
        try:
            result = function(*args, **options)
        except BaseException as raised:
            if not isinstance(raised, SemrsmError):
                raised.add_note(traceback.format_exc())
            error = raised
        with turn:
            try:
                connection.send((number, error, result))
            except OSError:
                os._exit(1)  # nobody listens any more
            except Exception as unsendable:
                connection.send((number, unsendable, None))

    pool = ThreadPoolExecutor(threads)
    while True:
        try:
            message = connection.recv()
        except EOFError:
            os._exit(1)  # who started this has ended
        if message is None:
            pool.shutdown(wait=True, cancel_futures=True)
            return
        pool.submit(call, *message)
