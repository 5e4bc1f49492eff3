// A pair's candles as columns, and the part of them that a chart holds: the tape's own, or several joined into one.
const POINTS = 50000;                                      // candles that a chart holds at once

// Candles are packed in ticks: closes as differences, opens against the close before, highs and lows against the body.
const barsOf = (pair) => {
  const t = seconds(pair.t), n = t.length, scale = Math.pow(10, pair.decimals), ends = summed(pair.c);
  const bars = { t, n, open: new Float64Array(n), high: new Float64Array(n), low: new Float64Array(n), close: new Float64Array(n), volume: null };
  for (let i = 0; i < n; i++) {
    const end = ends[i], open = pair.o[i] + (i ? ends[i - 1] : 0);
    bars.open[i] = open / scale;
    bars.high[i] = (Math.max(open, end) + pair.h[i]) / scale;
    bars.low[i] = (Math.min(open, end) - pair.l[i]) / scale;
    bars.close[i] = end / scale;
  }
  if (pair.volume.length) bars.volume = Float64Array.from(pair.volume, (digits, i) => { const power = pair.volume_power[i]; return power < 0 ? digits / Math.pow(10, -power) : digits * Math.pow(10, power); });
  return bars;
};

// The part of the candles for a view from one row to another: the view itself and as much again on both sides, joined
// only if that is more than a chart holds. A part of joined candles begins at a multiple of their number.
const partOf = (bars, from, to) => {
  const width = Math.max(1, to - from), most = Math.floor(POINTS / 3);
  if (bars.n <= POINTS) return { first: 0, last: bars.n, step: 1 };
  const step = Math.max(1, Math.ceil(width / most));
  if (width >= bars.n / 2) { const whole = Math.ceil(bars.n / POINTS); return { first: 0, last: bars.n, step: whole }; }
  const first = Math.max(0, Math.floor((from - width) / step) * step);
  return { first, last: Math.min(bars.n, Math.ceil(to + width)), step };
};

// The candles of a part, in columns.
const joinBars = (bars, { first, last, step }) => {
  const count = Math.ceil((last - first) / step);
  const found = { t: new Float64Array(count), rows: new Array(count), volume: bars.volume && new Float64Array(count) };
  for (let i = 0; i < count; i++) {
    const begin = first + i * step, end = Math.min(last, begin + step);
    let high = bars.high[begin], low = bars.low[begin], volume = 0;
    for (let row = begin; row < end; row++) {
      if (bars.high[row] > high) high = bars.high[row];
      if (bars.low[row] < low) low = bars.low[row];
      if (bars.volume) volume += bars.volume[row];
    }
    found.t[i] = bars.t[begin];
    found.rows[i] = { time: bars.t[begin], open: bars.open[begin], high, low, close: bars.close[end - 1] };
    if (bars.volume) found.volume[i] = volume;
  }
  return found;
};

// A line's value in force at the end of each candle of a part; null before its first.
const joinLine = (values, first, part) => {
  const count = Math.ceil((part.last - part.first) / part.step), found = new Array(count);
  for (let i = 0; i < count; i++) {
    const row = Math.min(part.last, part.first + (i + 1) * part.step) - 1 - first;
    found[i] = row < 0 ? null : values[row];
  }
  return found;
};
