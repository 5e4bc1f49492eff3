"use strict";
// Draws the report's charts from the page's JSON block. Times in it are local milliseconds, as differences.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const LC = window.LightweightCharts;
  const drawn = [];                                        // functions that repaint charts in the theme's colours
  const color = (name) => getComputedStyle(root).getPropertyValue("--" + name).trim();
  const times = (list) => { let sum = 0; return list.map((step) => (sum += step) / 1000); };
  const lineOf = (series) => { const t = times(series.t); return series.v.map((value, i) => ({ time: t[i], value })); };
  const grouped = (value, decimals) => value.toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals }).replace("-", "−");
  const money = (value) => { const size = Math.abs(value); return grouped(value, size >= 1e4 ? 0 : size >= 10 || size === 0 ? 2 : size >= 0.1 ? 4 : 8); };
  const element = (tag, parent, className, text) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;       // never innerHTML: names come from files
    if (parent) parent.appendChild(made);
    return made;
  };
  const two = (n) => String(n).padStart(2, "0");
  const when = (time) => {
    const d = new Date(time * 1000);
    const day = `${d.getUTCFullYear()}-${two(d.getUTCMonth() + 1)}-${two(d.getUTCDate())} ${two(d.getUTCHours())}:${two(d.getUTCMinutes())}`;
    return data.seconds ? `${day}:${two(d.getUTCSeconds())}` : day;
  };

  const make = (place, logo) => {
    const chart = LC.createChart(place, {
      autoSize: true,
      layout: { attributionLogo: logo, fontFamily: getComputedStyle(document.body).fontFamily, panes: { enableResize: false } },
      localization: { timeFormatter: when },
      rightPriceScale: { borderVisible: false, scaleMargins: { top: 0.08, bottom: 0.08 } },
      timeScale: { borderVisible: false, timeVisible: true, secondsVisible: data.seconds, minBarSpacing: 0.01, lockVisibleTimeRangeOnResize: true, fixLeftEdge: true, fixRightEdge: true },
      // the wheel scrolls the page, so that scrolling does not get stuck in a chart
      handleScroll: { mouseWheel: false, vertTouchDrag: false },
      handleScale: { mouseWheel: false },
      crosshair: { mode: LC.CrosshairMode.Magnet },
    });
    drawn.push(() => chart.applyOptions({
      layout: { background: { type: "solid", color: "transparent" }, textColor: color("dim"), panes: { separatorColor: color("line"), separatorHoverColor: color("line") } },
      grid: { vertLines: { color: "transparent" }, horzLines: { color: color("grid") } },
      crosshair: { vertLine: { color: color("dim"), labelBackgroundColor: color("dim") }, horzLine: { color: color("dim"), labelBackgroundColor: color("dim") } },
    }));
    return chart;
  };

  // The value of a line between two of its points: interpolated as drawn, and marked as approximate.
  const between = (item, time) => {
    const rows = item.rows;
    if (!rows || !rows.length || time < rows[0].time || time > rows[rows.length - 1].time) return "–";
    let low = 0, high = rows.length - 1;
    while (high - low > 1) { const middle = (low + high) >> 1; if (rows[middle].time <= time) low = middle; else high = middle; }
    const share = (time - rows[low].time) / (rows[high].time - rows[low].time || 1);
    return "≈ " + item.format({ value: rows[low].value + (rows[high].value - rows[low].value) * share });
  };

  // A row above a chart with the names of its series and their values under the pointer, or the last values.
  const legend = (place, chart, items, name) => {
    const bar = element("div", null, "legend");
    place.parentNode.insertBefore(bar, place);
    if (name) element("span", bar, "name", name);
    for (const item of items) {
      const span = element("span", bar);
      const swatch = element("i", span, item.mark ? "mark" : "", item.mark);
      drawn.push(() => { if (item.mark) swatch.style.color = color(item.color); else swatch.style.background = color(item.color); });
      span.appendChild(document.createTextNode(item.title + " "));
      item.out = element("b", span, "", item.last);
    }
    const clock = element("span", bar, "", "");
    const zoom = element("span", bar, "zoom");
    const scale = chart.timeScale();
    const by = (factor) => () => {
      const range = scale.getVisibleLogicalRange();
      if (!range) return;
      const middle = (range.from + range.to) / 2, half = (range.to - range.from) / 2 * factor;
      scale.setVisibleLogicalRange({ from: middle - half, to: middle + half });
    };
    for (const [text, label, act] of [["+", "Zoom in", by(0.5)], ["−", "Zoom out", by(2)], ["all", "Show all", () => scale.fitContent()]]) {
      const button = element("button", zoom, "", text);
      button.type = "button";
      button.title = label;
      button.setAttribute("aria-label", label);
      button.addEventListener("click", act);
    }
    chart.subscribeCrosshairMove((event) => {
      const inside = event.time !== undefined && event.point !== undefined;
      clock.textContent = inside ? when(event.time) : "";
      for (const item of items) {
        if (!item.series && !item.at) continue;
        if (!inside) item.out.textContent = item.last;
        else if (item.at) item.out.textContent = item.at(event.time);
        else {
          const row = event.seriesData.get(item.series);
          // never keep the old text: series have points at different times
          item.out.textContent = row ? item.format(row) : between(item, event.time);
        }
      }
    });
  };
  const HUES = ["#3b78d8", "#c2761b", "#2a9070", "#a14bb5", "#c0453b", "#7a8420", "#3a9ab5", "#8a6cc9", "#b0527c", "#5c7f9e", "#96713d", "#4d9a4d"];
  HUES.forEach((hue, i) => root.style.setProperty("--hue" + i, hue));
  const inMoney = { type: "custom", formatter: money, minMove: 1e-8 };
  const lastOf = (rows, format) => (rows.length ? format(rows[rows.length - 1]) : "");
  const themed = (series, options) => { drawn.push(() => series.applyOptions(options())); return series; };

  const drawEquity = () => {
    const place = document.getElementById("equity");
    const rows = lineOf(data.equity), falls = lineOf(data.drawdown), hold = data.hold ? lineOf(data.hold) : [];
    if (!rows.length) { place.classList.add("empty"); place.textContent = "There were no prices to value the holdings."; return; }
    const chart = make(place, true);
    const items = [];
    if (hold.length) {
      const series = themed(chart.addSeries(LC.LineSeries, { lineWidth: 1, lineStyle: LC.LineStyle.Dashed, priceLineVisible: false, lastValueVisible: false, crosshairMarkerVisible: false, priceFormat: inMoney }), () => ({ color: color("hold") }));
      series.setData(hold);
      items.push({ title: "Buy and hold", color: "hold", series, rows: hold, format: (row) => money(row.value), last: lastOf(hold, (row) => money(row.value)) });
    }
    const equity = themed(chart.addSeries(LC.AreaSeries, { lineWidth: 2, priceLineVisible: false, priceFormat: inMoney }), () => ({ lineColor: color("accent"), topColor: color("accent-soft"), bottomColor: color("accent-none") }));
    equity.setData(rows);
    items.unshift({ title: "Equity " + data.currency, color: "accent", series: equity, rows, format: (row) => money(row.value), last: lastOf(rows, (row) => money(row.value)) });
    const percent = (value) => grouped(value, 2) + " %";
    const fall = themed(chart.addSeries(LC.AreaSeries, { lineWidth: 1, priceLineVisible: false, lastValueVisible: false, invertFilledArea: true, priceFormat: { type: "custom", formatter: percent, minMove: 0.01 } }, 1), () => ({ lineColor: color("loss"), topColor: color("fall"), bottomColor: color("fall") }));
    fall.setData(falls);
    fall.priceScale().applyOptions({ scaleMargins: { top: 0.04, bottom: 0.08 } });
    const deepest = falls.reduce((least, row) => Math.min(least, row.value), 0);
    items.push({ title: "Drawdown", color: "loss", series: fall, rows: falls, format: (row) => percent(row.value), last: "deepest " + percent(deepest) });
    const panes = chart.panes();
    panes[0].setStretchFactor(3);
    panes[1].setStretchFactor(1);
    legend(place, chart, items);
    chart.timeScale().fitContent();
  };

  const drawStrategies = () => {
    const place = document.getElementById("strategies");
    if (!place) return;
    const chart = make(place, false);
    const items = data.strategies.map((strategy, i) => {
      const rows = lineOf(strategy);
      const series = chart.addSeries(LC.LineSeries, { lineWidth: 2, color: HUES[i % HUES.length], priceLineVisible: false, lastValueVisible: false, priceFormat: inMoney });
      series.setData(rows);
      return { title: strategy.name, color: "hue" + (i % HUES.length), series, rows, format: (row) => money(row.value), last: lastOf(rows, (row) => money(row.value)) };
    });
    legend(place, chart, items);
    chart.timeScale().fitContent();
  };

  // Draws volume, indicators and plots on a pair's chart, creating panes below the price on first use. Returns legend entries.
  const drawLines = (chart, pair, t, inPrice) => {
    const panes = new Map([["price", 0]]);
    const paneOf = (name) => { if (!panes.has(name)) panes.set(name, panes.size); return panes.get(name); };
    const amount = (value) => Number(value.toPrecision(4)).toLocaleString("en-US", { maximumSignificantDigits: 4 });
    const inAmount = { type: "custom", formatter: amount, minMove: 1e-8 };
    const quiet = { lineWidth: 1, priceLineVisible: false, lastValueVisible: false, crosshairMarkerVisible: false };
    const items = [];
    const add = (title, hue, kind, options, rows, pane, format) => {
      const series = themed(chart.addSeries(kind, { ...quiet, ...options }, paneOf(pane)), () => ({ color: color(hue) }));
      series.setData(rows);
      const spell = (row) => (row.value === undefined ? "–" : format(row.value));
      items.push({ title, color: hue, series, format: spell, last: lastOf(rows.filter((row) => row.value !== undefined), spell) });
    };
    if (pair.volume.length) {
      add("Volume " + pair.base, "hold", LC.HistogramSeries, { priceFormat: inAmount }, t.map((time, i) => ({ time, value: pair.volume[i] })), "volume", amount);
    }
    for (const found of pair.lines) {
      const onPrice = found.pane === "price";
      const bars = found.field === "histogram";
      const rows = t.map((time, i) => (found.v[i] === null ? { time } : { time, value: found.v[i] }));
      const format = onPrice ? inPrice.formatter : found.pane === "volume" ? amount : money;
      add(found.name, "hue" + ((found.group * 5 + (bars ? 1 : 0)) % HUES.length), bars ? LC.HistogramSeries : LC.LineSeries,
        { priceFormat: onPrice ? inPrice : { ...inAmount, formatter: format }, ...(found.field && !bars ? { lineStyle: ["middle", "line"].includes(found.field) ? LC.LineStyle.Solid : LC.LineStyle.Dashed } : {}) },
        rows, found.pane, format);
    }
    chart.panes().forEach((pane, i) => pane.setStretchFactor(i === 0 ? 4 : 1.3));
    return { items, panes: panes.size };
  };

  const drawPrice = (pair) => {
    const panel = element("div", document.getElementById("prices"), "panel");
    const place = element("div", panel, "chart");
    place.setAttribute("data-chart", "");
    const price = (value) => grouped(value, pair.decimals);
    const chart = make(place, false);
    const t = times(pair.t);
    const rows = t.map((time, i) => ({ time, open: pair.o[i], high: pair.h[i], low: pair.l[i], close: pair.c[i] }));
    const inPrice = { type: "custom", formatter: price, minMove: Math.pow(10, -pair.decimals) };
    const series = themed(
      chart.addSeries(LC.CandlestickSeries, { priceLineVisible: false, lastValueVisible: false, priceFormat: inPrice }),
      () => ({ upColor: color("candle-up"), downColor: color("candle"), borderUpColor: color("candle"), borderDownColor: color("candle"), wickUpColor: color("candle"), wickDownColor: color("candle") }),
    );
    series.setData(rows);
    const marks = pair.marks.map(([row, side, fills, amount, average]) => ({ row, time: t[row], side, fills, amount, average }));
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
    let block = 1;
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
    drawn.push(mark);
    chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (!range) return;
      const blocks = Math.max(20, Math.floor(place.clientWidth / 14));
      const visible = marks.filter((m) => m.row >= range.from && m.row <= range.to).length;
      const wanted = visible <= blocks ? 1 : Math.pow(2, Math.max(0, Math.ceil(Math.log2((range.to - range.from) / blocks))));
      if (wanted !== block) { block = wanted; mark(); }
    });
    const bySide = (side) => new Map(marks.filter((m) => m.side === side).map((m) => [m.time, m]));
    const total = (side) => grouped(marks.reduce((sum, m) => sum + (m.side === side ? m.fills : 0), 0), 0);
    const spell = (map) => (time) => { const m = map.get(time); return m ? `${grouped(m.fills, 0)} (${m.amount} at ${price(m.average)})` : "–"; };
    const lines = drawLines(chart, pair, t, inPrice);
    place.style.height = 300 + 100 * (lines.panes - 1) + "px";
    legend(place, chart, [
      { title: "", color: "candle", series, format: (row) => `${price(row.open)}  ${price(row.high)}  ${price(row.low)}  ${price(row.close)}`, last: lastOf(rows, (row) => price(row.close)) },
      { title: "buys", mark: "▲", color: "buy", at: spell(bySide(1)), last: total(1) },
      { title: "sells", mark: "▼", color: "sell", at: spell(bySide(-1)), last: total(-1) },
      ...lines.items,
    ], pair.pair.toUpperCase().replace("_", " / "));
    if (pair.left_out) element("p", panel, "dim", `${pair.left_out} more lines were plotted but do not fit on the chart.`);
    chart.timeScale().fitContent();
  };

  const repaint = () => drawn.forEach((paint) => paint());
  drawEquity();
  drawStrategies();
  data.prices.forEach(drawPrice);
  repaint();

  const button = document.getElementById("theme");
  button.hidden = false;
  button.addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    repaint();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  root.dataset.charts = String(document.querySelectorAll("[data-chart] canvas").length > 0 ? document.querySelectorAll("[data-chart]").length : 0);
})();
