// Puts everything together.
for (const seconds of WIDTHS) { const node = element("option", byId("width"), "", wholeSpan(seconds)); node.value = String(seconds); }
// Red or green for gains: as the page was made, until the button is used, which this browser remembers.
const UP = "botkit-up";
const upButton = () => {
  const button = document.getElementById("up");
  const show = (red) => { if (red) root.dataset.up = "red"; else delete root.dataset.up; button.textContent = red ? tr("Red up") : tr("Green up"); repaint(); };
  const kept = localStorage.getItem(UP);
  show(kept ? kept === "red" : root.dataset.up === "red");
  button.addEventListener("click", () => {
    const red = root.dataset.up !== "red";
    localStorage.setItem(UP, red ? "red" : "green");
    show(red);
  });
};
drawPriceChart();
drawEquityChart();

byId("width").addEventListener("change", () => { state.width = Number(byId("width").value); clearPrice(); look(); });
byId("pair").addEventListener("change", () => { state.pair = byId("pair").value; clearPrice(); look(); });
byId("kind").addEventListener("change", showEvents);
themeButton();
upButton();

listeners.push((changed) => {
  const has = (...names) => names.some((name) => changed.has(name));
  if (changed.has("bots") && state.bots.length && !state.bots.some((bot) => bot.id === state.bot)) {
    const kept = sessionStorage.getItem(CHOICE), running = state.bots.find((bot) => bot.state === "running");
    chooses((state.bots.find((bot) => bot.id === kept) || running || state.bots[0]).id);
  }
  if (changed.has("cleared")) said.hidden = true;
  if (has("begins", "cleared")) { clearPrice(); showEquity(true); }
  if (has("bots")) showBots();
  if (has("bots", "head", "cleared")) { showHead(); showMoney(); showControls(); }
  if (has("head", "positions")) showPairs();
  if (has("orders", "head", "cleared")) { showOrders(); drawOrderLines(false); }
  if (has("positions", "head", "cleared")) showPositions();
  if (has("balances", "cleared")) showBalances();
  if (has("strategies", "head", "cleared")) showStrategies();
  if (has("limits", "cleared")) showLimits();
  if (has("parameters", "head", "cleared")) showParameters();
  if (has("plots", "candles", "lines")) drawPlots();
  if (has("fills")) drawMarks();
  if (has("fills", "messages", "cleared", "begins")) showEvents();
  if (has("log", "cleared", "begins")) showLog();
  if (has("equity") || (has("bots") && openingNow() !== equity.opening)) showEquity(false);
  if (has("runs")) showRuns();
  root.dataset.ready = String(state.bots.length > 0 && Boolean(state.sections.head));
});

takeToken();
addEventListener("hashchange", () => { takeToken(); connect(); });
connect();
