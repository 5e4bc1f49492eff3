"""The built-in latency models. Draws are keyed by client id or request id, so the order of calls does not matter."""

from __future__ import annotations

from botkit.errors import ConfigError
from botkit.model.clock import NS_PER_MS, NS_PER_US, Nanos
from botkit.model.extension import Options
from botkit.model.money import to_decimal
from botkit.sim.draws import exponential, keyed, normal

_ORDER, _ANSWER, _FEED = 1, 2, 3
_MS_MAX = 600_000
_SIGMA_MAX = 3.0


def _milliseconds(options: Options, key: str) -> Nanos:
    try:
        value = to_decimal(options.get(key, 0), key)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"latency.{key}: {error}") from None
    if not 0 <= value <= _MS_MAX:
        raise ConfigError(f"latency.{key} is {value}; it must be 0 to {_MS_MAX} milliseconds")
    return int(value * NS_PER_MS)


def _refuse_unknown(options: Options, known: tuple[str, ...]) -> None:
    unknown = sorted(set(options) - {"model", *known})
    if unknown:
        raise ConfigError(f"latency.{unknown[0]} is not known; this model takes {', '.join(known)}")


class Constant:
    """Every request, answer and event takes the same time. ``seed`` is unused."""

    is_constant = True

    def __init__(self, options: Options, seed: int = 0) -> None:
        _refuse_unknown(options, ("order_ms", "answer_ms", "feed_ms"))
        self._order_ns = _milliseconds(options, "order_ms")
        self._answer_ns = _milliseconds(options, "answer_ms")
        self._feed_ns = _milliseconds(options, "feed_ms")
        ms = NS_PER_MS
        self.assumptions: tuple[str, ...] = (
            f"Latency is constant: {self._order_ns / ms:g} ms from sending an order to its arrival,"
            f" {self._answer_ns / ms:g} ms from the exchange back to the bot,"
            f" {self._feed_ns / ms:g} ms from the market to the bot.",
        )

    def order_ns(self, key: int) -> Nanos:
        """From sending to arrival at the exchange."""
        return self._order_ns

    def answer_ns(self, key: int) -> Nanos:
        """From the exchange's action to the bot receiving the answer."""
        return self._answer_ns

    def feed_ns(self, key: int) -> Nanos:
        """From a market event to the bot receiving it."""
        return self._feed_ns


class Lognormal:
    """Medians in ``order_ms``, ``answer_ms``, ``feed_ms``, each times e^(sigma x normal); ``sigma`` defaults to 0.5.

    Draws are rounded to whole microseconds.
    """

    def __init__(self, options: Options, seed: int = 0) -> None:
        _refuse_unknown(options, ("order_ms", "answer_ms", "feed_ms", "sigma"))
        self._order_ns = _milliseconds(options, "order_ms")
        self._answer_ns = _milliseconds(options, "answer_ms")
        self._feed_ns = _milliseconds(options, "feed_ms")
        try:
            self._sigma = float(to_decimal(options.get("sigma", "0.5"), "sigma"))
        except (ValueError, TypeError) as error:
            raise ConfigError(f"latency.sigma: {error}") from None
        if not 0 <= self._sigma <= _SIGMA_MAX:
            raise ConfigError(f"latency.sigma is {self._sigma}; it must be 0 to {_SIGMA_MAX}")
        self._seed = keyed(seed, 0, 0)
        ms = NS_PER_MS
        self.assumptions: tuple[str, ...] = (
            f"Latency is drawn lognormally with sigma {self._sigma:g} around medians of {self._order_ns / ms:g} ms to"
            f" the exchange, {self._answer_ns / ms:g} ms back and {self._feed_ns / ms:g} ms from the market, one seeded"
            " draw a request.",
        )

    def _draw(self, median: Nanos, kind: int, key: int) -> Nanos:
        if not median:
            return 0
        factor = exponential(self._sigma * normal(self._seed, kind, key))
        return int(median * factor) // NS_PER_US * NS_PER_US

    def order_ns(self, key: int) -> Nanos:
        """From sending to arrival at the exchange."""
        return self._draw(self._order_ns, _ORDER, key)

    def answer_ns(self, key: int) -> Nanos:
        """From the exchange's action to the bot receiving the answer."""
        return self._draw(self._answer_ns, _ANSWER, key)

    def feed_ns(self, key: int) -> Nanos:
        """From a market event to the bot receiving it."""
        return self._draw(self._feed_ns, _FEED, key)
