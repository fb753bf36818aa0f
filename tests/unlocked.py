"""Does a call let other threads run?"""

import sys
import threading
from collections.abc import Callable


def lets_others_run(call: Callable[[], object], most: int) -> bool:
    """Whether a thread that can only run while `call` has given up the interpreter does, within `most` calls."""
    gate, ran = threading.Lock(), list[bool]()
    gate.acquire()
    thread = threading.Thread(target=lambda: ran.append(gate.acquire()))
    thread.start()
    old = sys.getswitchinterval()
    sys.setswitchinterval(60)  # nobody is made to hand over
    try:
        gate.release()
        for _ in range(most):
            call()
            if ran:
                return True
        return False
    finally:
        sys.setswitchinterval(old)
        thread.join()
