// The price chart with own fills and orders, and the equity of the run.
const WIDTHS = [60, 300, 900, 3600, 14400, 86400];
const ORDER_LINES_MAX = 40, PLOTS_MAX = 12;
const price = { chart: null, rows: [], lines: new Map(), plots: new Map(), panes: new Map(), linesDone: 0, decimals: 2 };

const decimalsOfPair = (pair) => { const found = (state.sections.head || {}).decimals || {}; return found[pair] ? found[pair][0] : 2; };
const priceText = (value) => grouped(value, price.decimals);

const drawPriceChart = () => {
  const place = byId("price");
  place.setAttribute("data-chart", "");
  const chart = price.chart = make(place, true, tr("Price with own fills and open orders"));
  chart.applyOptions({ timeScale: { rightOffset: 4, fixLeftEdge: false, fixRightEdge: false, minBarSpacing: 0.5 }, rightPriceScale: { scaleMargins: { top: 0.1, bottom: 0.2 } } });
  price.volume = themed(chart.addSeries(LC.HistogramSeries, { ...QUIET, priceScaleId: "volume", priceFormat: inAmount }), () => ({ color: color("grid") }));
  price.volume.priceScale().applyOptions({ scaleMargins: { top: 0.86, bottom: 0 } });
  price.series = themed(
    chart.addSeries(LC.CandlestickSeries, { priceLineVisible: true, priceLineWidth: 1, lastValueVisible: true, priceFormat: { type: "custom", formatter: priceText, minMove: 1e-8 } }),
    () => ({ upColor: color("candle-up"), downColor: color("candle"), borderUpColor: color("candle"), borderDownColor: color("candle"), wickUpColor: color("candle"), wickDownColor: color("candle"), priceLineColor: color("accent") }),
  );
  price.layer = LC.createSeriesMarkers(price.series, []);
  drawn.push(drawMarks, () => { drawOrderLines(true); });
  price.items = [
    { title: "", color: "candle", at: (time) => spellCandle(price.byTime.get(time)), last: "" },
    { title: tr("buys"), mark: "▲", color: "buy", at: (time) => spellFills(time, 1), last: "0" },
    { title: tr("sells"), mark: "▼", color: "sell", at: (time) => spellFills(time, -1), last: "0" },
  ];
  price.byTime = new Map();
  price.fills = new Map();
  price.say = legend(place, chart, price.items, "", (time) => when(time));
};
const spellCandle = (row) => (row ? tr("O {} H {} L {} C {}", priceText(row.open), priceText(row.high), priceText(row.low), priceText(row.close)) : "–");
const spellFills = (time, side) => {
  const found = price.fills.get(`${time} ${side}`);
  return found ? tr("{} ({} at {})", grouped(found.count, 0), amount(found.amount), priceText(found.value / found.amount)) : "–";
};
const showLast = () => {
  const last = price.rows[price.rows.length - 1];
  const fills = state.rows.fills.filter((row) => row[2] === state.pair);
  price.items[0].last = last ? priceText(last.close) : "";
  price.items[1].last = grouped(fills.filter((row) => row[3] === "buy").length, 0);
  price.items[2].last = grouped(fills.filter((row) => row[3] !== "buy").length, 0);
  // the legend shows the last values until the pointer is over the chart
  if (!byId("price").matches(":hover")) price.items.forEach((item) => setText(item.out, item.last));
};

const takeCandles = (given) => {
  if (given.pair !== state.pair || given.width !== state.width) return;
  price.decimals = decimalsOfPair(given.pair);
  const rows = given.rows.map(([time, open, high, low, close, volume]) => ({ time: local(time), open, high, low, close, volume }));
  const bars = (row) => ({ time: row.time, value: row.volume });
  if (given.whole) {
    price.rows = rows;
    price.byTime = new Map(rows.map((row) => [row.time, row]));
    price.series.setData(rows);
    price.volume.setData(rows.map(bars));
    // as wide as later, even if there are few yet, so that what follows does not push them out of view
    const shown = Math.max(30, Math.floor(byId("price").clientWidth / 10));
    price.chart.timeScale().setVisibleLogicalRange({ from: rows.length - shown, to: rows.length + 3 });
  } else {
    for (const row of rows) {
      const last = price.rows[price.rows.length - 1];
      if (last && row.time < last.time) continue;
      if (last && row.time === last.time) price.rows.pop();
      price.rows.push(row);
      price.byTime.set(row.time, row);
      price.series.update(row);
      price.volume.update(bars(row));
    }
  }
  byId("price-none").hidden = price.rows.length > 0;
  drawMarks();
};
const clearPrice = () => {
  price.rows = [];
  price.byTime.clear();
  price.series.setData([]);
  price.volume.setData([]);
  clearPlots();
  drawOrderLines(true);
  drawMarks();
};

// Fills of one side within a candle are one arrow at their average price.
const drawMarks = () => {
  price.fills.clear();
  if (price.rows.length) {
    const first = price.rows[0].time;
    for (const [ns, , pair, side, at, size] of state.rows.fills) {
      if (pair !== state.pair) continue;
      const seconds = ofNanos(ns), time = local(Math.floor(seconds / state.width) * state.width);
      if (time < first) continue;
      const key = `${time} ${side === "buy" ? 1 : -1}`;
      const group = price.fills.get(key) || { time, side: side === "buy" ? 1 : -1, count: 0, amount: 0, value: 0 };
      group.count += 1; group.amount += size; group.value += size * at;
      price.fills.set(key, group);
    }
  }
  const groups = [...price.fills.values()].filter((group) => price.byTime.has(group.time)).sort((a, b) => a.time - b.time);
  const isRoomy = price.chart.timeScale().options().barSpacing >= 24;   // counts of neighbours would cover each other
  price.layer.setMarkers(groups.map((group) => ({
    time: group.time, price: group.value / group.amount, size: groups.length > 60 ? 0.75 : 1,
    position: group.side > 0 ? "atPriceBottom" : "atPriceTop", shape: group.side > 0 ? "arrowUp" : "arrowDown",
    color: color(group.side > 0 ? "buy" : "sell"), text: group.count > 1 && isRoomy ? "×" + group.count : "",
  })));
  showLast();
};

// A dashed line for each own limit order.
const drawOrderLines = (anew) => {
  if (anew) { price.lines.forEach((line) => price.series.removePriceLine(line)); price.lines.clear(); }
  const orders = (state.sections.orders || []).filter((order) => order.pair === state.pair && order.price !== null).slice(0, ORDER_LINES_MAX);
  const wanted = new Set();
  for (const order of orders) {
    const key = `${order.id} ${order.price}`;
    wanted.add(key);
    if (!price.lines.has(key)) {
      price.lines.set(key, price.series.createPriceLine({ price: order.price, color: color(order.side === "buy" ? "buy" : "sell"), lineWidth: 1, lineStyle: LC.LineStyle.Dashed, axisLabelVisible: orders.length <= 6, title: orders.length <= 6 ? tr(order.side) : "" }));
    }
  }
  for (const [key, line] of price.lines) if (!wanted.has(key)) { price.series.removePriceLine(line); price.lines.delete(key); }
};

// What strategies draw, attached indicators and plots: a value a minute, and the latest one. Each candle shows the last
// value within it. What is not on the price has a pane of its own.
const plotOf = (strategy, name, pane) => {
  const key = `${strategy} ${name}`, found = price.plots.get(key);
  if (found) return found;
  if (price.plots.size >= PLOTS_MAX) return null;
  const onPrice = pane === "price";
  if (!onPrice && !price.panes.has(pane)) price.panes.set(pane, price.panes.size + 1);
  const hue = "hue" + ((price.plots.size * 5) % HUES.length);
  const format = onPrice ? priceText : (value) => money(value);
  const plot = { values: new Map(), last: -Infinity };
  plot.series = themed(price.chart.addSeries(LC.LineSeries, { ...QUIET, priceFormat: { type: "custom", formatter: format, minMove: 1e-8 } }, onPrice ? 0 : price.panes.get(pane)), () => ({ color: color(hue) }));
  plot.item = { title: name, color: hue, last: "", at: (time) => (plot.values.has(time) ? format(plot.values.get(time)) : "–"), format };
  price.say.add(plot.item);
  price.plots.set(key, plot);
  byId("price").style.setProperty("--panes", price.panes.size);
  price.chart.panes().forEach((each, i) => each.setStretchFactor(i === 0 ? 4 : 1.2));
  return plot;
};
const drawPlots = () => {
  if (!price.rows.length) return;
  const times = price.rows.map((row) => row.time), touched = new Set();
  const put = (strategy, pair, name, pane, at, value) => {
    if (pair !== state.pair || local(at) < times[0]) return;
    const time = times[lastAt(times, local(at))];
    const plot = plotOf(strategy, name, pane);
    if (!plot || time < plot.last) return;
    plot.last = time;
    plot.values.set(time, value);
    touched.add(plot);
  };
  const begin = (state.next.lines || 0) - state.rows.lines.length;
  state.rows.lines.slice(Math.max(0, price.linesDone - begin)).forEach((row) => put(...row));
  price.linesDone = state.next.lines || 0;
  for (const point of state.sections.plots || []) put(point.strategy, point.pair, point.name, point.pane, ofNanos(point.time), point.value);
  for (const plot of touched) {
    plot.series.setData([...plot.values].map(([time, value]) => ({ time, value })));
    plot.item.last = plot.item.format(plot.values.get(plot.last));
    if (!byId("price").matches(":hover")) setText(plot.item.out, plot.item.last);
  }
};
const clearPlots = () => {
  price.plots.forEach((plot) => { price.chart.removeSeries(plot.series); price.say.remove(plot.item); });
  price.plots.clear();
  price.panes.clear();
  price.linesDone = 0;
  byId("price").style.setProperty("--panes", 0);
};

const equity = { chart: null, last: 0, opening: null };
const drawEquityChart = () => {
  const place = byId("equity");
  place.setAttribute("data-chart", "");
  equity.chart = make(place, false, tr("Equity of this run"));
  equity.chart.applyOptions({ handleScroll: false, handleScale: false });
  equity.series = themed(equity.chart.addSeries(LC.AreaSeries, { ...QUIET, lineWidth: 2, lastValueVisible: true, priceFormat: inMoney }), () => ({ lineColor: color("accent"), topColor: color("accent-soft"), bottomColor: color("accent-none") }));
};
const openingNow = () => { const bot = state.bots.find((found) => found.id === state.bot); return bot && bot.opening !== undefined ? bot.opening : null; };
// Capital moved in or out is neither profit nor loss: each point is what the bot had earned by then on what it has now.
const showEquity = (anew) => {
  const opening = openingNow();
  if (opening !== equity.opening) { equity.opening = opening; anew = true; }
  if (anew) equity.last = 0;
  const points = [];
  let last = -1, moved = false;
  for (const [seconds, worth, profit] of state.rows.equity) {
    const time = local(seconds), value = profit === null || opening === null ? worth : opening + profit;
    if (Math.abs(value - worth) > 1e-6) moved = true;
    if (time > last) { points.push({ time, value }); last = time; }
  }
  byId("equity-note").hidden = !moved;
  if (points.length && !anew && equity.last) points.filter((point) => point.time >= equity.last).forEach((point) => equity.series.update(point));
  else equity.series.setData(points);
  equity.last = last > 0 ? last : 0;
  equity.chart.timeScale().fitContent();
};
