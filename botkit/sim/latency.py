"""The built-in latency models. Draws are keyed by client id or request id, so the order of calls does not matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from botkit.errors import ConfigError
from botkit.model.clock import NS_PER_MS, NS_PER_US, Nanos
from botkit.model.extension import Options
from botkit.model.latency import CREATE, FILL, NEWS, REQUESTS, STEPS, MeasuredLatencies, Quantiles, kind_of
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
        raise ConfigError(f"latency.{key} is {value}; it must be from 0 to {_MS_MAX} milliseconds")
    return int(value * NS_PER_MS)


def _refuse_unknown(options: Options, known: tuple[str, ...]) -> None:
    unknown = sorted(set(options) - {"model", *known})
    if unknown:
        raise ConfigError(f"latency.{unknown[0]} is unknown; the options of this model are {', '.join(known)}")


class Constant:
    """Constant delays of requests, responses and events. ``seed`` is unused."""

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
        """Return the delay between sending a request and its arrival at the exchange."""
        return self._order_ns

    def answer_ns(self, key: int) -> Nanos:
        """Return the delay between the exchange's action and the bot receiving the response."""
        return self._answer_ns

    def feed_ns(self, key: int) -> Nanos:
        """Return the delay between a market event and the bot receiving it."""
        return self._feed_ns


class Lognormal:
    """Lognormal delays: the medians ``order_ms``, ``answer_ms`` and ``feed_ms``, each multiplied by e^(sigma x normal).
    ``sigma`` defaults to 0.5.

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
            raise ConfigError(f"latency.sigma is {self._sigma}; it must be from 0 to {_SIGMA_MAX}")
        self._seed = keyed(seed, 0, 0)
        ms = NS_PER_MS
        self.assumptions: tuple[str, ...] = (
            f"Latency is drawn lognormally with sigma {self._sigma:g} around medians of {self._order_ns / ms:g} ms to"
            f" the exchange, {self._answer_ns / ms:g} ms back and {self._feed_ns / ms:g} ms from the market, with one "
            "seeded draw per request.",
        )

    def _draw(self, median: Nanos, kind: int, key: int) -> Nanos:
        if not median:
            return 0
        factor = exponential(self._sigma * normal(self._seed, kind, key))
        return int(median * factor) // NS_PER_US * NS_PER_US

    def order_ns(self, key: int) -> Nanos:
        """Return the delay between sending a request and its arrival at the exchange."""
        return self._draw(self._order_ns, _ORDER, key)

    def answer_ns(self, key: int) -> Nanos:
        """Return the delay between the exchange's action and the bot receiving the response."""
        return self._draw(self._answer_ns, _ANSWER, key)

    def feed_ns(self, key: int) -> Nanos:
        """Return the delay between a market event and the bot receiving it."""
        return self._draw(self._feed_ns, _FEED, key)


class Measured:
    """A run's measured latencies (`from`: the run's folder or file), with one draw per request from their
    distributions.

    The times in a tape are the times at which a bot received the market data. The market state that an order encounters
    is received one book delay later, so the order's delay to the exchange is increased by the book delay. The response
    delay is reduced by the mean book delay. If the response delay would be negative, it is set to 0 and the order's
    delay is reduced instead, so that the round trip takes as long as measured.
    """

    def __init__(self, options: Options, seed: int = 0) -> None:
        _refuse_unknown(options, ("from",))
        try:
            found = MeasuredLatencies.read(Path(str(options["from"])))
        except KeyError:
            raise ConfigError("latency.from is missing: name the folder of a run") from None
        except ValueError as error:
            raise ConfigError(f"latency.from: {error}") from None
        self._seed = keyed(seed, 0, 0)
        zero = (0,) * (STEPS + 1)
        self._feed = found.feed_us or zero
        self._order = _for_all(found.order_us, REQUESTS)
        self._answer = _for_all(found.answer_us, NEWS)
        self._feed_mean = _mean(self._feed)
        # a mean weighted by how often each kind of news was received
        counts = {kind: found.counts.get("answer", {}).get(kind, 0) for kind in NEWS}
        lost = {
            kind: _mean([max(0, us - self._feed_mean) for us in quantiles]) - (_mean(quantiles) - self._feed_mean)
            for kind, quantiles in self._answer.items()
        }
        heard = sum(counts.values())
        self._ahead = sum(lost[kind] * count for kind, count in counts.items()) // heard if heard else lost[CREATE]
        medians = [us[STEPS // 2] / 1000 for us in (*self._order.values(), *self._answer.values(), self._feed)]
        speed = "" if found.speed == 1.0 else f" at speed {found.speed:g}"
        split = "" if found.is_stamped else " (the exchange sends no timestamps, so round trips are split in half)"
        measured = sum(found.counts.get("order" if found.is_stamped else "round_trip", {}).values())
        self.assumptions: tuple[str, ...] = (
            f"Latency is drawn from the measurements of the bot {found.bot} in mode {found.mode}{speed}, in"
            f" {measured:,} requests{split}: medians of {medians[0]:g} ms to the exchange ({medians[1]:g} for cancels),"
            f" {medians[2]:g} ms back ({medians[3]:g} for cancels, {medians[4]:g} for fills) and {medians[5]:g} ms from"
            " the market. Draws are independent, so delays do not cluster in slow seconds as they did in that run.",
        )

    def _draw(self, quantiles: Quantiles, kind: int, key: int) -> int:
        """Draw a duration in microseconds, by linear interpolation between two quantiles."""
        place = keyed(self._seed, kind, key) * STEPS
        index, rest = place >> 64, place & ((1 << 64) - 1)
        return quantiles[index] + ((quantiles[index + 1] - quantiles[index]) * rest >> 64)

    def request_ns(self, endpoint: str, key: int) -> Nanos:
        """Return the delay between sending a request and its arrival at the exchange, including the book delay."""
        way = self._draw(self._order[kind_of(endpoint)], _ORDER, key) + self._draw(self._feed, _FEED, key) - self._ahead
        return max(0, way) * NS_PER_US

    def news_ns(self, endpoint: str, key: int) -> Nanos:
        """Return the delay between the exchange's action and the bot receiving news of it, minus the book delay."""
        quantiles = self._answer[kind_of(endpoint) if endpoint else FILL]
        return max(0, self._draw(quantiles, _ANSWER, key) - self._feed_mean) * NS_PER_US

    def order_ns(self, key: int) -> Nanos:
        """Return `request_ns` for a create."""
        return self.request_ns("", key)

    def answer_ns(self, key: int) -> Nanos:
        """Return `news_ns` for a fill."""
        return self.news_ns("", key)

    def feed_ns(self, key: int) -> Nanos:
        """Return 0, because an order's delay already includes the book delay."""
        return 0


def _mean(quantiles: Sequence[int]) -> int:
    return sum(quantiles) // len(quantiles)


def _for_all(measured: Mapping[str, Quantiles], kinds: Sequence[str]) -> dict[str, Quantiles]:
    """Return a distribution for each kind. An unmeasured kind uses another kind's distribution."""
    known = next(us for kind in kinds if (us := measured.get(kind)))
    return {kind: measured.get(kind) or known for kind in kinds}
