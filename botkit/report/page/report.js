// Draws the page.
drawEquity();
drawStrategies();
data.prices.forEach((pair) => drawPrice(pair, tradesOf(pair.pair)));
listTrades();

themeButton();
root.dataset.charts = String(document.querySelectorAll("[data-chart] canvas").length > 0 ? document.querySelectorAll("[data-chart]").length : 0);
