"""Which of the processes of a machine give way when there is not enough of it.

Kernels with autogroups share processors between sessions first, so the nice value of a process that leads a session of
its own decides nothing; that of its group does (sched(7), "The autogroup feature"). Both are set.
"""

import os
from pathlib import Path

BEHIND_ANSWERS = 5
"""What is done after a command was answered: about a third of the weight of what answers."""
LAST = 19
"""What only watches."""


def give_way(nice: int, own_group: Path = Path("/proc/self/autogroup")) -> None:
    """Lower the priority of this process, and of its group where it leads its session. Where that is refused, nothing.

    It takes nobody's group along: in the session of a shell only the process itself gives way.
    """
    os.nice(nice)
    if os.getsid(0) == os.getpid():
        try:
            own_group.write_text(str(nice), encoding="ascii")
        except OSError:  # no such feature, no such file system, or not ours to say
            pass
