// What is true at the playhead: figures, the book with own orders in it, their queues, limits, and why it did not trade.
const LADDER = 8, SKIP_FRAMES = 60;
const place = (id) => document.getElementById(id);

// Fills a table's body with rows of [class, cells], each a text or a function that fills the cell.
const fillRows = (body, rows) => {
  body.replaceChildren();
  for (const { name, cells } of rows) {
    const row = element("tr", body, name || "");
    cells.forEach((cell, i) => {
      const made = element(i ? "td" : "th", row, cell.name || "");
      if (!i) made.scope = "row";
      if (typeof cell === "string") made.textContent = cell; else if (cell.fill) cell.fill(made); else made.textContent = cell.text;
    });
  }
};
const right = (text, name = "") => ({ name: `n ${name}`.trim(), text });
const queueBar = (ahead, left) => (cell) => {
  if (ahead < 0) { cell.textContent = tr("not known"); return; }
  const bar = element("span", cell, "queue"), whole = ahead + left;
  bar.setAttribute("role", "img");
  bar.setAttribute("aria-label", ahead ? tr("{} % of the queue up to its end is ahead", grouped(ahead / whole * 100, 0)) : tr("first in the queue"));
  element("i", bar, "before").style.flexGrow = String(ahead / whole);
  element("i", bar, "own").style.flexGrow = String(left / whole);
};

const ladderOf = (pair, frame) => {
  const own = new Map();
  for (const each of standing(frame)) {
    if (orders.pairName(each.order) !== pair.name) continue;
    const ticks = orders.price[each.order];
    if (!own.has(ticks)) own.set(ticks, []);
    own.get(ticks).push(each);
  }
  const rows = (side, sign) => {
    const levels = new Map(levelsAt(side, frame).slice(0, LADDER));
    for (const [ticks, each] of own) if (orders.side[each[0].order] === sign && !levels.has(ticks)) levels.set(ticks, 0);
    return [...levels].sort((a, b) => b[0] - a[0]).map(([ticks, lots]) => ({ ticks, lots, own: (own.get(ticks) || []).filter((each) => orders.side[each.order] === sign), sign }));
  };
  return [...rows(pair.asks, -1), ...rows(pair.bids, 1)];
};

const fillLadder = (pair, frame) => {
  const rows = ladderOf(pair, frame), most = Math.max(1, ...rows.map((row) => row.lots));
  fillRows(place("ladder").tBodies[0], rows.map((row, i) => ({
    name: [row.sign > 0 ? "bid" : "ask", row.own.length ? "own" : "", i && rows[i - 1].sign < 0 && row.sign > 0 ? "first-bid" : ""].join(" ").trim(),
    cells: [
      right(pair.price(row.ticks)),
      { name: "n depth", fill: (cell) => { const bar = element("i", cell); bar.style.width = `${row.lots / most * 100}%`; element("span", cell, "", row.lots ? pair.aligned(row.lots) : "–"); } },
      { name: `n ${row.sign > 0 ? "buy" : "sell"}`, text: row.own.length ? pair.aligned(row.own.reduce((sum, each) => sum + each.left, 0)) : "" },
      right(row.own.length ? (row.own[0].ahead < 0 ? "?" : pair.aligned(row.own[0].ahead)) : "", "dim"),
    ],
  })));
};

const fillOwn = (frame, at) => {
  const rows = standing(frame);
  fillRows(place("own").tBodies[0], rows.map(({ order, ahead, left }) => {
    const pair = pairNamed.get(orders.pairName(order)), side = orders.side[order] > 0 ? "buy" : "sell";
    return { cells: [{ name: side, text: tr(side) }, orders.pairName(order), right(pair ? pair.price(orders.price[order]) : "–"), right(pair ? pair.size(left) : "–"), right(ahead < 0 || !pair ? "–" : pair.size(ahead)), { fill: queueBar(ahead, left) }, right(lasting(Math.max(0, at - orders.asked[order]) / 1000))] };
  }));
  place("no-own").hidden = rows.length > 0;
  place("own").hidden = !rows.length;
};

const card = (list, title, value, note = "", tone = "") => { const tile = element("div", list, "tile"); element("dt", tile, "", title); element("dd", tile, tone, value); if (note) element("p", tile, "", note); };
const fillCards = (frame, at) => {
  const list = place("cards"), equity = equityAt(frame), first = equityAt(data.equity.first);
  list.replaceChildren();
  const change = equity === null ? null : inMoney(equity - first);
  card(list, tr("Equity {}", data.currency), equity === null ? "–" : grouped(inMoney(equity), 2));
  card(list, tr("Since the first frame"), change === null ? "–" : grouped(change, 2, true), data.currency, change > 0 ? "gain" : change < 0 ? "loss" : "");
  for (const { strategy, units } of holdings) card(list, holdings.length > 1 ? tr("Holdings of {}", strategy) : tr("Holdings"), units.map((each) => `${each.currency === data.currency ? grouped(inMoney(each.units[frame]), 2) : amount(inMoney(each.units[frame]))} ${each.currency}`).join("\n") || "–");
  const done = lastAt(fillTimes, at) + 1, open = standing(frame).length;
  card(list, tr("Fills so far"), grouped(done, 0), tr("of {}", grouped(fills.length, 0)));
  card(list, tr("Orders in the book"), grouped(open, 0), waiting[frame] ? tr(waiting[frame] === 1 ? "1 request waits for a slot" : "{} requests wait for a slot", grouped(waiting[frame], 0)) : tr("no request waits for a slot"));
};

const fillGauges = (frame) => {
  const list = place("gauges");
  if (!list.children.length) {
    for (const gauge of gauges) {
      const each = element("div", list, "gauge");
      element("b", each, "", tr(gauge.name.replaceAll("_", " ")));
      gauge.meter = element("meter", each);
      gauge.meter.max = gauge.limit;
      gauge.meter.high = gauge.limit * 0.8;
      gauge.meter.setAttribute("aria-label", tr("{}: slots in use", tr(gauge.name.replaceAll("_", " "))));
      gauge.said = element("span", each, "", "");
      element("small", each, "dim", tr("in {} s, per {}; at most {}", gauge.per_s, tr(gauge.scope), grouped(gauge.held.reduce((most, value) => Math.max(most, value), 0), 0)));
    }
  }
  for (const gauge of gauges) { const held = gauge.held[frame]; gauge.meter.value = held; gauge.said.textContent = tr("{} of {}", grouped(held, 0), grouped(gauge.limit, 0)); }
};

const fillSkips = (frame) => {
  const found = new Map(), list = place("skips");
  for (let i = lastAt(skips.frame, frame); i >= 0 && skips.frame[i] > frame - SKIP_FRAMES; i--) found.set(skips.text[i], (found.get(skips.text[i]) || 0) + skips.times[i]);
  list.replaceChildren();
  for (const [text, times] of [...found].sort((a, b) => b[1] - a[1]).slice(0, 8)) { const each = element("li", list); element("b", each, "", `${grouped(times, 0)} × `); element("span", each, "", data.texts[text]); }
  if (!found.size) element("li", list, "dim", tr("nothing"));
};
