// The whole run in one strip: equity, fills, and what is in view. A click goes there.
const overview = { canvas: document.getElementById("overview") };

const drawOverview = (state) => {
  const { context, width, height } = sharp(overview.canvas);
  const x = (ms) => ms / LENGTH * width;
  let low = Infinity, high = -Infinity;
  for (let i = 0; i < FRAMES; i++) { const value = equityAt(i); if (value !== null) { low = Math.min(low, value); high = Math.max(high, value); } }
  const reach = Math.max(1, high - low), top = 6, foot = 16, y = (value) => top + (high - value) / reach * (height - top - foot);
  if (map.view) {
    context.fillStyle = color("accent-soft");
    context.fillRect(x(map.view.begin), 0, Math.max(2, x(map.view.span)), height);
  }
  context.strokeStyle = color("accent");
  context.lineWidth = 1.5;
  context.beginPath();
  const every = Math.max(1, Math.floor(FRAMES / (width * 2)));
  let begun = false;
  for (let i = 0; i < FRAMES; i += every) {
    const value = equityAt(i);
    if (value === null) continue;
    if (begun) context.lineTo(x(i * STEP), y(value)); else context.moveTo(x(i * STEP), y(value));
    begun = true;
  }
  context.stroke();
  for (const [sign, hue, offset] of [[1, "buy", 12], [-1, "sell", 6]]) {
    context.fillStyle = color(hue);
    for (const i of fills) if (orders.side[steps.order[i]] === sign) context.fillRect(Math.round(x(steps.t[i])), height - offset, 1, 5);
  }
  context.fillStyle = color("accent");
  context.fillRect(x(state.at) - 1, 0, 2, height);
};
