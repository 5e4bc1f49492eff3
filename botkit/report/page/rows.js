// A list of rows: filtered, sorted, in pages; a chosen row is shown on the price charts.
const ROWS = 25;                                           // on a page

// Columns have a title, a key to sort by and a text. `names` are the list's texts, `keeps` returns a test of rows for the
// filters' values, `sum` spells what the rows kept come to, and `choose` is called with a row and a function that leads back.
const listRows = (section, { count, columns, sortedBy, names, selects, keeps, sum, choose }) => {
  const table = section.querySelector("table"), head = table.tHead.rows[0], body = table.tBodies[0];
  const status = section.querySelector("[role=status]"), pager = section.querySelector(".pager"), filters = section.querySelector(".filters");
  let order = Array.from({ length: count }, (_, i) => i);
  let sorted = columns[sortedBy], falling = true, page = 0, chosen = -1;

  const compare = (key, falls) => (a, b) => {
    const x = key(a), y = key(b);
    if (x === y) return falls ? b - a : a - b;
    if (x === null) return 1;
    if (y === null) return -1;
    return (x < y ? -1 : 1) * (falls ? -1 : 1);
  };
  const rowButton = (i) => body.querySelector(`tr[data-row="${i}"] button`);
  const pick = (i) => {
    chosen = i;
    for (const row of body.rows) row.className = row.dataset.row === String(i) ? "chosen" : "";
    choose(i, () => (rowButton(i) || head.querySelector("button")).focus());
  };
  const show = () => {
    const pages = Math.max(1, Math.ceil(order.length / ROWS));
    page = Math.max(0, Math.min(page, pages - 1));
    body.replaceChildren();
    for (const i of order.slice(page * ROWS, (page + 1) * ROWS)) {
      const row = element("tr", body);
      row.dataset.row = String(i);
      if (i === chosen) row.className = "chosen";
      columns.forEach((column, place) => {
        const cell = element(place ? "td" : "th", row, [column.number ? "n" : "", column.wide ? "wide" : "", column.long ? "long" : "", column.tone ? column.tone(i) : ""].join(" ").trim());
        if (place) { cell.textContent = column.text(i); return; }
        cell.scope = "row";
        control(cell, column.text(i), "", () => pick(i)).setAttribute("aria-label", names.row(column.text(i)));
      });
    }
    if (!order.length) { const cell = element("td", element("tr", body), "dim", names.none); cell.colSpan = columns.length; }
    status.textContent = sum(order);
    const first = page * ROWS + 1, last = Math.min(order.length, (page + 1) * ROWS);
    pager.querySelector(".place").textContent = order.length ? tr("{} to {} of {}", grouped(first, 0), grouped(last, 0), grouped(order.length, 0)) : "";
    const [start, back, next, end] = pager.querySelectorAll("button");
    start.disabled = back.disabled = page === 0;
    next.disabled = end.disabled = page === pages - 1;
    pager.hidden = order.length <= ROWS;
    for (const cell of head.cells) cell.setAttribute("aria-sort", cell.column === sorted ? (falling ? "descending" : "ascending") : "none");
  };

  const wanted = { text: "" };
  const filter = () => {
    const kept = keeps(wanted);
    order = [];
    for (let i = 0; i < count; i++) if (kept(i)) order.push(i);
    order.sort(compare(sorted.key, falling));
    page = 0;
    show();
  };
  for (const [key, title, choices] of selects) {
    wanted[key] = -1;
    if (choices.filter((name) => name !== null).length < 2) continue;
    const list = element("select", element("label", filters, "", title + " "));
    const option = (text, value) => { element("option", list, "", text).value = String(value); };
    option(tr("all"), -1);
    choices.forEach((name, i) => { if (name !== null) option(name, i); });
    list.addEventListener("change", () => { wanted[key] = Number(list.value); filter(); });
  }
  if (names.find) {
    const box = element("input", element("label", filters, "", tr("Find") + " "));
    box.type = "search";
    box.placeholder = names.find;
    box.addEventListener("input", () => { wanted.text = box.value; filter(); });
  }

  for (const column of columns) {
    const cell = element("th", head, [column.number ? "n" : "", column.wide ? "wide" : ""].join(" ").trim());
    cell.scope = "col";
    cell.column = column;
    const button = control(cell, column.title, "", () => {
      falling = sorted === column ? !falling : Boolean(column.number) || column === columns[sortedBy];
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

  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (row && row.dataset.row && !event.target.closest("button")) pick(Number(row.dataset.row));
  });
  // in the list, arrows move between rows and page keys between pages
  body.addEventListener("keydown", (event) => {
    const row = event.target.closest("tr");
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: ROWS, PageUp: -ROWS }[event.key];
    if (!row || !step) return;
    event.preventDefault();
    const place = order.indexOf(Number(row.dataset.row)) + step;
    const to = Math.max(0, Math.min(order.length - 1, place));
    if (Math.floor(to / ROWS) !== page) turn(Math.floor(to / ROWS));
    rowButton(order[to]).focus();
  });
  order.sort(compare(sorted.key, falling));
  show();
  section.querySelector(".live").hidden = false;
};

// Shows a row on the charts of its pairs, with a text below the first of them.
const showOnCharts = (pairs, line, text, back) => {
  for (const panel of panels.values()) panel.clear();
  const shown = pairs.filter((pair) => panels.has(pair)).map((pair) => panels.get(pair));
  if (!shown.length) return;
  for (const panel of shown) panel.show(line);
  const { panel, note } = shown[0];
  note.replaceChildren();
  note.append(text + " ");
  const button = control(note, tr("Back to the list"), "", () => { for (const other of panels.values()) other.clear(); back(); });
  note.hidden = false;
  panel.scrollIntoView({ block: "center" });
  button.focus({ preventScroll: true });
};
