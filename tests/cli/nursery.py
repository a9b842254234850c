"""Starts commands quickly: a process that has everything imported, and forks one for each line it reads.

A line is JSON: [arguments, file for stdout, file for stderr]. It answers with the process's number, and
when that has ended with its exit code, negative where a signal ended it.
"""

import gc
import json
import os
import signal
import sys

import semrsm.cli
import semrsm.engine.tile_matcher
from semrsm.compute import grid

grid.LARGEST_EDGE = 8  # small tiles
for ending in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):  # whoever started this ignores some
    signal.signal(ending, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
gc.freeze()  # or each process looks through all of this when it ends

for line in sys.stdin:
    arguments, *outputs = json.loads(line)
    streams = [
        os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC) for path in (os.devnull, *outputs)
    ]
    process = os.fork()
    if not process:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        sys.argv = ["semrsm", *arguments]
        semrsm.cli.main()
    for stream in streams:
        os.close(stream)
    print(process, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
