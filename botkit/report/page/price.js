// A chart for each pair: candles, volume, indicators, fills, and lines from the entries of trades to their exits.
const panels = new Map();                                  // by pair
const LINES_AT_ONCE = 300;                                 // more lines would bury the price; zooming in shows them

// Draws trades over the candles of a pair. `trades` have rows, prices, and whether they won.
class TradeLines {
  constructor(trades, part) { this.trades = trades; this.part = part; this.chosen = null; this.view = { zOrder: () => "top", renderer: () => ({ draw: (target) => target.useMediaCoordinateSpace((space) => this.draw(space)) }) }; }
  attached({ chart, series, requestUpdate }) { this.chart = chart; this.series = series; this.update = requestUpdate; }
  updateAllViews() {}
  paneViews() { return [this.view]; }
  choose(trade) { this.chosen = trade; this.update(); }
  draw({ context, mediaSize }) {
    const scale = this.chart.timeScale(), range = scale.getVisibleLogicalRange();
    if (!range) return;
    const gain = color("gain"), loss = color("loss");
    const { first, step } = this.part(), seen = [];
    const left = range.from * step + first, right = range.to * step + first;
    for (const trade of this.trades) {
      if (trade.to < left || trade.from > right) continue;
      seen.push(trade);
      if (seen.length > LINES_AT_ONCE) { seen.length = 0; break; }
    }
    context.save();
    context.setLineDash([4, 3]);
    context.globalAlpha = 0.8;
    for (const trade of seen) this.join(context, scale, trade, gain, loss, 1.25);
    context.restore();
    const chosen = this.chosen;
    if (!chosen) return;
    context.save();
    const [enters, leaves] = [this.at(scale, chosen.from), this.at(scale, chosen.to)];
    if (enters !== null && leaves !== null) {
      context.fillStyle = color("accent-soft");
      context.fillRect(enters - 3, 0, leaves - enters + 6, mediaSize.height);
      if (chosen.enter !== null) {
        this.join(context, scale, chosen, gain, loss, 2.5);
        context.strokeStyle = color("ink");
        context.fillStyle = color("paper");
        context.lineWidth = 2;
        for (const [x, price] of [[enters, chosen.enter], [leaves, chosen.leave]]) {
          const y = this.series.priceToCoordinate(price);
          if (y === null) continue;
          context.beginPath();
          context.arc(x, y, 5, 0, 2 * Math.PI);
          context.fill();
          context.stroke();
        }
      }
    }
    context.restore();
  }
  at(scale, row) { const { first, step } = this.part(); return scale.logicalToCoordinate(Math.floor((row - first) / step)); }
  join(context, scale, trade, gain, loss, width) {
    const x1 = this.at(scale, trade.from), x2 = this.at(scale, trade.to);
    const y1 = this.series.priceToCoordinate(trade.enter), y2 = this.series.priceToCoordinate(trade.leave);
    if (x1 === null || x2 === null || y1 === null || y2 === null) return;
    context.strokeStyle = trade.won ? gain : loss;
    context.lineWidth = width;
    context.beginPath();
    context.moveTo(x1, y1);
    context.lineTo(x2, y2);
    context.stroke();
  }
}

// Adds volume, indicators and plots, creating panes below the price on first use. Each has `load`, which draws a part.
const addLines = (chart, pair, bars, inPrice) => {
  const panes = new Map([["price", 0]]);
  const paneOf = (name) => { if (!panes.has(name)) panes.set(name, panes.size); return panes.get(name); };
  const items = [], loads = [];
  const add = (title, hue, kind, options, pane, format, last, valuesOf) => {
    const series = themed(chart.addSeries(kind, { ...QUIET, ...options }, paneOf(pane)), () => ({ color: color(hue) }));
    const item = { title, color: hue, at: null, last };
    items.push(item);
    loads.push((part, joined) => { const values = valuesOf(part, joined); series.setData(pointsOf(joined.t, values)); item.at = valuesAt(joined.t, values, format); });
  };
  const lastOf = (values) => values[values.length - 1];
  if (bars.volume) add(tr("Volume {}", pair.base), "hold", LC.HistogramSeries, { priceFormat: inAmount }, "volume", shortAmount, shortAmount(lastOf(bars.volume)), (part, joined) => joined.volume);
  for (const found of pair.lines) {
    const onPrice = found.pane === "price";
    const isBars = found.field === "histogram";
    const format = onPrice ? inPrice.formatter : found.pane === "volume" ? shortAmount : (value) => money(value);
    const unit = Math.pow(10, found.decimals), values = Float64Array.from(summed(found.v), (value) => value / unit);
    add(found.name, "hue" + ((found.group * 5 + (isBars ? 1 : 0)) % HUES.length), isBars ? LC.HistogramSeries : LC.LineSeries,
      { priceFormat: onPrice ? inPrice : { ...inAmount, formatter: format }, ...(found.field && !isBars ? { lineStyle: ["middle", "line"].includes(found.field) ? LC.LineStyle.Solid : LC.LineStyle.Dashed } : {}) },
      found.pane, format, format(lastOf(values)), (part) => joinLine(values, found.first, part));
  }
  chart.panes().forEach((pane, i) => pane.setStretchFactor(i === 0 ? 4 : 1.3));
  return { items, panes: panes.size, load: (part, joined) => loads.forEach((draw) => draw(part, joined)) };
};

// The fills of a pair, one entry for each side of each candle of the tape.
const marksOf = (pair, bars, all) => {
  const scale = Math.pow(10, pair.decimals), sizes = Math.pow(10, pair.places);
  return Array.from(summed(all.row), (row, i) => { const lots = all.lots[i] / sizes; return { row, side: all.side[i], fills: all.fills[i], amount: lots, value: lots * (bars.close[row] + all.price[i] / scale) }; });
};
// Merges fills of one side within so many candles of the tape, counted from a first one.
const mergeMarks = (marks, first, last, size) => {
  const groups = new Map();
  for (const m of marks) {
    if (m.row < first || m.row >= last) continue;
    const place = Math.floor((m.row - first) / size), key = place * 2 + (m.side > 0 ? 1 : 0);
    const group = groups.get(key);
    if (!group) groups.set(key, { place, side: m.side, fills: m.fills, amount: m.amount, value: m.value });
    else { group.fills += m.fills; group.amount += m.amount; group.value += m.value; }
  }
  return [...groups.values()].sort((a, b) => a.place - b.place);
};

const drawPrice = (pair, trades) => {
  const panel = element("div", document.getElementById("prices"), "panel");
  const place = element("div", panel, "chart");
  place.setAttribute("data-chart", "");
  const price = (value) => grouped(value, pair.decimals);
  const name = pair.pair.toUpperCase().replace("_", " / ");
  const chart = make(place, false, tr("Price of {} with fills and trades", name));
  const scale = chart.timeScale();
  const bars = barsOf(pair), marks = marksOf(pair, bars, pair.marks), orders = restingOf(pair, bars);
  // fills of a simulation, as dots over the arrows
  const simulated = pair.simulated ? marksOf(pair, bars, pair.simulated) : [], allMarks = [...marks, ...simulated];
  let part = { first: 0, last: 0, step: 1 }, t = [], rows = [];
  const inPrice = { type: "custom", formatter: price, minMove: Math.pow(10, -pair.decimals) };
  const series = themed(
    chart.addSeries(LC.CandlestickSeries, { priceLineVisible: false, lastValueVisible: false, priceFormat: inPrice }),
    () => ({ upColor: color("candle-up"), downColor: color("candle"), borderUpColor: color("candle"), borderDownColor: color("candle"), wickUpColor: color("candle"), wickDownColor: color("candle") }),
  );
  const layer = LC.createSeriesMarkers(series, []);
  // A thousand arrows would bury the price, so fills on neighbouring candles are merged until the user zooms in.
  let block = 0;                                           // candles of the chart; unknown until it has a range
  const mark = () => {
    const groups = mergeMarks(marks, part.first, part.last, part.step * block);
    const dots = mergeMarks(simulated, part.first, part.last, part.step * block).map((m) => ({
      time: t[Math.min(t.length - 1, m.place * block + (block >> 1))], price: m.amount ? m.value / m.amount : 0,
      size: 0.5, position: "atPriceMiddle", shape: "circle", color: color(m.side > 0 ? "buy" : "sell"), text: "",
    }));
    const arrows = groups.map((m) => ({
      time: t[Math.min(t.length - 1, m.place * block + (block >> 1))], price: m.amount ? m.value / m.amount : 0,
      size: groups.length > 60 ? 0.75 : 1,
      position: m.side > 0 ? "atPriceBottom" : "atPriceTop",
      shape: m.side > 0 ? "arrowUp" : "arrowDown",
      color: color(m.side > 0 ? "buy" : "sell"),
      text: m.fills > 1 && groups.length <= place.clientWidth / 20 ? "×" + m.fills : "",
    }));
    layer.setMarkers(dots.length ? [...arrows, ...dots].sort((a, b) => a.time - b.time) : arrows);
  };
  drawn.push(() => { if (block) mark(); });
  const at = (time) => Math.max(0, lastAt(bars.t, time));
  const lines = new TradeLines(trades.filter((trade) => trade.enter !== null).map((trade) => ({ ...trade, from: at(trade.opened), to: at(trade.closed) })), () => part);
  series.attachPrimitive(lines);
  drawn.push(() => lines.update());
  if (orders.count) { const resting = new RestingLines(orders, () => part); series.attachPrimitive(resting); drawn.push(() => resting.update()); }
  const plots = addLines(chart, pair, bars, inPrice);
  place.style.height = 300 + 100 * (plots.panes - 1) + "px";

  // What the chart holds now: its candles by time, and its fills by side and time.
  let figures = new Map(), bySide = [];
  const load = (wanted) => {
    part = wanted;
    const joined = joinBars(bars, part);
    t = joined.t;
    rows = joined.rows;
    series.setData(rows);
    plots.load(part, joined);
    figures = new Map(rows.map((row) => [row.time, row]));
    bySide = [new Map(), new Map(), new Map(), new Map()];
    [marks, simulated].forEach((each, i) => { for (const m of mergeMarks(each, part.first, part.last, part.step)) bySide[2 * i + (m.side > 0 ? 0 : 1)].set(t[m.place], m); });
    block = 0;
  };
  // The rows of the tape in view; the last may lie between two.
  const inView = () => { const range = scale.getVisibleLogicalRange(); return range && [part.first + range.from * part.step, part.first + range.to * part.step]; };
  const show = (from, to) => {
    const wanted = partOf(bars, Math.max(0, from), Math.min(bars.n, to));
    if (wanted.first !== part.first || wanted.last !== part.last || wanted.step !== part.step) load(wanted);
    scale.setVisibleLogicalRange({ from: (from - part.first) / part.step, to: (to - part.first) / part.step });
  };
  // Zooming in reads finer candles from the file, zooming out joins them, once the view has come to rest.
  let resting = 0;
  const refine = () => {
    const view = inView();
    if (!view || bars.n <= POINTS) return;
    const [from, to] = view, wanted = partOf(bars, Math.max(0, from), Math.min(bars.n, to));
    const edge = (to - from) / 4;
    const reaches = (from - edge >= part.first || part.first === 0) && (to + edge <= part.last || part.last === bars.n);
    if (!reaches || wanted.step < part.step || wanted.step >= part.step * 2) show(from, to);
    place.dataset.step = String(part.step);
  };
  scale.subscribeVisibleLogicalRangeChange((range) => {
    if (!range) return;
    const blocks = Math.max(20, Math.floor(place.clientWidth / 14));
    const [from, to] = inView();
    let visible = 0;
    for (const m of allMarks) if (m.row >= from && m.row <= to) visible++;
    const wanted = visible <= blocks ? 1 : Math.pow(2, Math.max(0, Math.ceil(Math.log2((range.to - range.from) / blocks))));
    if (wanted !== block) { block = wanted; mark(); }
    clearTimeout(resting);
    resting = setTimeout(refine, 150);
  });
  load(partOf(bars, 0, bars.n));
  place.dataset.step = String(part.step);
  const total = (side, all = marks) => grouped(all.reduce((sum, m) => sum + (m.side === side ? m.fills : 0), 0), 0);
  const spell = (side) => (time) => { const m = bySide[side].get(time); return m ? tr("{} ({} at {})", grouped(m.fills, 0), amount(m.amount), price(m.value / m.amount)) : "–"; };
  // joined candles may reach over gaps, up to the next one
  const endOf = (time) => {
    if (!pair.joined && part.step === 1) return time + pair.width / 1000;
    const next = t[lastAt(t, time) + 1];
    return next === undefined ? bars.t[part.last - 1] + pair.width / 1000 : next;
  };
  const kinds = RESTING.filter(({ kind }) => orders.kind.includes(kind));
  const say = legend(place, chart, [
    { title: "", color: "candle", at: (time) => { const row = figures.get(time); return row ? `O ${price(row.open)} H ${price(row.high)} L ${price(row.low)} C ${price(row.close)}` : "–"; }, last: bars.n ? price(bars.close[bars.n - 1]) : "" },
    { title: tr("buys"), mark: "▲", color: "buy", at: spell(0), last: total(1) },
    { title: tr("sells"), mark: "▼", color: "sell", at: spell(1), last: total(-1) },
    ...(pair.simulated ? [
      { title: tr("simulated buys"), mark: "●", color: "buy", at: spell(2), last: total(1, simulated) },
      { title: tr("simulated sells"), mark: "●", color: "sell", at: spell(3), last: total(-1, simulated) },
    ] : []),
    ...kinds.map(({ title, hue, kind }) => ({ title: tr(title), color: hue, at: (time) => restedIn(orders, kind, time, endOf(time), price), last: grouped(orders.kind.filter((each) => each === kind).length, 0) })),
    ...plots.items,
  ], name, (time) => tr("{} to {}", when(time), when(endOf(time))), () => { show(-0.5, bars.n - 0.5); scale.fitContent(); });
  withKeys(place, chart, say, () => ({ t, series, value: (i) => rows[i].close }));
  if (pair.left_out) element("p", panel, "dim", tr("{} more lines were plotted but do not fit on the chart.", pair.left_out));
  scale.fitContent();
  const note = element("p", panel, "chosen-trade");
  note.hidden = true;
  panels.set(pair.pair, {
    panel, note, chart,
    // Brings a trade's entry and exit into view and marks them. A loop's legs have no line.
    show: (trade) => {
      const chosen = { ...trade, from: at(trade.opened), to: at(trade.closed) };
      const margin = Math.max(12, (chosen.to - chosen.from) * 0.4);
      show(Math.max(-0.5, chosen.from - margin), Math.min(bars.n - 0.5, chosen.to + margin));
      lines.choose(chosen);
    },
    clear: () => { lines.choose(null); note.hidden = true; },
  });
};
