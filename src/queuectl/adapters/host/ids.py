"""Fresh ids: of jobs, workers and leases."""

import functools
import random
import threading
import time

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
PAIRS = [high + low for high in ALPHABET for low in ALPHABET]
"""Crockford's base 32: in the order of the characters' codes, and without letters that look like digits."""

random_bits = random.SystemRandom().getrandbits
"""From the kernel, as `secrets.randbits` has them; but that module loads OpenSSL's hashes."""

RANDOM_BITS = 35
"""A job id is milliseconds since 1970 (45 bits last beyond the year 3000), then so many random bits."""


class JobIds:
    """Makes job ids that sort by time: 16 characters, easy to type. Within a process each is greater than the last."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def __call__(self, count: int) -> list[str]:
        """Make `count` fresh ids: one at random and those that follow it."""
        # The module's own generator: it is seeded anew in a fork.
        fresh = (time.time_ns() // 1_000_000 << RANDOM_BITS) + random.getrandbits(RANDOM_BITS - 1)
        with self._lock:
            first = max(fresh, self._last + 1)
            self._last = first + count - 1
        return [_fourteen_digits(number >> 10) + PAIRS[number & 1023] for number in range(first, first + count)]


def new_worker_id() -> str:
    """Make an id for a worker: 50 random bits, short enough to read aloud."""
    return PAIRS[random_bits(10)] + _eight_digits(random_bits(40))


def new_lease_id() -> str:
    """Make a fencing token: 128 random bits in hex."""
    return f"{random_bits(128):032x}"


@functools.lru_cache(maxsize=1)
def _fourteen_digits(number: int) -> str:
    """The number's last 70 bits in base 32."""
    return _eight_digits(number >> 30) + "".join(PAIRS[number >> shift & 1023] for shift in (20, 10, 0))


def _eight_digits(number: int) -> str:
    """The number's last 40 bits in base 32."""
    return f"{PAIRS[number >> 30 & 1023]}{PAIRS[number >> 20 & 1023]}{PAIRS[number >> 10 & 1023]}{PAIRS[number & 1023]}"
