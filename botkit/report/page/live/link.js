// The connection: one WebSocket, opened again whenever it is lost, and what has arrived so far.
const TOKEN = "botkit-token", CHOICE = "botkit-bot";
const STREAMS = ["messages", "fills", "equity", "log", "lines"];
const KEPT = { messages: 500, fills: 2000, equity: 20000, log: 500, lines: 10000 };
const state = { bots: [], runs: [], sections: {}, rows: {}, next: {}, epoch: null, bot: null, pair: null, width: 60 };
const listeners = [];                                      // called with the names of the sections that have changed
const forget = () => { state.sections = {}; state.rows = Object.fromEntries(STREAMS.map((name) => [name, []])); state.next = {}; state.epoch = null; };
forget();

let token = "", socket = null, tries = 0, timer = 0, refused = false;
const link = byId("link");
const saysLink = (name, text) => { link.dataset.state = name; link.textContent = text; };

// The token comes in the fragment, which is not sent, and does not stay in the address.
const takeToken = () => {
  const found = /[#&]token=([\w-]+)/.exec(location.hash);
  if (found) {
    sessionStorage.setItem(TOKEN, found[1]);
    history.replaceState(null, "", location.pathname);
  }
  token = sessionStorage.getItem(TOKEN) || "";
};
const ask = (why) => {
  saysLink("down", tr("not connected"));
  byId("ask").hidden = false;
  byId("bot").hidden = byId("bots").hidden = byId("runs-section").hidden = true;
  byId("refused").hidden = !why;
  byId("refused").textContent = why || "";
  byId("token").focus();
};
byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const given = byId("token").value.trim(), found = /token=([\w-]+)/.exec(given);
  token = found ? found[1] : given;
  if (!token) return;
  sessionStorage.setItem(TOKEN, token);
  byId("token").value = "";
  byId("ask").hidden = true;
  refused = false;
  connect();
});

const look = () => {
  if (socket && socket.readyState === WebSocket.OPEN) {
    socket.send(JSON.stringify({ bot: state.bot, pair: state.pair, width: state.width, epoch: state.epoch, have: state.next }));
  }
};
const chooses = (bot) => {
  if (bot === state.bot) return;
  state.bot = bot;
  state.pair = null;
  sessionStorage.setItem(CHOICE, bot);
  forget();
  tell(["bots", "cleared"]);
  look();
};
const tell = (names) => listeners.forEach((listen) => listen(new Set(names)));

const connect = () => {
  clearTimeout(timer);
  if (!token) { ask(""); return; }
  if (socket) { socket.onclose = null; socket.close(); }
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const opened = socket = new WebSocket(`${scheme}://${location.host}/live`);
  let heard = false;
  opened.onopen = () => { opened.send(JSON.stringify({ token })); look(); };
  opened.onmessage = (event) => {
    if (!heard) { heard = true; tries = 0; saysLink("up", tr("connected")); byId("ask").hidden = true; }
    take(JSON.parse(event.data));
  };
  opened.onclose = (event) => {
    if (opened !== socket) return;
    if (event.code === 1008) {
      refused = true;
      sessionStorage.removeItem(TOKEN);
      ask(tr("The server does not accept this token. botkit prints the right address when it starts."));
      return;
    }
    // at first at once, since a server that restarts is back soon; a phone that was asleep comes back by itself
    const wait = Math.min(5000, 250 * 2 ** Math.min(tries++, 5));
    saysLink("down", tr("connection lost, trying again"));
    timer = setTimeout(connect, wait);
  };
};
addEventListener("online", () => { if (!refused) connect(); });
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && !refused && socket && socket.readyState > WebSocket.OPEN) connect();
});

const take = (message) => {
  const changed = [];
  for (const name of ["bots", "runs"]) if (message[name]) { state[name] = message[name]; changed.push(name); }
  if (message.bot && message.bot === state.bot) {
    if (message.begins) { state.rows = Object.fromEntries(STREAMS.map((name) => [name, []])); state.next = {}; changed.push("begins"); }
    for (const [name, content] of Object.entries(message.sections)) {
      if (STREAMS.includes(name)) {
        state.rows[name].push(...content.rows);
        state.rows[name].splice(0, state.rows[name].length - KEPT[name]);
        state.next[name] = content.next;
      } else if (name !== "candles") state.sections[name] = content;
      changed.push(name);
    }
    if (message.sections.head) state.epoch = message.sections.head.epoch;
    if (message.sections.candles) takeCandles(message.sections.candles);
  }
  tell(changed);
};

const send = async (path, body) => {
  const answer = await fetch(path, { method: "POST", headers: { "X-Botkit-Token": token, "Content-Type": "application/json" }, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error((await answer.text()).trim() || tr("the server answered {}", answer.status));
  return answer.json();
};
