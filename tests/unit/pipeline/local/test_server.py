"""The end of the local cloud's process."""

import subprocess
import sys

import pytest

from pipeline import ROOT

# At the first, second, ... call within `wait`, the process sends itself the signal; later, where there are fewer.
PROGRAM = """
import faulthandler, os, signal, sys
from pipeline.local.server import Stop

stop, remaining = Stop(), int(sys.argv[1])
stop.handle(signal.SIGTERM, signal.SIGALRM)
signal.setitimer(signal.ITIMER_REAL, 0.2)
faulthandler.dump_traceback_later(20, exit=True)

def signal_at_a_call(frame, event, argument):
    global remaining
    if event in ("call", "c_call"):
        remaining -= 1
        if remaining == 0:
            os.kill(os.getpid(), signal.SIGTERM)

sys.setprofile(signal_at_a_call)
stop.wait()
sys.setprofile(None)
signal.setitimer(signal.ITIMER_REAL, 0)  # a late one would end the process once Python takes its handlers down
print("ended")
"""


@pytest.mark.parametrize("call", range(1, 7))
def test_a_signal_ends_the_wait_wherever_in_it_the_process_is(call):
    """The kind: `local down` right after `local up`, while the process is about to wait."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(call)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "ended\n"), ended.stderr
