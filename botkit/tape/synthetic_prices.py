"""The prices underlying the synthetic market: the value of each coin every ten seconds, computed in integers.

Floats are avoided because the last bit of exp, log and sin depends on the machine. numpy generators are avoided because
their streams may change between versions. All calculations use integers and ``random.Random.getrandbits``, whose output
Python guarantees. Equal seeds therefore yield equal markets on every machine, and a market's content hash identifies
it.

The model: bitcoin in USDT is a random walk with varying volatility. It has occasional jumps, follows an intraday
pattern, and drifts in regimes of hours to days, so there are trends and reversals. Ether follows bitcoin, with its own
noise. The Taiwan dollar reverts to a slowly moving anchor. A TWD pair is its USDT price times usdt_twd times (1 +
basis). The basis varies by tenths of a percent. Sometimes a burst (a big local order) pushes it past the cost of a loop
through three pairs, and it decays within minutes.
"""

from __future__ import annotations

import random

from botkit.model.clock import NS_PER_HOUR, NS_PER_S, Nanos

#: time between consecutive price points
KNOT_NS = 10 * NS_PER_S
#: fixed-point scale for rates and returns: parts per billion
PPB = 10**9
#: prices are integers in units of 1e-8 quote currency, the ledger's unit
BTC_USDT, ETH_USDT, USDT_TWD = 10_000_000_000_000, 312_000_000_000, 3_242_000_000

#: activity by hour of the day (UTC), in percent: the Asian morning, Europe, then the American session
HOUR_PERCENT = (
    95, 105, 105, 95, 90, 85, 85, 95, 100, 105, 105, 105, 115, 140, 150, 145, 130, 115, 105, 100, 95, 90, 85, 85,
)  # fmt: skip

#: standard deviation of `Dice.normal`, which sums four uniform draws of 65536 values each
NORMAL_SD = 37_837


class Dice:
    """Random integers from a stream identified by a seed and a purpose, so that draws from one stream do not affect
    another.
    """

    __slots__ = ("_bits",)

    def __init__(self, seed: int, purpose: str) -> None:
        # a text seed is hashed with sha512, which returns the same value everywhere
        self._bits = random.Random(f"botkit synthetic {seed} {purpose}").getrandbits

    def below(self, n: int) -> int:
        """Return a uniform integer from 0 to n-1 (exact to one part in 2^32)."""
        return self._bits(32) * n >> 32

    def chance(self, ppm: int) -> bool:
        """Return True with a probability of ``ppm`` in a million."""
        return self._bits(32) * 1_000_000 >> 32 < ppm

    def normal(self) -> int:
        """Draw from an approximately normal distribution with mean 0 and standard deviation `NORMAL_SD`: the sum of
        four uniform draws.
        """
        r = self._bits(64)
        return (r & 0xFFFF) + (r >> 16 & 0xFFFF) + (r >> 32 & 0xFFFF) + (r >> 48) - 131_070

    def halvings(self, most: int) -> int:
        """Draw 0 with probability 1/2, 1 with probability 1/4, and so on, up to ``most``."""
        r = self._bits(most) | 1 << most
        return (r & -r).bit_length() - 1


class Basis:
    """The deviation of a TWD price from the USDT price times usdt_twd, in ppb. It is mean-reverting, with noise and
    rare bursts.
    """

    __slots__ = ("_burst", "_dice", "_noise", "value")

    def __init__(self, dice: Dice, noise_ppb: int) -> None:
        self._dice, self._noise, self._burst = dice, noise_ppb, 0
        self.value = 0

    def step(self) -> int:
        """Advance ten seconds and return the new value."""
        dice = self._dice
        slow = self.value - self._burst
        slow += -slow // 400 + dice.normal() * self._noise // NORMAL_SD
        self._burst -= self._burst // 45 if self._burst >= 0 else -(-self._burst // 45)
        if dice.chance(1_500):  # about once every two hours
            size = 5_000_000 + dice.below(9_000_000)
            self._burst += size if dice.below(2) else -size
        self.value = slow + self._burst
        return self.value


class Fundamentals:
    """The fair prices of the four pairs, advanced one price point at a time. ``prices`` are integers in units of 1e-8
    quote currency.
    """

    def __init__(self, seed: int, start: Nanos) -> None:
        self.time = start - start % KNOT_NS
        self._dice = Dice(seed, "prices")
        self._btc, self._eth, self._twd = BTC_USDT, ETH_USDT, USDT_TWD
        self._anchor = USDT_TWD
        self._basis_btc = Basis(Dice(seed, "basis btc_twd"), 110_000)
        self._basis_eth = Basis(Dice(seed, "basis eth_twd"), 160_000)
        #: standard deviation over ten seconds, in ppb; 250 ppm is 2.3 % a day
        self.volatility = 250_000
        self._drift, self._drift_knots = 0, 0
        self.prices: dict[str, int] = {}
        self._publish()

    @property
    def activity_percent(self) -> int:
        """Return the market's activity in percent, based on the hour of the day and the volatility."""
        hour = HOUR_PERCENT[self.time // NS_PER_HOUR % 24]
        return max(20, min(500, hour * self.volatility // 250_000))

    def step(self) -> None:
        """Advance ten seconds."""
        dice = self._dice
        self.time += KNOT_NS
        v = self.volatility
        # reverts to its mean over about six hours, with noise proportional to its value; rare news doubles it
        v += (200_000 - v) // 2_200 + v * dice.normal() // (NORMAL_SD * 70)
        if dice.chance(30):
            v *= 2
        self.volatility = v = max(90_000, min(1_200_000, v))
        if self._drift_knots == 0:
            self._drift_knots = 900 + dice.below(20_000)  # 2.5 hours to 2.4 days
            self._drift = dice.normal() * 2_600 // NORMAL_SD
        self._drift_knots -= 1
        swing = v * HOUR_PERCENT[self.time // NS_PER_HOUR % 24] // 100
        common = self._drift + swing * dice.normal() // NORMAL_SD
        self._btc += self._btc * common // PPB
        own = swing * dice.normal() // NORMAL_SD
        self._eth += self._eth * (common * 105 // 100 + own * 65 // 100) // PPB
        self._anchor += self._anchor * dice.normal() // (NORMAL_SD * 50_000)
        self._twd += (self._anchor - self._twd) // 500 + self._twd * dice.normal() // (NORMAL_SD * 33_000)
        self._basis_btc.step()
        self._basis_eth.step()
        self._publish()

    def _publish(self) -> None:
        through = self._twd * (PPB + self._basis_btc.value) // PPB
        through_eth = self._twd * (PPB + self._basis_eth.value) // PPB
        self.prices = {
            "btc_usdt": self._btc,
            "usdt_twd": self._twd,
            "btc_twd": self._btc * through // 10**8,
            "eth_twd": self._eth * through_eth // 10**8,
        }
