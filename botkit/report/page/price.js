// A chart for each pair: candles, volume, indicators, fills, and lines from the entries of trades to their exits.
const panels = new Map();                                  // by pair
const LINES_AT_ONCE = 300;                                 // more lines would bury the price; zooming in shows them

// Draws trades over the candles of a pair. `trades` have rows, prices, and whether they won.
class TradeLines {
  constructor(trades) { this.trades = trades; this.chosen = null; this.view = { zOrder: () => "top", renderer: () => ({ draw: (target) => target.useMediaCoordinateSpace((space) => this.draw(space)) }) }; }
  attached({ chart, series, requestUpdate }) { this.chart = chart; this.series = series; this.update = requestUpdate; }
  updateAllViews() {}
  paneViews() { return [this.view]; }
  choose(trade) { this.chosen = trade; this.update(); }
  draw({ context, mediaSize }) {
    const scale = this.chart.timeScale(), range = scale.getVisibleLogicalRange();
    if (!range) return;
    const gain = color("gain"), loss = color("loss");
    const seen = [];
    for (const trade of this.trades) {
      if (trade.to < range.from || trade.from > range.to) continue;
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
    const [left, right] = [scale.logicalToCoordinate(chosen.from), scale.logicalToCoordinate(chosen.to)];
    if (left !== null && right !== null) {
      context.fillStyle = color("accent-soft");
      context.fillRect(left - 3, 0, right - left + 6, mediaSize.height);
      if (chosen.enter !== null) {
        this.join(context, scale, chosen, gain, loss, 2.5);
        context.strokeStyle = color("ink");
        context.fillStyle = color("paper");
        context.lineWidth = 2;
        for (const [x, price] of [[left, chosen.enter], [right, chosen.leave]]) {
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
  join(context, scale, trade, gain, loss, width) {
    const x1 = scale.logicalToCoordinate(trade.from), x2 = scale.logicalToCoordinate(trade.to);
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

// Draws volume, indicators and plots, creating panes below the price on first use. Returns legend entries.
const drawLines = (chart, pair, t, inPrice) => {
  const panes = new Map([["price", 0]]);
  const paneOf = (name) => { if (!panes.has(name)) panes.set(name, panes.size); return panes.get(name); };
  const items = [];
  const add = (title, hue, kind, options, values, pane, format) => {
    const series = themed(chart.addSeries(kind, { ...QUIET, ...options }, paneOf(pane)), () => ({ color: color(hue) }));
    // What an indicator of longer bars says stays in force until its next bar. Without values in between, the chart,
    // which joins candles when there are more than pixels, would lose most of the line.
    let last = null;
    const inForce = values.map((value) => (last = value === null ? last : value));
    series.setData(pointsOf(t, inForce));
    items.push({ title, color: hue, at: valuesAt(t, inForce, format), last: last === null ? "" : format(last) });
  };
  if (pair.volume.length) add("Volume " + pair.base, "hold", LC.HistogramSeries, { priceFormat: inAmount }, volumesOf(pair), "volume", shortAmount);
  for (const found of pair.lines) {
    const onPrice = found.pane === "price";
    const bars = found.field === "histogram";
    const format = onPrice ? inPrice.formatter : found.pane === "volume" ? shortAmount : (value) => money(value);
    add(found.name, "hue" + ((found.group * 5 + (bars ? 1 : 0)) % HUES.length), bars ? LC.HistogramSeries : LC.LineSeries,
      { priceFormat: onPrice ? inPrice : { ...inAmount, formatter: format }, ...(found.field && !bars ? { lineStyle: ["middle", "line"].includes(found.field) ? LC.LineStyle.Solid : LC.LineStyle.Dashed } : {}) },
      found.v, found.pane, format);
  }
  chart.panes().forEach((pane, i) => pane.setStretchFactor(i === 0 ? 4 : 1.3));
  return { items, panes: panes.size };
};

const volumesOf = (pair) => pair.volume.map((digits, i) => { const power = pair.volume_power[i]; return power < 0 ? digits / Math.pow(10, -power) : digits * Math.pow(10, power); });

// Candles are packed in ticks: closes as differences, opens against the close before, highs and lows against the body.
const candlesOf = (pair, t) => {
  const scale = Math.pow(10, pair.decimals), close = summed(pair.c);
  return t.map((time, i) => {
    const end = close[i], open = pair.o[i] + (i ? close[i - 1] : 0);
    return { time, open: open / scale, high: (Math.max(open, end) + pair.h[i]) / scale, low: (Math.min(open, end) - pair.l[i]) / scale, close: end / scale };
  });
};

const drawPrice = (pair, trades) => {
  const panel = element("div", document.getElementById("prices"), "panel");
  const place = element("div", panel, "chart");
  place.setAttribute("data-chart", "");
  const price = (value) => grouped(value, pair.decimals);
  const name = pair.pair.toUpperCase().replace("_", " / ");
  const chart = make(place, false, `Price of ${name} with fills and trades`);
  const t = seconds(pair.t);
  const rows = candlesOf(pair, t);
  const inPrice = { type: "custom", formatter: price, minMove: Math.pow(10, -pair.decimals) };
  const series = themed(
    chart.addSeries(LC.CandlestickSeries, { priceLineVisible: false, lastValueVisible: false, priceFormat: inPrice }),
    () => ({ upColor: color("candle-up"), downColor: color("candle"), borderUpColor: color("candle"), borderDownColor: color("candle"), wickUpColor: color("candle"), wickDownColor: color("candle") }),
  );
  series.setData(rows);
  const scale = Math.pow(10, pair.decimals), sizes = Math.pow(10, pair.places), all = pair.marks;
  const marks = summed(all.row).map((row, i) => ({ row, time: t[row], side: all.side[i], fills: all.fills[i], amount: all.lots[i] / sizes, average: rows[row].close + all.price[i] / scale }));
  const layer = LC.createSeriesMarkers(series, []);
  // A thousand arrows would bury the price, so fills on neighbouring candles are merged until the user zooms in.
  const joined = (block) => {
    const groups = new Map();
    for (const m of marks) {
      const key = Math.floor(m.row / block) * 2 + (m.side > 0 ? 1 : 0);
      const group = groups.get(key);
      if (!group) groups.set(key, { row: m.row, side: m.side, fills: m.fills, amount: m.amount, value: m.amount * m.average });
      else { group.fills += m.fills; group.amount += m.amount; group.value += m.amount * m.average; }
    }
    return [...groups.values()].sort((a, b) => a.row - b.row);
  };
  let block = 0;                                           // unknown until the chart has a range
  const mark = () => {
    const groups = joined(block);
    layer.setMarkers(groups.map((m) => ({
      time: t[Math.min(t.length - 1, Math.floor(m.row / block) * block + (block >> 1))], price: m.amount ? m.value / m.amount : 0,
      size: groups.length > 60 ? 0.75 : 1,
      position: m.side > 0 ? "atPriceBottom" : "atPriceTop",
      shape: m.side > 0 ? "arrowUp" : "arrowDown",
      color: color(m.side > 0 ? "buy" : "sell"),
      text: m.fills > 1 && groups.length <= 60 ? "×" + m.fills : "",
    })));
  };
  drawn.push(() => { if (block) mark(); });
  chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
    if (!range) return;
    const blocks = Math.max(20, Math.floor(place.clientWidth / 14));
    const visible = marks.filter((m) => m.row >= range.from && m.row <= range.to).length;
    const wanted = visible <= blocks ? 1 : Math.pow(2, Math.max(0, Math.ceil(Math.log2((range.to - range.from) / blocks))));
    if (wanted !== block) { block = wanted; mark(); }
  });
  const bySide = (side) => new Map(marks.filter((m) => m.side === side).map((m) => [m.time, m]));
  const total = (side) => grouped(marks.reduce((sum, m) => sum + (m.side === side ? m.fills : 0), 0), 0);
  const spell = (map) => (time) => { const m = map.get(time); return m ? `${grouped(m.fills, 0)} (${amount(m.amount)} at ${price(m.average)})` : "–"; };
  const at = (time) => Math.max(0, lastAt(t, time));
  const lines = new TradeLines(trades.filter((trade) => trade.enter !== null).map((trade) => ({ ...trade, from: at(trade.opened), to: at(trade.closed) })));
  series.attachPrimitive(lines);
  drawn.push(() => lines.update());
  const plots = drawLines(chart, pair, t, inPrice);
  place.style.height = 300 + 100 * (plots.panes - 1) + "px";
  const figures = new Map(rows.map((row) => [row.time, row]));
  legend(place, chart, [
    { title: "", color: "candle", at: (time) => { const row = figures.get(time); return row ? `O ${price(row.open)} H ${price(row.high)} L ${price(row.low)} C ${price(row.close)}` : "–"; }, last: rows.length ? price(rows[rows.length - 1].close) : "" },
    { title: "buys", mark: "▲", color: "buy", at: spell(bySide(1)), last: total(1) },
    { title: "sells", mark: "▼", color: "sell", at: spell(bySide(-1)), last: total(-1) },
    ...plots.items,
  ], name, (time) => {
    // joined candles may reach over gaps, up to the next one
    const next = pair.joined ? t[lastAt(t, time) + 1] : undefined;
    return `${when(time)} to ${when(next === undefined ? time + pair.width / 1000 : next)}`;
  });
  if (pair.left_out) element("p", panel, "dim", `${pair.left_out} more lines were plotted but do not fit on the chart.`);
  chart.timeScale().fitContent();
  const note = element("p", panel, "chosen-trade");
  note.hidden = true;
  panels.set(pair.pair, {
    panel, note, chart,
    // Brings a trade's entry and exit into view and marks them. A loop's legs have no line.
    show: (trade) => {
      const chosen = { ...trade, from: at(trade.opened), to: at(trade.closed) };
      const margin = Math.max(12, (chosen.to - chosen.from) * 0.4);
      chart.timeScale().setVisibleLogicalRange({ from: Math.max(-0.5, chosen.from - margin), to: Math.min(t.length - 0.5, chosen.to + margin) });
      lines.choose(chosen);
    },
    clear: () => { lines.choose(null); note.hidden = true; },
  });
};
