// The list of all closed trades; a chosen one is shown on the price chart.
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
  // coins that were handed over were never bought, so their sales count in no win rate
  const sum = (order) => {
    let won = 0, sum = 0, own = 0, given = 0;
    for (const i of order) { if (trades.given(i)) { given++; continue; } own++; sum += trades.pnl(i); if (trades.won(i)) won++; }
    if (order.length === trades.count) sum = all.total;
    return (own ? tr(own === 1 ? "{} trade, {} % won, {} {}" : "{} trades, {} % won, {} {}", grouped(own, 0), grouped(won / own * 100, 1), money(sum, true), data.currency) : tr("{} trades", 0))
      + (given ? tr(given === 1 ? "; {} sale of coins that were handed over" : "; {} sales of coins that were handed over", grouped(given, 0)) : "");
  };
  const keeps = (wanted) => {
    const text = wanted.text.trim().toLowerCase();
    const has = (names) => names.map((name) => name.toLowerCase().includes(text) || tr(name).toLowerCase().includes(text));
    const [markets, strategies, kinds, reasons, tags] = [has(all.markets.map((m) => `${m.name} ${titleOf(m)}`)), has(all.strategies), has(all.kinds), has(all.reasons.map((r) => `${r} ${r.replaceAll("_", " ")}`)), has(all.tags)];
    const fits = (key, i) => wanted[key] < 0 || all[key][i] === wanted[key];
    return (i) => ["market", "strategy", "kind", "reason", "won"].every((key) => fits(key, i))
      && (!text || markets[all.market[i]] || strategies[all.strategy[i]] || kinds[all.kind[i]] || reasons[all.reason[i]] || tags[all.tag[i]] || tags[all.out[i]]);
  };
  const used = new Set(all.kind);
  listRows(section, {
    count: trades.count, columns, sortedBy: 1, keeps, sum,
    names: { none: tr("No trade matches."), find: tr("tag, pair, reason"), row: (text) => tr("Show the trade opened {} on the chart", text) },
    selects: [
      ["strategy", tr("Strategy"), all.strategies],
      ["market", tr("Pair"), all.markets.map(titleOf)],
      ["kind", tr("Side"), all.kinds.map((kind, i) => (used.has(i) ? tr(kind) : null))],
      ["reason", tr("Exit by"), all.reasons.map((reason) => tr(reason.replaceAll("_", " ")))],
      ["won", tr("Result"), [tr("lost"), tr("won")]],
    ],
    choose: (i, back) => {
      const m = trades.market(i), size = m.loop ? "" : ` ${amount(trades.amount(i))} ${m.coin}`;
      showOnCharts(m.pairs, trades.line(i), tr("{}: {}{}, {} to {}, {} {}, held {}.", titleOf(m), tr(trades.kind(i)), size, priceText(m, trades.enter(i)), priceText(m, trades.leave(i)), grouped(trades.pnl(i), all.places, true), data.currency, lasting(trades.held(i))), back);
    },
  });
};
