// What all charts share, and the charts of equity.
const LC = window.LightweightCharts;
const inMoney = { type: "custom", formatter: (value) => grouped(value, Math.abs(value) >= 1e4 ? 0 : decimalsOf(value)), minMove: 1e-8 };
const inPercent = { type: "custom", formatter: (value) => percent(value), minMove: 0.01 };
const inAmount = { type: "custom", formatter: shortAmount, minMove: 1e-8 };
// Called before a series has data, because a change of colours goes through all of it.
const themed = (series, options) => { painted(() => series.applyOptions(options())); return series; };
const QUIET = { lineWidth: 1, priceLineVisible: false, lastValueVisible: false, crosshairMarkerVisible: false };

const make = (place, logo, label) => {
  place.setAttribute("role", "application");
  place.setAttribute("aria-roledescription", tr("chart"));
  place.setAttribute("aria-label", tr("{}. The arrow keys move the crosshair, plus and minus zoom.", label));
  const chart = LC.createChart(place, {
    autoSize: true,
    layout: { attributionLogo: logo, fontFamily: getComputedStyle(document.body).fontFamily, panes: { enableResize: false } },
    localization: { locale: root.lang === "en" ? "en-US" : root.lang, timeFormatter: (time) => when(time) },
    rightPriceScale: { borderVisible: false, entireTextOnly: true, scaleMargins: { top: 0.08, bottom: 0.08 } },
    timeScale: { borderVisible: false, timeVisible: true, secondsVisible: data.seconds, minBarSpacing: 0.001, enableConflation: true, lockVisibleTimeRangeOnResize: true, fixLeftEdge: true, fixRightEdge: true },
    // the wheel scrolls the page, so that scrolling does not get stuck in a chart
    handleScroll: { mouseWheel: false, vertTouchDrag: false },
    handleScale: { mouseWheel: false },
    crosshair: { mode: LC.CrosshairMode.Magnet },
  });
  // the library writes its credit anew whenever panes are added
  const credit = () => place.querySelectorAll("a[title]").forEach((link) => { const said = tr("Charts by TradingView"); if (link.title !== said) link.title = said; });
  new MutationObserver(credit).observe(place, { childList: true, subtree: true, attributeFilter: ["title"] });
  credit();
  painted(() => chart.applyOptions({
    layout: { background: { type: "solid", color: "transparent" }, textColor: color("dim"), panes: { separatorColor: color("line"), separatorHoverColor: color("line") } },
    grid: { vertLines: { color: "transparent" }, horzLines: { color: color("grid") } },
    crosshair: { vertLine: { color: color("dim"), labelBackgroundColor: color("dim") }, horzLine: { color: color("dim"), labelBackgroundColor: color("dim") } },
  }));
  return chart;
};

// A row above a chart with the names of its series and their values under the pointer, or the last ones.
// Items have `at`, which spells the value at a time.
const legend = (place, chart, items, name, clockText = (time) => when(time), all = () => chart.timeScale().fitContent()) => {
  const bar = element("div", null, "legend");
  place.parentNode.insertBefore(bar, place);
  // the moment has a line of its own, so that the chart does not jump when it appears
  const top = element("div", bar, "top");
  if (name) element("span", top, "name", name);
  const clock = element("span", top, "clock", "");
  const zoom = element("span", top, "zoom");
  const add = (item) => {
    const span = element("span", bar);
    const swatch = element("i", span, item.mark ? "mark" : "", item.mark);
    painted(() => { if (item.mark) swatch.style.color = color(item.color); else swatch.style.background = color(item.color); });
    element("span", span, "", item.title + " ");
    item.out = element("b", span, "", item.last);
  };
  items.forEach(add);
  const scale = chart.timeScale();
  const by = (factor) => () => {
    const range = scale.getVisibleLogicalRange();
    if (!range) return;
    const middle = (range.from + range.to) / 2, half = Math.max(2, (range.to - range.from) / 2 * factor);
    scale.setVisibleLogicalRange({ from: middle - half, to: middle + half });
  };
  control(zoom, "+", tr("Zoom in"), by(0.5));
  control(zoom, "−", tr("Zoom out"), by(2));
  control(zoom, tr("all"), tr("Show all"), all);
  const say = (time) => {
    clock.textContent = time === null ? "" : `${clockText(time)} ${data.offset || ""}`.trim();
    for (const item of items) item.out.textContent = time === null ? item.last : item.at(time);
  };
  // while keys move the crosshair, the chart's own events are about where it last was
  say.add = (item) => { items.push(item); add(item); };
  say.remove = (item) => { items.splice(items.indexOf(item), 1); item.out.parentNode.remove(); };
  chart.subscribeCrosshairMove((event) => { if (!place.hasKeys) say(event.time === undefined || event.point === undefined ? null : event.time); });
  return say;
};

// The crosshair by keyboard: arrows move it by a value, with Shift by a tenth of the view, Home and End to the ends of the
// view. `say` fills in the legend, which the chart does not report for such moves; `held` returns the times that the chart holds, and a series with its values.
const withKeys = (place, chart, say, held) => {
  const scale = chart.timeScale();
  let at = null;
  place.tabIndex = 0;
  const said = element("p", place.parentNode, "unseen");
  said.setAttribute("aria-live", "polite");
  const put = (wanted) => {
    const { t, series, value } = held(), range = scale.getVisibleLogicalRange();
    if (!t.length || !range) return;
    at = Math.max(0, Math.min(t.length - 1, wanted));
    const width = range.to - range.from;
    if (at < range.from || at > range.to) scale.setVisibleLogicalRange(at < range.from ? { from: at - 0.5, to: at - 0.5 + width } : { from: at + 0.5 - width, to: at + 0.5 });
    const shown = value(at);
    const set = () => { if (at !== null) chart.setCrosshairPosition(shown === null ? 0 : shown, held().t[at], series); };
    place.hasKeys = true;
    set();
    requestAnimationFrame(set);                            // where it is once the view has moved
    say(t[at]);
    said.textContent = [...place.previousElementSibling.querySelectorAll(".clock, div > span:not(.name, .zoom)")].map((each) => each.textContent).join(", ");
  };
  const leave = () => { if (at === null) return; at = null; place.hasKeys = false; chart.clearCrosshairPosition(); say(null); };
  place.addEventListener("pointermove", leave);
  place.addEventListener("keydown", (event) => {
    const range = scale.getVisibleLogicalRange();
    if (!range || event.ctrlKey || event.metaKey || event.altKey) return;
    const leap = event.shiftKey ? Math.max(1, Math.round((range.to - range.from) / 10)) : 1;
    const begin = Math.ceil(range.from), end = Math.floor(range.to);
    const start = at !== null && at >= begin - 1 && at <= end + 1 ? at : null;
    const moves = { ArrowRight: () => put(start === null ? begin : start + leap), ArrowLeft: () => put(start === null ? end : start - leap), Home: () => put(begin), End: () => put(end), Escape: leave };
    const zooms = { "+": "Zoom in", "=": "Zoom in", "-": "Zoom out", "0": "Show all" };
    if (moves[event.key]) moves[event.key]();
    else if (zooms[event.key]) place.previousElementSibling.querySelector(`[aria-label="${tr(zooms[event.key])}"]`).click();
    else return;
    event.preventDefault();
  });
  place.addEventListener("blur", leave);
};

// Values at given times. What has none there says so instead of keeping another time's.
const valuesAt = (t, values, format) => {
  return (time) => { const row = lastAt(t, time), value = t[row] === time ? values[row] : null; return value === undefined || value === null ? "–" : format(value); };
};
const pointsOf = (t, values) => Array.from(t, (time, i) => (values[i] === null ? { time } : { time, value: values[i] }));

// All series are at the same moments, so that the figures under the crosshair belong to one time.
const drawEquity = () => {
  const place = document.getElementById("equity");
  const own = data.equity, t = seconds(own.t);
  if (!t.length) { place.classList.add("empty"); place.textContent = tr("There were no prices to value the holdings."); return; }
  const panes = 2 + (own.exposure ? 1 : 0) + own.coins.length;
  place.style.height = (innerWidth < 760 ? 230 : 300) + 90 * (panes - 1) + "px";
  const chart = make(place, true, tr("Equity, drawdown and holdings over time"));
  const items = [];
  const add = (kind, pane, title, hue, values, format, last, options, paint) => {
    const series = themed(chart.addSeries(kind, { ...QUIET, ...options }, pane), paint);
    series.setData(pointsOf(t, values));
    items.push({ title, color: hue, at: valuesAt(t, values, format), last });
    return series;
  };
  const last = (values, format) => format(values[values.length - 1]);
  const plain = (value) => money(value);
  if (own.hold) {
    const about = (value) => (own.hold_exact ? "" : "≈ ") + money(value);
    add(LC.LineSeries, 0, tr("Buy and hold"), "hold", own.hold, about, last(own.hold, plain), { lineStyle: LC.LineStyle.Dashed, priceFormat: inMoney }, () => ({ color: color("hold") }));
  }
  const main = add(LC.AreaSeries, 0, tr("Equity {}", data.currency), "accent", own.v, plain, last(own.v, plain), { lineWidth: 2, lastValueVisible: true, crosshairMarkerVisible: true, priceFormat: inMoney }, () => ({ lineColor: color("accent"), topColor: color("accent-soft"), bottomColor: color("accent-none") }));
  items.reverse();
  const deepest = own.fall.reduce((least, value) => Math.min(least, value), 0);
  // what never moves would fill its pane
  const least = (value, low, high) => (value ? {} : { autoscaleInfoProvider: () => ({ priceRange: { minValue: low, maxValue: high } }) });
  const fall = add(LC.AreaSeries, 1, tr("Drawdown"), "loss", own.fall, (value) => percent(value), tr("deepest {}", percent(deepest)), { invertFilledArea: true, priceFormat: inPercent, ...least(deepest, -1, 0) }, () => ({ lineColor: color("loss"), topColor: color("fall"), bottomColor: color("fall") }));
  fall.priceScale().applyOptions({ scaleMargins: { top: 0.04, bottom: 0.08 } });
  let pane = 2;
  const steps = { lineType: LC.LineType.WithSteps };
  if (own.exposure) {
    add(LC.AreaSeries, pane++, tr("Not in {}", data.currency), "hue2", own.exposure, (value) => percent(value), own.exposure[own.exposure.length - 1] === null ? "–" : last(own.exposure, percent), { priceFormat: inPercent, ...least(own.exposure.some(Boolean), 0, 1) }, () => ({ lineColor: color("hue2"), topColor: "rgba(42, 144, 112, .22)", bottomColor: "rgba(42, 144, 112, .05)" }));
  }
  own.coins.forEach((coin, i) => {
    const hue = "hue" + (3 + i);
    add(LC.LineSeries, pane++, coin.name, hue, coin.v, amount, last(coin.v, amount), { ...steps, priceFormat: inAmount }, () => ({ color: color(hue) }));
  });
  chart.panes().forEach((found, i) => found.setStretchFactor(i === 0 ? 3.2 : 1));
  const say = legend(place, chart, items, "", (time) => when(time, true));
  withKeys(place, chart, say, () => ({ t, series: main, value: (i) => own.v[i] }));
  chart.timeScale().fitContent();
};

const drawStrategies = () => {
  const place = document.getElementById("strategies");
  if (!place) return;
  const chart = make(place, false, tr("Profit and loss of each strategy over time"));
  const times = new Set();
  let first = null;
  const items = data.strategies.map((strategy, i) => {
    const t = seconds(strategy.t);
    t.forEach((time) => times.add(time));
    const series = chart.addSeries(LC.LineSeries, { ...QUIET, lineWidth: 2, color: HUES[i % HUES.length], priceFormat: inMoney });
    series.setData(pointsOf(t, strategy.v));
    first = first || series;
    return { title: strategy.name, color: "hue" + (i % HUES.length), at: between(t, strategy.v), last: t.length ? money(strategy.v[t.length - 1]) : "" };
  });
  const say = legend(place, chart, items);
  const t = [...times].sort((a, b) => a - b);
  withKeys(place, chart, say, () => ({ t, series: first, value: () => data.strategies[0].v[0] }));
  chart.timeScale().fitContent();
};

// The value of a line between two of its points: as drawn, and marked as approximate.
const between = (t, values) => (time) => {
  if (!t.length || time < t[0] || time > t[t.length - 1]) return "–";
  const low = lastAt(t, time);
  if (t[low] === time) return money(values[low]);
  const share = (time - t[low]) / (t[low + 1] - t[low]);
  return "≈ " + money(values[low] + (values[low + 1] - values[low]) * share);
};
