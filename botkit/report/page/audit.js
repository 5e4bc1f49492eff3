// The page of an audit: real and simulated fills on the price charts, and a list of their pairs.
const listPairs = () => {
  const section = document.getElementById("pairs");
  if (!section) return;
  const all = data.pairs, time = seconds(all.time);
  const name = (i) => all.names[all.pair[i]], title = (pair) => pair.toUpperCase().replace("_", "/");
  const price = (side) => (i) => (all[side][i] === null ? "–" : grouped(all[side][i], all.decimals[all.pair[i]]));
  const role = (side, i) => { const found = all[side + "_maker"][i]; return found === null ? "–" : tr(found ? "maker" : "taker"); };
  const roles = (i) => { const [real, simulated] = [role("real", i), role("simulated", i)]; return real === simulated ? real : `${real} | ${simulated}`; };
  const side = (i) => tr(all.side[i] > 0 ? "buy" : "sell"), kind = (i) => tr(all.kinds[all.kind[i]]);
  const tone = (value) => (value > 0 ? "gain" : value < 0 ? "loss" : "");
  const ms = (i) => (all.later[i] === null ? "–" : signed(all.later[i], lasting(Math.abs(all.later[i]) / 1000), true));
  const columns = [
    { title: tr("Time"), key: (i) => time[i], text: (i) => when(Math.floor(time[i]), true) },
    { title: tr("Strategy"), key: (i) => all.strategy[i], text: (i) => all.strategies[all.strategy[i]], unless: all.strategies.length < 2 },
    { title: tr("Pair"), key: name, text: (i) => title(name(i)), unless: all.names.length < 2 },
    { title: tr("Side"), key: (i) => all.side[i], text: side, tone: (i) => (all.side[i] > 0 ? "buy" : "sell") },
    { title: tr("Fill"), key: (i) => all.kind[i], text: kind },
    { title: tr("Amount"), number: true, key: (i) => all.amount[i], text: (i) => amount(all.amount[i]) },
    { title: tr("Real price"), number: true, key: (i) => all.real[i], text: price("real") },
    { title: tr("Simulated price"), number: true, key: (i) => all.simulated[i], text: price("simulated") },
    { title: tr("Worse by (bps)"), number: true, hint: tr("how much worse the real price was"), key: (i) => all.worse[i], text: (i) => (all.worse[i] === null ? "–" : grouped(all.worse[i], 2, true)), tone: (i) => tone(-all.worse[i]) },
    { title: tr("Later by"), number: true, wide: true, hint: tr("how much later the real fill was"), key: (i) => all.later[i], text: ms },
    { title: tr("As"), wide: true, key: roles, text: roles },
    { title: tr("Money"), number: true, hint: tr("how much better off reality left the account"), key: (i) => all.money[i], text: (i) => money(all.money[i], true) + (all.names.length < 2 ? "" : " " + all.quotes[all.pair[i]]), tone: (i) => tone(all.money[i]) },
  ].filter((column) => !column.unless);
  listRows(section, {
    count: all.count, columns, sortedBy: 0,
    names: { none: tr("No fill matches."), row: (text) => tr("Show the fill of {} on the chart", text) },
    selects: [
      ["kind", tr("Fill"), all.kinds.map((each, i) => (all.kind.includes(i) ? tr(each) : null))],
      ["strategy", tr("Strategy"), all.strategies],
      ["pair", tr("Pair"), all.names.map(title)],
    ],
    keeps: (wanted) => (i) => ["kind", "strategy", "pair"].every((key) => wanted[key] < 0 || all[key][i] === wanted[key]),
    sum: (order) => {
      const sums = new Map();
      for (const i of order) sums.set(all.quotes[all.pair[i]], (sums.get(all.quotes[all.pair[i]]) || 0) + all.money[i]);
      return tr("{} fills, money {}", grouped(order.length, 0), [...sums].map(([quote, sum]) => `${money(sum, true)} ${quote}`).join(", ") || "–");
    },
    choose: (i, back) => {
      const [real, simulated] = [all.real[i], all.simulated[i]], later = (all.later[i] || 0) / 1000;
      const [enter, leave] = later < 0 ? [real, simulated] : [simulated, real];
      const line = { opened: time[i], closed: time[i] + Math.abs(later), enter: enter === null ? leave : enter, leave: leave === null ? enter : leave, won: all.money[i] >= 0 };
      const text = tr("{} {}, {}: really at {}, simulated at {}, money {} {}.", side(i), amount(all.amount[i]), kind(i), price("real")(i), price("simulated")(i), money(all.money[i], true), all.quotes[all.pair[i]]);
      showOnCharts([name(i)], line, text, back);
    },
  });
};

data.prices.forEach((pair) => drawPrice(pair, []));
listPairs();
themeButton();
root.dataset.charts = String(document.querySelectorAll("[data-chart] canvas").length > 0 ? document.querySelectorAll("[data-chart]").length : 0);
