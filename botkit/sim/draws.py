"""Keyed random draws: each draw depends only on (seed, kind, key), so an extra read does not change other draws.

They use a 64-bit mixer (splitmix64, Steele et al. 2014) instead of ``random.Random(f"{seed}:{key}")``, because seeding
a Mersenne Twister costs about 10 us, a third of an order's total cost here.
"""

from __future__ import annotations

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


def mix(value: int) -> int:
    """Mix an integer into 64 well-distributed bits."""
    value = (value + _GOLDEN) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def text_key(text: str) -> int:
    """Return an integer for a short text. It is identical on every machine (unlike ``hash`` of a str)."""
    return mix(int.from_bytes(text.encode(), "big") & _MASK) ^ len(text)


def keyed(seed: int, kind: int, key: int) -> int:
    """Return 64 bits that depend only on the three arguments."""
    return mix(mix(mix(seed & _MASK) ^ (kind & _MASK)) ^ (key & _MASK))


def normal(seed: int, kind: int, key: int) -> float:
    """Return an approximately normal draw with mean 0 and standard deviation 1, within +-6: the sum of twelve uniform
    draws minus six.

    The computation uses only additions, because logarithms and sines differ in the last digit between machines.
    """
    total = 0
    for part in range(3):
        bits = keyed(seed, kind, key * 4 + part)
        total += (bits & 0xFFFF) + (bits >> 16 & 0xFFFF) + (bits >> 32 & 0xFFFF) + (bits >> 48)
    return total / 65536 - 6.0


def exponential(x: float) -> float:
    """Compute e^x for |x| <= 40 using only multiplications and additions, so that the result is identical on every
    machine.
    """
    small = x / 64
    term = result = 1.0
    for n in range(1, 14):
        term *= small / n
        result += term
    for _ in range(6):
        result *= result
    return result
