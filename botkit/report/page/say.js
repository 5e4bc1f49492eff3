// Texts, numbers, times and elements, written as in the rest of the page.
// The English text is the key (report/language.py); a translation may number its places.
const tr = (text, ...values) => { let next = 0; return (data.phrases[text] || text).replace(/\{(\d*)\}/g, (_, place) => values[place === "" ? next++ : Number(place)]); };
const signed = (value, text, plus) => (/[1-9]/.test(text) ? (value < 0 ? "−" : plus ? "+" : "") + text : text);
const grouped = (value, decimals, plus) => signed(value, Math.abs(value).toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals }), plus);
const decimalsOf = (value) => { const size = Math.abs(value); return size >= 10 || size < 5e-9 ? 2 : size >= 0.1 ? 4 : 8; };
const money = (value, plus) => grouped(value, decimalsOf(value), plus);
const percent = (value, plus) => grouped(value, 2, plus) + " %";
const amount = (value) => signed(value, Math.abs(value).toLocaleString("en-US", { maximumFractionDigits: 8 }));
const shortAmount = (value) => signed(value, Math.abs(value).toLocaleString("en-US", { maximumSignificantDigits: 4 }));
const two = (n) => String(n).padStart(2, "0");
// Times are local, labelled as UTC, because the chart library supports only that.
const when = (time, precise = data.seconds) => {
  const ms = Math.round(time * 1000), d = new Date(ms);
  const day = `${d.getUTCFullYear()}-${two(d.getUTCMonth() + 1)}-${two(d.getUTCDate())} ${two(d.getUTCHours())}:${two(d.getUTCMinutes())}`;
  const fraction = ms % 1000 ? "." + String(ms % 1000).padStart(3, "0") : "";
  return precise || ms % 60000 ? `${day}:${two(d.getUTCSeconds())}${fraction}` : day;
};
const minute = (time) => when(Math.floor(time / (data.seconds ? 1 : 60)) * (data.seconds ? 1 : 60));
const lasting = (s) => {
  if (s >= 172800) return tr("{} days", grouped(s / 86400, 1));
  if (s >= 3600) return tr("{} h {} min", Math.floor(s / 3600), two(Math.floor(s % 3600 / 60)));
  if (s >= 60) return tr("{} min {} s", Math.floor(s / 60), two(Math.floor(s % 60)));
  return s >= 10 ? tr("{} s", grouped(s, 0)) : tr("{} ms", grouped(s * 1000, 0));
};
// A whole number of minutes or hours, or a day.
const wholeSpan = (s) => (s >= 86400 ? tr("1 day") : s >= 3600 ? tr("{} h", s / 3600) : tr("{} min", s / 60));
// The index of the last of some ascending times that is not later, or -1.
const lastAt = (t, time) => {
  let low = -1, high = t.length;
  while (high - low > 1) { const middle = (low + high) >> 1; if (t[middle] <= time) low = middle; else high = middle; }
  return low;
};
const element = (tag, parent, className, text) => {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;         // never innerHTML: names come from files
  if (parent) parent.appendChild(made);
  return made;
};
const control = (parent, text, label, act) => {
  const made = element("button", parent, "", text);
  made.type = "button";
  if (label) { made.title = label; made.setAttribute("aria-label", label); }
  made.addEventListener("click", act);
  return made;
};
