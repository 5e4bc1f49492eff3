// Everything beside the charts: figures, tables, gauges, events.
const tile = (title, value, unit, tone, note) => ({ title, value, unit, tone, note });
// Money has two decimals, unless all of it is so little that they would say nothing, as in BTC.
const figure = (value, plus) => {
  if (value === null || value === undefined) return "–";
  const bot = state.bots.find((found) => found.id === state.bot), worth = Math.max(Math.abs(value), Math.abs((bot && bot.equity) || 0));
  return grouped(value, worth >= 10 || worth === 0 ? 2 : decimalsOf(worth / 100), plus);
};
// A cell with a second, smaller line.
const twoLines = (cell) => { element("span", cell); element("span", cell, "sub"); };
const putLines = (cell, first, second, tone) => { setText(cell.children[0], first); setClass(cell.children[0], tone || ""); setText(cell.children[1], second); };

const totalsOf = (head, currency) => {
  // profits are in each pair's quote; a sum of several currencies would be no figure
  const sums = new Map();
  for (const row of head.profits || []) sums.set(row.quote, (sums.get(row.quote) || 0) + row.realised + row.unrealised);
  return sums.size === 0 ? [[currency, null]] : [...sums];
};
const showMoney = () => {
  const bot = state.bots.find((found) => found.id === state.bot), head = state.sections.head;
  if (!bot || !head) return;
  const unit = bot.currency.toUpperCase(), totals = totalsOf(head, bot.currency);
  const tiles = [
    tile(tr("Equity"), figure(bot.equity), unit, "", ""),
    tile(tr("Today"), figure(bot.day, true), unit, toneOf(bot.day), ""),
    tile(tr("This run"), figure(bot.pnl, true), unit, toneOf(bot.pnl), head.uptime ? tr("in {}", lasting(head.uptime)) : ""),
    tile(tr("In all"), figure(totals[0][1], true), totals[0][0].toUpperCase(), toneOf(totals[0][1]), totals.slice(1).map(([quote, sum]) => `${figure(sum, true)} ${quote.toUpperCase()}`).join(", ") || tr("since its first start")),
  ];
  sync(byId("money"), tiles, (item) => item.title, (item) => {
    const node = element("div", null, "tile");
    element("dt", node, "", item.title);
    const value = element("dd", node);
    element("span", value);
    element("span", value, "unit");
    element("p", node);
    return node;
  }, (node, item) => {
    const [, value, note] = node.children;
    setText(value.children[0], item.value);
    setClass(value.children[0], item.tone);
    setText(value.children[1], item.value === "–" ? "" : item.unit);
    setText(note, item.note);
  });
};

const STATES = { running: tr("running"), silent: tr("does not respond"), ended: tr("ended") };
const isWrong = (bot) => bot.stopped.length > 0 || bot.halted !== null;
const showBots = () => {
  const place = byId("bots");
  place.hidden = state.bots.length < 2;
  byId("none").hidden = state.bots.length > 0;
  sync(place, state.bots, (bot) => bot.id, (bot) => {
    const node = element("button");
    node.type = "button";
    const who = element("span", node, "who");
    element("span", who, "dot");
    element("span", who);
    element("span", node, "sum");
    element("span", node, "sub");
    node.addEventListener("click", () => chooses(bot.id));
    return node;
  }, (node, bot) => {
    const [who, sum, sub] = node.children;
    who.children[0].dataset.state = bot.state === "running" && isWrong(bot) ? "wrong" : bot.state;
    setText(who.children[1], bot.name);
    setText(sum, bot.equity === null || bot.equity === undefined ? "–" : `${figure(bot.equity)} ${bot.currency.toUpperCase()}`);
    setText(sub, `${tr(bot.mode)} · ${isWrong(bot) && bot.state === "running" ? tr(bot.stopped.length ? "strategy stopped" : "halted") : STATES[bot.state]}${bot.pnl ? " · " + figure(bot.pnl, true) : ""}`);
    node.setAttribute("aria-current", String(bot.id === state.bot));
  });
};

const showHead = () => {
  const bot = state.bots.find((found) => found.id === state.bot), head = state.sections.head;
  byId("bot").hidden = !bot;
  if (!bot) return;
  document.title = bot.name + " · botkit";
  setText(byId("name"), bot.name);
  const lead = byId("lead");
  if (!lead.children.length) { element("span", lead, "state"); element("span", lead.firstChild, "dot"); element("b", lead.firstChild); element("span", lead); }
  lead.firstChild.firstChild.dataset.state = bot.state === "running" && isWrong(bot) ? "wrong" : bot.state;
  setText(lead.firstChild.lastChild, bot.state === "ended" && bot.ended ? tr("ended ({})", tr(bot.ended)) : STATES[bot.state]);
  const parts = [tr(bot.mode)];
  if (head) {
    useZone(head.zone);
    if (head.time) parts.push(`${clock(head.time)} ${offsetAt(head.time)} (${head.zone})`);
    if (head.streams) parts.push(head.lost.length ? tr("{} streams lost", head.lost.length) : tr(head.streams === 1 ? "1 stream" : "{} streams", head.streams));
  }
  setText(lead.lastChild, " · " + parts.join(" · "));
  const alerts = [];
  for (const text of bot.stopped) alerts.push(["grave", tr("Stopped: {}", text)]);
  if (bot.halted) alerts.push(["grave", tr("Halted ({}). `botkit resume` lifts it", bot.halted)]);
  if (bot.state === "silent") alerts.push(["grave", tr("The bot's process lives, but it has done nothing for several seconds")]);
  if (bot.state === "ended" && !bot.ended) alerts.push(["grave", tr("The bot did not stop cleanly. The figures are its last ones")]);
  if (head) {
    for (const text of head.faults) alerts.push(["grave", text]);
    if (head.unvalued) alerts.push(["", head.unvalued]);
    if (head.lost.length) alerts.push(["", tr("No connection: {}", head.lost.join(", "))]);
    if (head.unknown) alerts.push(["", tr(head.unknown === 1 ? "1 order with an unknown outcome" : "{} orders with an unknown outcome", head.unknown)]);
    if (head.foreign) alerts.push(["", tr(head.foreign === 1 ? "1 open order is not this bot's" : "{} open orders are not this bot's", head.foreign)]);
  }
  sync(byId("alerts"), alerts, ([, text]) => text, () => element("p", null, "warning"), (node, [tone, text]) => { setClass(node, `warning ${tone}`.trim()); setText(node, text); });
};

const showPairs = () => {
  const head = state.sections.head;
  if (!head) return;
  const pairs = Object.keys(head.decimals), select = byId("pair");
  sync(select, pairs, (pair) => pair, (pair) => { const node = element("option", null, "", pairName(pair)); node.value = pair; return node; }, () => {});
  if (!pairs.includes(state.pair)) {
    const traded = (state.sections.positions || []).map((row) => row.pair).find((pair) => pairs.includes(pair));
    state.pair = traded || pairs[0] || null;
    if (state.pair) { clearPrice(); look(); }
  }
  if (state.pair) select.value = state.pair;
};

const showOrders = () => {
  const orders = state.sections.orders || [];
  setText(byId("orders-count"), orders.length ? String(orders.length) : "");
  table("orders", [
    { title: tr("Order"), fill: twoLines, update: (cell, row) => putLines(cell, `${tr(row.side)} ${pairName(row.pair)}`, `${tr(row.state.replaceAll("_", " "))} · ${row.strategy}${row.tag ? ` (${row.tag})` : ""}`, row.side) },
    { title: tr("Price"), className: "n", text: (row) => (row.price === null ? tr("market") : grouped(row.price, decimalsOfPair(row.pair))) },
    { title: tr("Amount"), className: "n", text: (row) => row.amount },
    { title: tr("Executed"), className: "n wide", text: (row) => row.executed },
    { title: tr("Since"), className: "n wide", text: (row) => clockOnly(row.created) },
    ...orderControls(),
  ], orders, (row) => String(row.id), tr("No open orders."));
};

const showPositions = () => table("positions", [
  { title: tr("Pair"), fill: twoLines, update: (cell, row) => putLines(cell, pairName(row.pair), row.strategy) },
  { title: tr("Amount"), className: "n", text: (row) => amount(row.amount) },
  { title: tr("Entry"), className: "n wide", text: (row) => (row.amount ? grouped(row.average_entry, decimalsOfPair(row.pair)) : "") },
  { title: tr("Unrealised"), className: "n", text: (row) => figure(row.unrealised, true), tone: (row) => toneOf(row.unrealised) },
  { title: tr("Realised"), className: "n", text: (row) => figure(row.realised, true), tone: (row) => toneOf(row.realised) },
], (state.sections.positions || []).filter((row) => row.amount || row.realised), (row) => row.strategy + " " + row.pair, tr("No position."));

const showBalances = () => table("balances", [
  { title: tr("Currency"), text: ([name]) => name.toUpperCase() },
  { title: tr("Total"), className: "n", text: ([, held]) => amount(Number(held.total)) },
  { title: tr("No strategy's"), className: "n", text: ([, held]) => (Number(held.unassigned) ? amount(Number(held.unassigned)) : "") },
], Object.entries(state.sections.balances || {}), ([name]) => name, tr("The account is empty."));

const showStrategies = () => {
  const strategies = state.sections.strategies || [];
  table("strategies", [
    { title: tr("Strategy"), text: (row) => row.name },
    { title: tr("State"), text: (row) => tr(row.state), tone: (row) => (row.state === "running" ? "" : "bad") },
    { title: tr("Orders"), className: "n", text: (row) => grouped(row.orders, 0) },
    { title: tr("Fills"), className: "n", text: (row) => grouped(row.fills, 0) },
    ...strategyControls(),
  ], strategies, (row) => row.name, tr("No strategy."));
  const reasons = [];
  for (const row of strategies) {
    if (row.state !== "running") reasons.push({ strategy: row.name, kind: row.state, reason: row.stopped || row.why_not || tr(row.state), count: null, facts: "" });
    for (const [kind, counts] of [["skipped", row.skipped], ["refused", row.refused]]) {
      for (const [reason, count] of Object.entries(counts)) reasons.push({ strategy: row.name, kind, reason, count, facts: row.facts[reason] || "" });
    }
  }
  reasons.sort((a, b) => (b.count === null ? Infinity : b.count) - (a.count === null ? Infinity : a.count));
  table("why", [
    { title: tr("Reason"), className: "wrap", fill: twoLines, update: (cell, row) => putLines(cell, row.reason, `${tr(row.kind)} · ${row.strategy}${row.facts ? " · " + tr("latest: {}", row.facts) : ""}`) },
    { title: tr("Times"), className: "n", text: (row) => (row.count === null ? "" : grouped(row.count, 0)) },
  ], reasons.slice(0, 40), (row) => `${row.strategy} ${row.kind} ${row.reason}`, tr("Nothing was skipped or refused in this run."));
};

const showLimits = () => {
  const rows = (state.sections.limits || []).slice().sort((a, b) => b.held / b.limit - a.held / a.limit || b.peak_percent - a.peak_percent).slice(0, 12);
  const place = byId("limits");
  sync(place, rows.length ? rows : [null], (row) => (row === null ? "none" : `${row.pool} ${row.scope} ${row.per_s}`), (row) => {
    if (row === null) return element("p", null, "dim", tr("No request has been sent."));
    const node = element("div", null, "gauge");
    element("span", node);
    element("span", node, "dim");
    const track = element("div", node, "track");
    track.setAttribute("role", "meter");
    element("i", track);
    element("u", track);
    return node;
  }, (node, row) => {
    if (row === null) return;
    const [name, count, track] = node.children, name_ = `${tr(row.pool.replaceAll("_", " "))} (${tr({ ip: "IP address" }[row.scope] || row.scope)})`;
    setText(name, name_);
    setText(count, tr(row.refused ? "{} of {} in {} s, {} refused" : "{} of {} in {} s", grouped(row.held, 0), grouped(row.limit, 0), row.per_s, row.refused));
    track.setAttribute("aria-label", name_);
    track.setAttribute("aria-valuemin", "0");
    track.setAttribute("aria-valuemax", String(row.limit));
    track.setAttribute("aria-valuenow", String(row.held));
    track.title = tr("at most {} % so far", grouped(row.peak_percent, 0));
    track.children[0].style.width = Math.min(100, 100 * row.held / row.limit) + "%";
    track.children[1].style.left = `calc(${Math.min(100, row.peak_percent)}% - 2px)`;
    node.dataset.full = String(row.held >= row.limit);
  });
};

const showParameters = () => table("parameters", [
  { title: tr("Parameter"), fill: twoLines, update: (cell, row) => putLines(cell, row.name, row.strategy) },
  { title: tr("Value"), className: "wrap", text: (row) => row.value },
  ...parameterControls(),
], state.sections.parameters || [], (row) => `${row.strategy} ${row.name}`, tr("No parameters."));

const EVENTS_SHOWN = 120;
const showEvents = () => {
  const kind = byId("kind").value, items = [];
  if (kind !== "warning") {
    for (const [ns, strategy, pair, side, at, size, , fee, feeIn, maker] of state.rows.fills) {
      const [base, quote] = pair.toUpperCase().split("_");
      items.push({ ns, level: "fill", text: tr(side === "buy" ? "{} bought {} {} at {} {}, {}, fee {} {}" : "{} sold {} {} at {} {}, {}, fee {} {}", strategy, amount(size), base, grouped(at, decimalsOfPair(pair)), quote, tr(maker ? "maker" : "taker"), fee, feeIn.toUpperCase()) });
    }
  }
  if (kind !== "fill") {
    for (const [ns, level, text] of state.rows.messages) {
      if (kind === "all" || level !== "info") items.push({ ns, level, text: level === "info" ? text : `${tr(level)}: ${text}` });
    }
  }
  items.sort((a, b) => b.ns - a.ns);
  const shown = items.length ? items.slice(0, EVENTS_SHOWN) : [{ ns: 0, level: "none", text: tr("Nothing yet.") }];
  // several fills of one second may read the same
  const seen = new Map();
  for (const item of shown) {
    const key = `${item.ns} ${item.level} ${item.text}`, count = seen.get(key) || 0;
    seen.set(key, count + 1);
    item.key = `${key} ${count}`;
  }
  sync(byId("events"), shown, (item) => item.key, (item) => {
    const node = element("li");
    const time = element("time", node, "", item.ns ? clock(item.ns) : "");
    if (item.ns) time.dateTime = new Date(item.ns / 1e6).toISOString();
    element("span", node, "text", item.text);
    node.dataset.level = item.level;
    return node;
  }, () => {});
};

const showLog = () => {
  const rows = state.rows.log.slice(-300), place = byId("log");
  const stick = place.scrollHeight - place.scrollTop - place.clientHeight < 40;
  byId("log-none").hidden = rows.length > 0;
  place.hidden = !rows.length;
  setText(place, rows.map(([time, level, logger, text]) => `${time} ${level.padEnd(7)} ${logger}: ${text}`).join("\n"));
  if (stick) place.scrollTop = place.scrollHeight;
};

const showRuns = () => {
  byId("runs-section").hidden = !state.runs.length;
  table("runs", [
    { title: tr("Run"), fill: (cell, row) => control(cell, row.id, tr("Open the report of {}", row.id), () => openReport(row.id)) },
    { title: tr("Return"), className: "n", text: (row) => (row.return === null || row.return === undefined ? "–" : percent(100 * row.return, true)), tone: (row) => toneOf(row.return) },
    { title: tr("Drawdown"), className: "n", text: (row) => (row.max_drawdown === null || row.max_drawdown === undefined ? "–" : percent(100 * row.max_drawdown)) },
    { title: tr("Fills"), className: "n", text: (row) => grouped(row.fills || 0, 0) },
    { title: tr("Finished"), text: (row) => when(local(row.finished)) },
  ], state.runs, (row) => row.id, "");
};
const openReport = async (run) => {
  const dialog = byId("report"), place = byId("report-place");
  setText(byId("report-name"), run);
  place.replaceChildren();
  dialog.showModal();
  try {
    const { ticket } = await send("/ticket", { run });
    const frame = element("iframe");
    frame.title = tr("Report of {}", run);
    frame.setAttribute("sandbox", "allow-scripts");
    frame.src = "/report/" + encodeURIComponent(ticket);
    place.append(frame);
  } catch (error) { element("p", place, "warning grave", error.message); }
};
byId("report-close").addEventListener("click", () => byId("report").close());
byId("report").addEventListener("close", () => byId("report-place").replaceChildren());
