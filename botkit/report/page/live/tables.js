// Tables whose rows keep their place and focus while their figures change.
const zoned = { zone: "UTC", offsets: new Map(), format: null };
const useZone = (zone) => {
  if (zone === zoned.zone && zoned.format) return;
  zoned.zone = zone;
  zoned.offsets.clear();
  const parts = { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
  try { zoned.format = new Intl.DateTimeFormat("en-US", { ...parts, timeZone: zone }); } catch { zoned.format = new Intl.DateTimeFormat("en-US", { ...parts, timeZone: "UTC" }); }
};
useZone("Asia/Taipei");
// Seconds since the epoch as the chart wants them: as if the zone were UTC.
const local = (seconds) => {
  const quarter = Math.floor(seconds / 900);
  let offset = zoned.offsets.get(quarter);
  if (offset === undefined) {
    const at = quarter * 900, found = {};
    for (const part of zoned.format.formatToParts(at * 1000)) found[part.type] = Number(part.value);
    offset = Date.UTC(found.year, found.month - 1, found.day, found.hour, found.minute, found.second) / 1000 - at;
    if (zoned.offsets.size > 5000) zoned.offsets.clear();
    zoned.offsets.set(quarter, offset);
  }
  return seconds + offset;
};
const ofNanos = (ns) => Math.floor(ns / 1e9);
const clock = (ns) => when(local(ofNanos(ns)), true);
// The zone's distance from UTC, such as +08:00.
const offsetAt = (ns) => { const minutes = (local(ofNanos(ns)) - ofNanos(ns)) / 60, size = Math.abs(minutes); return `${minutes < 0 ? "−" : "+"}${two(Math.floor(size / 60))}:${two(size % 60)}`; };
const clockOnly = (ns) => clock(ns).slice(11);

const setText = (node, text) => { if (node.textContent !== text) node.textContent = text; };
const setClass = (node, name) => { if (node.className !== name) node.className = name; };

// Makes the children of a node one for each item, by key, in this order.
const sync = (parent, items, keyOf, make, update) => {
  const known = parent.known || (parent.known = new Map()), wanted = new Set();
  let before = null;
  for (const item of items) {
    const key = keyOf(item);
    wanted.add(key);
    let node = known.get(key);
    if (!node) { node = make(item); known.set(key, node); }
    update(node, item);
    const place = before ? before.nextSibling : parent.firstChild;
    if (place !== node) parent.insertBefore(node, place);
    before = node;
  }
  for (const [key, node] of known) if (!wanted.has(key)) { node.remove(); known.delete(key); }
};

// Fills a table. Columns have a title, a text, and perhaps a class, a tone, or `fill` for a cell with more than text.
const table = (id, columns, rows, keyOf, none) => {
  const place = byId(id);
  if (!place.tBodies.length) {
    const line = element("tr", element("thead", place));
    for (const column of columns) {
      const cell = element("th", line, column.className || "", column.title);
      cell.scope = "col";
    }
    element("tbody", place);
  }
  const shown = rows.length ? rows : [null];
  place.tHead.hidden = !rows.length;
  sync(place.tBodies[0], shown, (row) => (row === null ? "none" : keyOf(row)), (row) => {
    const line = element("tr", null, row === null ? "none" : "");
    if (row === null) { element("td", line, "", none).colSpan = columns.length; return line; }
    columns.forEach((column, i) => {
      const cell = element(i === 0 ? "th" : "td", line, column.className || "");
      if (i === 0) cell.scope = "row";
      if (column.fill) column.fill(cell, row);
    });
    return line;
  }, (line, row) => {
    if (row === null) return;
    line.row = row;
    columns.forEach((column, i) => {
      const cell = line.cells[i];
      if (column.text) setText(cell, column.text(row));
      if (column.update) column.update(cell, row);
      if (column.tone) setClass(cell, `${column.className || ""} ${column.tone(row)}`.trim());
    });
  });
};
const toneOf = (value) => (value > 0 ? "gain" : value < 0 ? "loss" : "");
const pairName = (pair) => pair.toUpperCase().replace("_", "/");
