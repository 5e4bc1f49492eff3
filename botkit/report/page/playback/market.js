// The market around the playhead: the books as a heat map, public trades, own orders and fills.
const AXIS = 74, FOOT = 24, CELL = 3, COLUMN_PX = 2, TRADES_DRAWN = 1500;
const map = { canvas: document.getElementById("map"), view: null, pointer: null };

// What a canvas is drawn on, as sharp as the screen.
const sharp = (canvas) => {
  const ratio = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) { canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio); }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
};
const channels = (name) => { const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true }); probe.fillStyle = color(name); probe.fillRect(0, 0, 1, 1); return probe.getImageData(0, 0, 1, 1).data; };
const quantile = (values, share) => { const sorted = Float64Array.from(values).sort(); return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] : 0; };
// Amounts that count as large, by pair.
const large = pairs.map((pair) => {
  const found = [], every = Math.max(1, Math.floor(FRAMES / 300));
  for (let i = 0; i < FRAMES; i += every) for (const side of [pair.bids, pair.asks]) for (const [, lots] of levelsAt(side, i)) found.push(lots);
  // amounts of a book stand under each other, so all have as many decimals as the finest of nearly all
  pair.shownPlaces = Math.max(2, quantile(found.map((lots) => { let places = pair.places; while (places > 0 && lots % 10 === 0) { lots /= 10; places--; } return places; }), 0.98));
  return { book: quantile(found, 0.95) || 1, trade: quantile(pair.trades.lots, 0.98) || 1, trades: Float64Array.from(pair.trades.lots).sort() };
});

// The span of time and of prices in view. The playhead stands at seven tenths, except at the ends of the run.
const viewOf = (state, width, height) => {
  const pair = pairs[state.pair], span = Math.min(state.span, LENGTH);
  const begin = Math.max(0, Math.min(state.at - 0.7 * span, LENGTH - span));
  let low = Infinity, high = -Infinity;
  const first = frameAt(begin), last = frameAt(begin + span), every = Math.max(1, Math.floor((last - first) / 300));
  const take = (ticks) => { if (ticks < low) low = ticks; if (ticks > high) high = ticks; };
  for (let i = first; i <= last; i += every) {
    for (const side of [pair.bids, pair.asks]) for (let k = 0; k < Math.min(side.depth, 6); k++) if (side.lots[k][i] > 0) take(side.ticks[k][i]);
    const price = pair.last(i);
    if (price !== null) take(price);
  }
  if (low > high) { low = 0; high = 1; }
  const reach = Math.max(1, high - low);
  for (let i = 0; i < orders.count; i++) {
    const from = orders.sent(i), until = orders.ended(i);
    if (from === null || orders.pairName(i) !== pair.name || from > begin + span || (until !== null && until < begin)) continue;
    const ticks = orders.price[i];
    if (ticks > low - reach && ticks < high + reach) take(ticks);
  }
  const margin = Math.max(1, (high - low) * 0.04);
  low -= margin;
  high += margin;
  return { pair, begin, span, low, high, width, height, first, last, x: (ms) => (ms - begin) / span * width, y: (ticks) => (high - ticks) / (high - low) * height, ms: (x) => begin + x / width * span, ticks: (y) => high - y / height * (high - low) };
};

// Steps between marks of an axis: 1, 2 or 5 times a power of ten; of time, whole seconds, minutes or hours.
const roundStep = (least) => { const power = Math.pow(10, Math.floor(Math.log10(least))); return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= least); };
const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800].map((s) => s * 1000);

const drawHeat = (context, view, index) => {
  const columns = Math.ceil(view.width / COLUMN_PX), rows = Math.ceil(view.height / CELL);
  const image = new ImageData(columns, rows), [red, green, blue] = channels("heat"), grid = new Float64Array(rows);
  for (let x = 0; x < columns; x++) {
    const frame = frameAt(view.ms((x + 0.5) * COLUMN_PX));
    grid.fill(0);
    for (const side of [view.pair.bids, view.pair.asks]) {
      for (let k = 0; k < side.depth; k++) {
        const lots = side.lots[k][frame], row = Math.floor(view.y(side.ticks[k][frame]) / CELL);
        if (lots > 0 && row >= 0 && row < rows) grid[row] += lots;
      }
    }
    for (let row = 0; row < rows; row++) {
      if (!grid[row]) continue;
      const at = (row * columns + x) * 4;
      image.data[at] = red;
      image.data[at + 1] = green;
      image.data[at + 2] = blue;
      image.data[at + 3] = 235 * Math.min(1, 0.12 + 0.88 * Math.sqrt(grid[row] / large[index].book));
    }
  }
  const cells = document.createElement("canvas");
  cells.width = columns;
  cells.height = rows;
  cells.getContext("2d").putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(cells, 0, 0, columns * COLUMN_PX, rows * CELL);
};

const drawBest = (context, view) => {
  context.strokeStyle = color("dim");
  context.lineWidth = 1;
  for (const side of [view.pair.bids, view.pair.asks]) {
    context.beginPath();
    let before = null;
    for (let x = 0; x <= view.width; x += COLUMN_PX) {
      const best = bestAt(side, frameAt(view.ms(x)));
      if (best === null) { before = null; continue; }
      const y = view.y(best);
      if (before === null) context.moveTo(x, y); else { context.lineTo(x, before); context.lineTo(x, y); }
      before = y;
    }
    context.stroke();
  }
};

const drawTrades = (context, view, index) => {
  const { t, ticks, lots, side } = view.pair.trades;
  const first = lastAt(t, view.begin) + 1, stop = lastAt(t, view.begin + view.span) + 1;
  const least = stop - first > TRADES_DRAWN ? quantile(large[index].trades, 1 - TRADES_DRAWN / (stop - first)) : 0;
  context.globalAlpha = 0.6;
  for (const [sign, hue] of [[1, "gain"], [-1, "loss"], [0, "dim"]]) {
    context.fillStyle = color(hue);
    context.beginPath();
    for (let i = first; i < stop; i++) {
      if (side[i] !== sign || lots[i] < least) continue;
      const x = view.x(t[i]), y = view.y(ticks[i]), radius = 1.4 + 5 * Math.sqrt(Math.min(1.5, lots[i] / large[index].trade));
      context.moveTo(x + radius, y);
      context.arc(x, y, radius, 0, 2 * Math.PI);
    }
    context.fill();
  }
  context.globalAlpha = 1;
};

const drawOwn = (context, view, frame) => {
  const now = new Set(standing(frame).map((each) => each.order));
  for (const [sign, hue] of [[1, "buy"], [-1, "sell"]]) {
    context.strokeStyle = color(hue);
    for (const isOpen of [false, true]) {
      context.beginPath();
      for (let i = 0; i < orders.count; i++) {
        const from = orders.sent(i);
        if (orders.side[i] !== sign || from === null || now.has(i) !== isOpen || orders.pairName(i) !== view.pair.name || !orders.price[i]) continue;
        const until = orders.ended(i) === null ? LENGTH : orders.ended(i);
        if (from > view.begin + view.span || until < view.begin) continue;
        const y = view.y(orders.price[i]);
        context.moveTo(Math.max(0, view.x(from)), y);
        context.lineTo(Math.min(view.width, Math.max(view.x(until), view.x(from) + 1)), y);
      }
      context.lineWidth = isOpen ? 3 : 1.5;
      context.stroke();
    }
  }
  const first = lastAt(fillTimes, view.begin - 1) + 1, stop = lastAt(fillTimes, view.begin + view.span) + 1;
  context.lineWidth = 1.5;
  context.strokeStyle = color("paper");
  for (let n = first; n < stop; n++) {
    const i = fills[n], order = steps.order[i];
    if (orders.pairName(order) !== view.pair.name) continue;
    const x = view.x(steps.t[i]), y = view.y(steps.price[i]), up = orders.side[order];
    context.fillStyle = color(up > 0 ? "buy" : "sell");
    context.beginPath();
    context.moveTo(x, y);
    context.lineTo(x - 6, y + 11 * up);
    context.lineTo(x + 6, y + 11 * up);
    context.closePath();
    context.stroke();
    context.fill();
  }
};

const drawAxes = (context, view) => {
  context.font = `11.5px ${getComputedStyle(document.body).fontFamily}`;
  context.fillStyle = color("dim");
  context.strokeStyle = color("grid");
  context.lineWidth = 1;
  context.textBaseline = "middle";
  const step = Math.max(1, roundStep((view.high - view.low) / Math.max(2, view.height / 48)));
  for (let ticks = Math.ceil(view.low / step) * step; ticks < view.high; ticks += step) {
    const y = Math.round(view.y(ticks)) + 0.5;
    context.beginPath();
    context.moveTo(0, y);
    context.lineTo(view.width, y);
    context.stroke();
    if (y > 8 && y < view.height - 6) context.fillText(view.pair.price(ticks), view.width + 8, y);
  }
  const every = TIME_STEPS.find((ms) => ms >= view.span / Math.max(2, view.width / 92)) || TIME_STEPS[TIME_STEPS.length - 1];
  context.textAlign = "center";
  for (let ms = Math.ceil((data.start + view.begin) / every) * every - data.start; ms <= view.begin + view.span; ms += every) {
    const text = clockText(ms), label = every >= 60000 ? text.slice(11, 16) : text.slice(11, 19), x = view.x(ms);
    if (x > 24 && x < view.width - 24) context.fillText(every >= 86400000 ? text.slice(5, 10) : label, x, view.height + 14);
  }
  context.textAlign = "left";
};

const drawMap = (state) => {
  const { context, width, height } = sharp(map.canvas);
  const view = map.view = viewOf(state, width - AXIS, height - FOOT), frame = frameAt(state.at);
  context.save();
  context.beginPath();
  context.rect(0, 0, view.width, view.height);
  context.clip();
  drawHeat(context, view, state.pair);
  drawBest(context, view);
  drawTrades(context, view, state.pair);
  drawOwn(context, view, frame);
  const x = view.x(state.at);
  context.fillStyle = color("paper");
  context.globalAlpha = 0.6;                               // what has not happened yet is pale
  context.fillRect(x, 0, view.width - x, view.height);
  context.globalAlpha = 1;
  if (state.step >= 0) {
    const at = view.x(steps.t[state.step]);
    context.strokeStyle = color("ink");
    context.setLineDash([3, 3]);
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(at, 0);
    context.lineTo(at, view.height);
    context.stroke();
    context.setLineDash([]);
  }
  context.fillStyle = color("accent");
  context.fillRect(x - 1, 0, 2, view.height);
  if (map.pointer) {
    context.strokeStyle = color("dim");
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(map.pointer.x, 0);
    context.lineTo(map.pointer.x, view.height);
    context.moveTo(0, map.pointer.y);
    context.lineTo(view.width, map.pointer.y);
    context.stroke();
  }
  context.restore();
  drawAxes(context, view);
  readOut(state, view, frame);
};

// What is under the pointer, or at the playhead.
const readOut = (state, view, frame) => {
  const out = document.getElementById("readout"), { pair } = view;
  const at = map.pointer ? frameAt(view.ms(map.pointer.x)) : frame;
  const bid = bestAt(pair.bids, at), ask = bestAt(pair.asks, at);
  const said = [["", map.pointer ? clockText(at * STEP) : pair.title], [tr("bid"), pair.price(bid)], [tr("ask"), pair.price(ask)]];
  if (bid !== null && ask !== null) said.push([tr("spread"), tr("{} bps", grouped((ask - bid) / ((ask + bid) / 2) * 1e4, 2))]);
  said.push([tr("last"), pair.price(pair.last(at))]);
  if (map.pointer) {
    let nearest = null;
    for (const side of [pair.bids, pair.asks]) for (const level of levelsAt(side, at)) if (!nearest || Math.abs(view.y(level[0]) - map.pointer.y) < Math.abs(view.y(nearest[0]) - map.pointer.y)) nearest = level;
    if (nearest && Math.abs(view.y(nearest[0]) - map.pointer.y) < 9) said.push([tr("here"), tr("{} {} at {}", pair.size(nearest[1]), pair.base, pair.price(nearest[0]))]);
  }
  out.replaceChildren();
  for (const [title, text] of said) { const each = element("span", out, title ? "" : "name", title ? title + " " : ""); element("b", each, "", text); }
};
