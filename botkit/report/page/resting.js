// Own orders that rested, as lines at their prices from when they were sent to when the bot knew of their end.
const BID = 0, ASK = 1, STOP = 2;
const RESTING = [{ title: "own bids", hue: "buy", kind: BID }, { title: "own asks", hue: "sell", kind: ASK }, { title: "own stops", hue: "warn-ink", kind: STOP }];

const restingOf = (pair, bars) => {
  const all = pair.resting;
  const begin = seconds(all.begin || []), price = summed(all.price || []), scale = Math.pow(10, pair.decimals);
  const count = begin.length, end = new Float64Array(count);
  for (let i = 0; i < count; i++) end[i] = begin[i] + all.lasted[i] / 1000;
  // a candle reaches from half a place before its own to half a place after it
  const placeOf = (time) => {
    const row = lastAt(bars.t, time);
    if (row < 0) return -0.5;
    const next = row + 1 < bars.n ? bars.t[row + 1] : bars.t[row] + pair.width / 1000;
    return row - 0.5 + Math.min(1, (time - bars.t[row]) / (next - bars.t[row]));
  };
  return { count, begin, end, kind: all.kind || [], lots: all.lots || [], price: price.map((ticks) => ticks / scale), from: begin.map(placeOf), to: end.map(placeOf) };
};

class RestingLines {
  constructor(orders, part) { this.orders = orders; this.part = part; this.view = { zOrder: () => "normal", renderer: () => ({ draw: (target) => target.useMediaCoordinateSpace((space) => this.draw(space)) }) }; }
  attached({ chart, series, requestUpdate }) { this.chart = chart; this.series = series; this.update = requestUpdate; }
  updateAllViews() {}
  paneViews() { return [this.view]; }
  draw({ context }) {
    const { orders } = this, { first, step } = this.part();
    const scale = this.chart.timeScale(), range = scale.getVisibleLogicalRange();
    if (!range) return;
    const left = range.from * step + first, right = range.to * step + first;
    const origin = scale.logicalToCoordinate(0), width = (scale.logicalToCoordinate(1) - origin) / step;
    context.save();
    for (const { hue, kind } of RESTING) {
      context.beginPath();
      for (let i = 0; i < orders.count; i++) {
        if (orders.kind[i] !== kind || orders.to[i] < left || orders.from[i] > right) continue;
        const y = this.series.priceToCoordinate(orders.price[i]);
        if (y === null) continue;
        const x = origin + (orders.from[i] - first) * width, until = origin + (orders.to[i] - first) * width;
        context.moveTo(x, y);
        context.lineTo(Math.max(until, x + 1), y);
      }
      context.strokeStyle = color(hue);
      context.lineWidth = 1.5;
      context.globalAlpha = 0.75;
      context.setLineDash(kind === STOP ? [2, 3] : []);
      context.stroke();
    }
    context.restore();
  }
}

// What rested at some moment of a span: how many, and the price nearest to the market.
const restedIn = (orders, kind, begin, end, spell) => {
  let count = 0, best = null;
  for (let i = 0; i < orders.count; i++) {
    if (orders.kind[i] !== kind || orders.begin[i] >= end || orders.end[i] <= begin) continue;
    count++;
    if (best === null || (kind === ASK ? orders.price[i] < best : orders.price[i] > best)) best = orders.price[i];
  }
  return count ? tr(kind === STOP || count === 1 ? "{} at {}" : "{} at best {}", grouped(count, 0), spell(best)) : "–";
};
