// The run from frame to frame. Times are milliseconds since the first frame; a frame shows what had happened before it.
const FRAMES = data.frames, STEP = data.step, LENGTH = Math.max(1, (FRAMES - 1) * STEP);
const clockText = (ms) => { const text = when((data.start + ms) / 1000, true); return STEP < 1000 && !text.includes(".") ? text + ".000" : text; };
const frameAt = (ms) => Math.max(0, Math.min(FRAMES - 1, Math.floor(ms / STEP)));

// One side of the books: the prices and amounts of each level, by frame or by decision.
const sideOf = (packed) => {
  const ticks = [], lots = packed.lots.map(summed);
  packed.ticks.forEach((gaps, k) => { const own = summed(gaps); ticks.push(k ? own.map((gap, i) => ticks[k - 1][i] + gap) : own); });
  return { depth: ticks.length, ticks, lots };
};
const levelsAt = (side, i) => {
  const found = [];
  for (let k = 0; k < side.depth; k++) if (side.lots[k][i] > 0) found.push([side.ticks[k][i], side.lots[k][i]]);
  return found;
};
const bestAt = (side, i) => (side.depth && side.lots[0][i] > 0 ? side.ticks[0][i] : null);
// Values that are unknown before a first one.
const knownOf = ({ first, v }) => { const values = summed(v); return (i) => (i < first ? null : values[i - first]); };

const pairs = data.pairs.map((packed) => {
  const scale = Math.pow(10, packed.decimals), sizes = Math.pow(10, packed.places);
  return {
    name: packed.pair, title: packed.pair.toUpperCase().replace("_", " / "), base: packed.base, quote: packed.quote,
    bids: sideOf(packed.bids), asks: sideOf(packed.asks), last: knownOf(packed.last),
    trades: { t: summed(packed.trades.t), ticks: summed(packed.trades.ticks), lots: packed.trades.lots, side: packed.trades.side },
    places: packed.places,
    aligned: (lots) => grouped(lots / sizes, pairNamed.get(packed.pair).shownPlaces),
    leftOut: packed.trades_left_out,
    price: (ticks) => (ticks === null || ticks === undefined ? "–" : grouped(ticks / scale, packed.decimals)),
    size: (lots) => amount(lots / sizes),
  };
});
const pairNamed = new Map(pairs.map((pair) => [pair.name, pair]));

const inMoney = (units) => units / 1e8;
const equityAt = knownOf(data.equity);
const holdings = Object.entries(data.holdings).map(([strategy, held]) => ({ strategy, units: Object.entries(held).map(([currency, steps]) => ({ currency: currency.toUpperCase(), units: summed(steps) })) }));
const gauges = data.gauges.map((gauge) => ({ ...gauge, held: summed(gauge.held) }));
const waiting = summed(data.waiting);

const named = ({ number, names }) => (i) => names[number[i]];
const orders = (() => {
  const all = data.orders, asked = summed(all.asked), price = summed(all.price), after = (column) => (i) => (column[i] < 0 ? null : asked[i] + column[i]);
  const found = { count: asked.length, id: summed(all.id), asked, price, side: all.side, stop: all.stop, lots: all.lots, spend: all.spend, strategy: named(all.strategy), pairName: named(all.pair), type: named(all.type), tag: named(all.tag), state: named(all.state), why: named(all.why), sent: after(all.sent), opened: after(all.opened), ended: after(all.ended) };
  return found;
})();

// Own orders in the books of a frame: their numbers, the amounts ahead of them in the queue, and their own.
const standing = (() => {
  const all = data.standing, order = summed(all.order), begin = new Float64Array(all.count.length + 1);
  for (let i = 0; i < all.count.length; i++) begin[i + 1] = begin[i] + all.count[i];
  return (frame) => { const found = []; for (let row = begin[frame]; row < begin[frame + 1]; row++) found.push({ order: order[row], ahead: all.ahead[row], left: all.left[row] }); return found; };
})();

const steps = (() => {
  const all = data.steps, t = summed(all.t), price = summed(all.price);
  return { count: t.length, t, price, kind: (i) => all.kinds[all.kind[i]], order: all.order, lots: all.lots, fee: all.fee, feeIn: (i) => all.currencies[all.fee_in[i]], isMaker: (i) => all.maker[i] === 1, text: (i) => data.texts[all.text[i]] };
})();
// The fills among them, in order of time, and those of each order.
const fills = [], fillsOf = new Map();
for (let i = 0; i < steps.count; i++) {
  if (steps.kind(i) !== "fill") continue;
  fills.push(i);
  if (!fillsOf.has(steps.order[i])) fillsOf.set(steps.order[i], []);
  fillsOf.get(steps.order[i]).push(i);
}
const fillTimes = Float64Array.from(fills, (i) => steps.t[i]);

const moments = (() => {
  const all = data.moments;
  return { t: summed(all.t), pairs: new Map(Object.entries(all.pairs).map(([name, seen]) => [name, { ...seen, bids: sideOf(seen.bids), asks: sideOf(seen.asks) }])), holdings: all.holdings.map((each) => ({ ...each, units: summed(each.units) })) };
})();
const skips = { frame: summed(data.skips.frame), text: data.skips.text, times: data.skips.times };
const lines = data.lines.map((line) => ({ ...line, t: summed(line.t) }));
