// The list of all closed trades: filtered, sorted, in pages; a chosen one is shown on the price chart.
const ROWS = 25;                                           // on a page

const trades = (() => {
  const all = data.trades, closed = seconds(all.closed), entry = summed(all.entry), unit = Math.pow(10, all.places);
  const market = (i) => all.markets[all.market[i]];
  const scale = (m) => (m.loop ? 1e8 : Math.pow(10, m.decimals));
  return {
    count: all.count,
    closed, market,
    opened: (i) => closed[i] - all.held[i] / 1000,
    held: (i) => all.held[i] / 1000,
    enter: (i) => entry[i] / scale(market(i)),
    leave: (i) => (entry[i] + all.exit[i]) / scale(market(i)),
    amount: (i) => all.amount[i] / 1e8,
    pnl: (i) => all.pnl[i] / unit,
    won: (i) => all.won[i] === 1,
    given: (i) => all.kind[i] === all.kinds.length - 1,
    share: (name, i) => (all[name][i] === null ? null : all[name][i] / 1e4),
    kind: (i) => all.kinds[all.kind[i]],
    strategy: (i) => all.strategies[all.strategy[i]],
    reason: (i) => all.reasons[all.reason[i]],
    tag: (i) => all.tags[all.tag[i]],
    out: (i) => all.tags[all.out[i]],
    // what a price chart needs to know of a trade; a loop has no line on any one pair
    line: (i) => ({ index: i, opened: closed[i] - all.held[i] / 1000, closed: closed[i], enter: market(i).loop ? null : entry[i] / scale(market(i)), leave: market(i).loop ? null : (entry[i] + all.exit[i]) / scale(market(i)), won: all.won[i] === 1 }),
  };
})();

const tradesOf = (pair) => {
  const found = [];
  for (let i = 0; i < trades.count; i++) { const m = trades.market(i); if (!m.loop && m.name === pair) found.push(trades.line(i)); }
  return found;
};

const titleOf = (m) => m.pairs.map((pair) => pair.toUpperCase().replace("_", "/")).join(" › ");
const priceText = (m, value) => (m.loop ? `${money(value)} ${m.money}` : grouped(value, m.decimals));
const shareText = (name) => (i) => { const value = trades.share(name, i); return value === null ? "–" : percent(value * 100, true); };
const toneOf = (value) => (value > 0 ? "gain" : value < 0 ? "loss" : "");

const listTrades = () => {
  const section = document.getElementById("trade-list");
  if (!section) return;
  const all = data.trades;
  const table = section.querySelector("table"), head = table.tHead.rows[0], body = table.tBodies[0];
  const status = section.querySelector("[role=status]"), pager = section.querySelector(".pager");
  const columns = [
    { title: tr("Opened") + (data.offset && " " + data.offset), key: (i) => trades.opened(i), text: (i) => minute(trades.opened(i)) },
    { title: tr("Closed"), wide: true, key: (i) => trades.closed[i], text: (i) => minute(trades.closed[i]) },
    { title: tr("Strategy"), key: (i) => trades.strategy(i), text: (i) => trades.strategy(i), unless: all.strategies.length < 2 },
    { title: tr("Pair"), long: true, wide: all.markets.length < 2, key: (i) => trades.market(i).name, text: (i) => titleOf(trades.market(i)), unless: all.markets.length < 2 && !all.markets.some((m) => m.loop) },
    { title: tr("Side"), key: (i) => trades.kind(i), text: (i) => tr(trades.kind(i)), tone: (i) => ({ long: "buy", short: "sell" })[trades.kind(i)] || "" },
    { title: tr("P&L {}", data.currency), number: true, key: (i) => trades.pnl(i), text: (i) => grouped(trades.pnl(i), all.places, true), tone: (i) => toneOf(trades.pnl(i)) },
    { title: tr("Return"), number: true, key: (i) => trades.share("return", i), text: shareText("return"), tone: (i) => toneOf(trades.share("return", i)) },
    { title: tr("Entry"), number: true, key: (i) => trades.enter(i), text: (i) => priceText(trades.market(i), trades.enter(i)) },
    { title: tr("Exit"), number: true, key: (i) => trades.leave(i), text: (i) => priceText(trades.market(i), trades.leave(i)) },
    { title: tr("Amount"), number: true, wide: true, key: (i) => trades.amount(i), text: (i) => (trades.market(i).loop ? "–" : amount(trades.amount(i))), unless: all.markets.every((m) => m.loop) },
    { title: tr("Held"), number: true, key: (i) => trades.held(i), text: (i) => lasting(trades.held(i)) },
    { title: tr("Worst"), number: true, hint: tr("the worst result before the exit"), key: (i) => trades.share("worst", i), text: shareText("worst"), unless: all.worst.every((v) => v === null) },
    { title: tr("Best"), number: true, hint: tr("the best result before the exit"), key: (i) => trades.share("best", i), text: shareText("best"), unless: all.best.every((v) => v === null) },
    { title: tr("Exit by"), key: (i) => trades.reason(i), text: (i) => tr(trades.reason(i).replaceAll("_", " ")) },
    { title: tr("Tags"), key: (i) => trades.tag(i) + trades.out(i), text: (i) => [trades.tag(i), trades.out(i)].filter(Boolean).join(" → "), unless: all.tags.every((tag) => !tag) },
  ].filter((column) => !column.unless);
  let order = Array.from({ length: trades.count }, (_, i) => i);
  let sorted = columns[1], falling = true, page = 0, chosen = -1;

  const compare = (key, falls) => (a, b) => {
    const x = key(a), y = key(b);
    if (x === y) return falls ? b - a : a - b;
    if (x === null) return 1;
    if (y === null) return -1;
    return (x < y ? -1 : 1) * (falls ? -1 : 1);
  };
  const show = () => {
    const pages = Math.max(1, Math.ceil(order.length / ROWS));
    page = Math.max(0, Math.min(page, pages - 1));
    body.replaceChildren();
    for (const i of order.slice(page * ROWS, (page + 1) * ROWS)) {
      const row = element("tr", body);
      row.dataset.trade = String(i);
      if (i === chosen) row.className = "chosen";
      columns.forEach((column, place) => {
        const cell = element(place ? "td" : "th", row, [column.number ? "n" : "", column.wide ? "wide" : "", column.long ? "long" : "", column.tone ? column.tone(i) : ""].join(" ").trim());
        if (place) { cell.textContent = column.text(i); return; }
        cell.scope = "row";
        control(cell, column.text(i), "", () => choose(i)).setAttribute("aria-label", tr("Show the trade opened {} on the chart", column.text(i)));
      });
    }
    if (!order.length) { const cell = element("td", element("tr", body), "dim", tr("No trade matches.")); cell.colSpan = columns.length; }
    // coins that were handed over were never bought, so their sales count in no win rate
    let won = 0, sum = 0, own = 0, given = 0;
    for (const i of order) { if (trades.given(i)) { given++; continue; } own++; sum += trades.pnl(i); if (trades.won(i)) won++; }
    if (order.length === trades.count) sum = all.total;
    status.textContent = (own ? tr(own === 1 ? "{} trade, {} % won, {} {}" : "{} trades, {} % won, {} {}", grouped(own, 0), grouped(won / own * 100, 1), money(sum, true), data.currency) : tr("{} trades", 0))
      + (given ? tr(given === 1 ? "; {} sale of coins that were handed over" : "; {} sales of coins that were handed over", grouped(given, 0)) : "");
    const first = page * ROWS + 1, last = Math.min(order.length, (page + 1) * ROWS);
    pager.querySelector(".place").textContent = order.length ? tr("{} to {} of {}", grouped(first, 0), grouped(last, 0), grouped(order.length, 0)) : "";
    const [start, back, next, end] = pager.querySelectorAll("button");
    start.disabled = back.disabled = page === 0;
    next.disabled = end.disabled = page === pages - 1;
    pager.hidden = order.length <= ROWS;
    for (const cell of head.cells) cell.setAttribute("aria-sort", cell.column === sorted ? (falling ? "descending" : "ascending") : "none");
  };

  const filters = section.querySelector(".filters");
  const wanted = { market: -1, strategy: -1, kind: -1, reason: -1, won: -1, text: "" };
  const filter = () => {
    const text = wanted.text.trim().toLowerCase();
    const has = (names) => names.map((name) => name.toLowerCase().includes(text) || tr(name).toLowerCase().includes(text));
    const [markets, strategies, kinds, reasons, tags] = [has(all.markets.map((m) => `${m.name} ${titleOf(m)}`)), has(all.strategies), has(all.kinds), has(all.reasons.map((r) => `${r} ${r.replaceAll("_", " ")}`)), has(all.tags)];
    order = [];
    for (let i = 0; i < trades.count; i++) {
      if (wanted.market >= 0 && all.market[i] !== wanted.market) continue;
      if (wanted.strategy >= 0 && all.strategy[i] !== wanted.strategy) continue;
      if (wanted.kind >= 0 && all.kind[i] !== wanted.kind) continue;
      if (wanted.reason >= 0 && all.reason[i] !== wanted.reason) continue;
      if (wanted.won >= 0 && all.won[i] !== wanted.won) continue;
      if (text && !(markets[all.market[i]] || strategies[all.strategy[i]] || kinds[all.kind[i]] || reasons[all.reason[i]] || tags[all.tag[i]] || tags[all.out[i]])) continue;
      order.push(i);
    }
    order.sort(compare(sorted.key, falling));
    page = 0;
    show();
  };
  const select = (key, title, names) => {
    if (names.filter((name) => name !== null).length < 2) return;
    const label = element("label", filters, "", title + " ");
    const list = element("select", label);
    const option = (text, value) => { element("option", list, "", text).value = String(value); };
    option(tr("all"), -1);
    names.forEach((name, i) => { if (name !== null) option(name, i); });
    list.addEventListener("change", () => { wanted[key] = Number(list.value); filter(); });
  };
  const used = new Set(all.kind);
  select("strategy", tr("Strategy"), all.strategies);
  select("market", tr("Pair"), all.markets.map(titleOf));
  select("kind", tr("Side"), all.kinds.map((kind, i) => (used.has(i) ? tr(kind) : null)));
  select("reason", tr("Exit by"), all.reasons.map((reason) => tr(reason.replaceAll("_", " "))));
  select("won", tr("Result"), [tr("lost"), tr("won")]);
  const search = element("label", filters, "", tr("Find") + " ");
  const box = element("input", search);
  box.type = "search";
  box.placeholder = tr("tag, pair, reason");
  box.addEventListener("input", () => { wanted.text = box.value; filter(); });

  for (const column of columns) {
    const cell = element("th", head, [column.number ? "n" : "", column.wide ? "wide" : ""].join(" ").trim());
    cell.scope = "col";
    cell.column = column;
    const button = control(cell, column.title, "", () => {
      falling = sorted === column ? !falling : Boolean(column.number) || column === columns[1];
      sorted = column;
      order.sort(compare(column.key, falling));
      page = 0;
      show();
    });
    if (column.hint) button.title = column.hint;
  }
  const turn = (to) => { page = to; show(); };
  control(pager, "«", tr("First page"), () => turn(0));
  control(pager, "‹", tr("Previous page"), () => turn(page - 1));
  element("span", pager, "place");
  control(pager, "›", tr("Next page"), () => turn(page + 1));
  control(pager, "»", tr("Last page"), () => turn(Infinity));

  const rowButton = (i) => body.querySelector(`tr[data-trade="${i}"] button`);
  const choose = (i) => {
    chosen = i;
    for (const row of body.rows) row.className = row.dataset.trade === String(i) ? "chosen" : "";
    for (const panel of panels.values()) panel.clear();
    const m = trades.market(i);
    const shown = m.pairs.filter((pair) => panels.has(pair)).map((pair) => panels.get(pair));
    if (!shown.length) return;
    for (const panel of shown) panel.show(trades.line(i));
    const { panel, note } = shown[0];
    const size = m.loop ? "" : ` ${amount(trades.amount(i))} ${m.coin}`;
    note.replaceChildren();
    note.append(tr("{}: {}{}, {} to {}, {} {}, held {}. ", titleOf(m), tr(trades.kind(i)), size, priceText(m, trades.enter(i)), priceText(m, trades.leave(i)), grouped(trades.pnl(i), all.places, true), data.currency, lasting(trades.held(i))));
    const back = control(note, tr("Back to the list"), "", () => { for (const other of panels.values()) other.clear(); (rowButton(i) || head.querySelector("button")).focus(); });
    note.hidden = false;
    panel.scrollIntoView({ block: "center" });
    back.focus({ preventScroll: true });
  };
  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (row && row.dataset.trade && !event.target.closest("button")) choose(Number(row.dataset.trade));
  });
  // in the list, arrows move between rows and page keys between pages
  body.addEventListener("keydown", (event) => {
    const row = event.target.closest("tr");
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: ROWS, PageUp: -ROWS }[event.key];
    if (!row || !step) return;
    event.preventDefault();
    const place = order.indexOf(Number(row.dataset.trade)) + step;
    const to = Math.max(0, Math.min(order.length - 1, place));
    if (Math.floor(to / ROWS) !== page) turn(Math.floor(to / ROWS));
    rowButton(order[to]).focus();
  });
  order.sort(compare(sorted.key, falling));
  show();
  section.querySelector(".live").hidden = false;
};
