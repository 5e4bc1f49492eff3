// The decisions and what came of them: a list around the playhead, and what the strategy saw at one of them.
const ROWS = 15, SEEN = 6;
const FILTERS = { all: () => true, orders: (kind) => kind === "place", cancels: (kind) => kind === "cancel", fills: (kind) => kind === "fill", "not done": (kind) => ["refused", "rejected", "expired", "not_sent", "absent", "post_only_cancelled"].includes(kind) };
let shownSteps = [], shownTimes = new Float64Array(0);      // the numbers of the steps that pass the filter, and their times
const chooseSteps = (name) => { shownSteps = []; for (let i = 0; i < steps.count; i++) if (FILTERS[name](steps.kind(i))) shownSteps.push(i); shownTimes = Float64Array.from(shownSteps, (i) => steps.t[i]); };
chooseSteps("all");

const orderText = (order) => {
  const pair = pairNamed.get(orders.pairName(order)), side = orders.side[order] > 0 ? "buy" : "sell";
  const size = orders.lots[order] ? (pair ? `${pair.size(orders.lots[order])} ${pair.base}` : "") : tr("for {} {}", money(inMoney(orders.spend[order])), pair ? pair.quote : "");
  const price = orders.price[order] && pair ? tr(" at {}", pair.price(orders.price[order])) : "";
  const stop = orders.stop[order] && pair ? tr(", stop {}", pair.price(orders.stop[order])) : "";
  return `${tr(side)} ${size}${price}${stop}`;
};
const kindText = (kind) => tr(({ place: "order", cancel: "cancel" })[kind] || kind.replaceAll("_", " "));
// such as "limit post-only"
const typeText = (order) => orders.type(order).split(" ").map((word) => tr(word.replaceAll("_", " "))).join(" ");
const stepText = (i) => {
  const kind = steps.kind(i), order = steps.order[i];
  if (order < 0) return steps.text(i);
  if (kind === "fill") {
    const pair = pairNamed.get(orders.pairName(order));
    const bought = pair ? tr("{} {} at {}", pair.size(steps.lots[i]), pair.base, pair.price(steps.price[i])) : "";
    return tr(orders.side[order] > 0 ? "bought {}, {}, fee {} {}" : "sold {}, {}, fee {} {}", bought, tr(steps.isMaker(i) ? "maker" : "taker"), amount(inMoney(steps.fee[i])), steps.feeIn(i));
  }
  return orderText(order) + (kind === "place" ? tr(", {}", typeText(order)) : "") + (orders.tag(order) ? ` (${orders.tag(order)})` : "") + (steps.text(i) ? `: ${steps.text(i)}` : "");
};

const fillSteps = (state) => {
  const now = lastAt(shownTimes, state.at), body = place("steps").tBodies[0];
  let first = Math.max(0, Math.min(now - Math.floor(ROWS * 0.6), shownSteps.length - ROWS));
  const chosen = state.step >= 0 ? shownSteps.indexOf(state.step) : -1;
  if (chosen >= 0 && (chosen < first || chosen >= first + ROWS)) first = Math.max(0, chosen - 7);
  const wanted = `${first}:${now}:${state.step}:${shownSteps.length}`;
  if (body.dataset.shown === wanted) return;
  body.dataset.shown = wanted;
  fillRows(body, shownSteps.slice(first, first + ROWS).map((i, n) => ({
    name: [first + n > now ? "later" : "", i === state.step ? "chosen" : ""].join(" ").trim(),
    cells: [
      { fill: (cell) => { const button = control(cell, clockText(steps.t[i]).slice(11), "", () => choose(i)); button.setAttribute("aria-label", tr("Show what the strategy saw at {}", clockText(steps.t[i]))); if (i === state.step) button.setAttribute("aria-current", "true"); } },
      steps.order[i] >= 0 ? orders.strategy(steps.order[i]) : "", kindText(steps.kind(i)), { name: "wrap", text: stepText(i) },
    ],
  })));
  place("steps-place").textContent = shownSteps.length ? tr("{} of {} so far", grouped(now + 1, 0), grouped(shownSteps.length, 0)) : tr("none");
};

const fact = (list, title, text) => { element("dt", list, "", title); element("dd", list, "", text); };
const sinceText = (from, ms) => (ms === null ? "–" : `+${lasting((ms - from) / 1000)}`);

// What the strategy saw when it decided a step, and what became of it.
const fillSeen = (state) => {
  const box = place("seen");
  if (box.dataset.step === String(state.step)) return;
  box.dataset.step = String(state.step);
  box.replaceChildren();
  box.hidden = state.step < 0;
  place("no-seen").hidden = state.step >= 0;
  if (state.step < 0) return;
  const i = state.step, order = steps.order[i], at = steps.t[i];
  const strategy = order < 0 ? null : orders.strategy(order), name = order < 0 ? pairs[state.pair].name : orders.pairName(order), pair = pairNamed.get(name);
  element("h3", box, "", `${clockText(at)} ${kindText(steps.kind(i))}`);
  element("p", box, "", stepText(i));
  const columns = element("div", box, "columns"), left = element("div", columns), middle = element("div", columns);
  const moment = lastAt(moments.t, at), seen = moment >= 0 ? moments.pairs.get(name) : null;
  element("h4", left, "", tr("What the strategy saw"));
  if (!seen || !pair) element("p", left, "dim", tr("Nothing was kept for this moment."));
  else {
    if (moments.t[moment] !== at) element("p", left, "dim", tr("as of {}", clockText(moments.t[moment])));
    const table = element("table", left, "dense"), body = element("tbody", table);
    table.setAttribute("aria-label", tr("The book that the strategy saw"));
    const asks = levelsAt(seen.asks, moment).slice(0, SEEN).reverse(), bids = levelsAt(seen.bids, moment).slice(0, SEEN);
    const rows = [...asks.map((level) => ["ask", level]), ...bids.map((level) => ["bid", level])];
    fillRows(body, rows.map(([side, [ticks, lots]], n) => ({ name: `${side}${n === asks.length ? " first-bid" : ""}`, cells: [right(pair.price(ticks)), right(pair.aligned(lots))] })));
    const facts = element("dl", left, "facts");
    fact(facts, tr("Received"), seen.seen[moment] < 0 ? tr("no book yet") : tr("{} earlier", lasting(seen.seen[moment] / 1000)));
    fact(facts, tr("Last price"), pair.price(seen.last[moment] < 0 ? null : seen.last[moment]));
    for (const held of moments.holdings) if (strategy === null || held.strategy === strategy) fact(facts, held.currency, amount(inMoney(held.units[moment])));
    for (const line of lines) {
      const point = lastAt(line.t, at);
      if (point >= 0 && line.pair === name && (strategy === null || line.strategy === strategy)) fact(facts, line.name, amount(line.v[point]));
    }
  }
  if (order < 0) return;
  element("h4", middle, "", tr("What became of it"));
  const facts = element("dl", middle, "facts"), asked = orders.asked[order];
  fact(facts, tr("Order"), String(orders.id[order]));
  fact(facts, tr("Type"), typeText(order));
  fact(facts, tr("Asked for"), clockText(asked).slice(11));
  fact(facts, tr("Sent"), sinceText(asked, orders.sent(order)));
  fact(facts, tr("Known to be open"), sinceText(asked, orders.opened(order)));
  for (const fill of fillsOf.get(order) || []) fact(facts, tr("Filled"), `${sinceText(asked, steps.t[fill])}: ${pair ? tr("{} at {}", pair.size(steps.lots[fill]), pair.price(steps.price[fill])) : ""}`);
  if (orders.ended(order) !== null) fact(facts, tr(orders.state(order).replaceAll("_", " ")), sinceText(asked, orders.ended(order)) + (orders.why(order) ? `: ${orders.why(order)}` : ""));
  else fact(facts, tr("At the end"), tr(orders.state(order).replaceAll("_", " ")));
};
