// Draws the page, and repaints its charts when the theme changes.
const repaint = () => drawn.forEach((paint) => paint());
drawEquity();
drawStrategies();
data.prices.forEach((pair) => drawPrice(pair, tradesOf(pair.pair)));
listTrades();

const button = document.getElementById("theme");
button.hidden = false;
button.addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  repaint();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
root.dataset.charts = String(document.querySelectorAll("[data-chart] canvas").length > 0 ? document.querySelectorAll("[data-chart]").length : 0);
