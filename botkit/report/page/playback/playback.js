// Plays the run: one state, drawn anew whenever it changes.
const SPEEDS = [1, 5, 20, 60, 300, 1800];
const SPANS = [60, 300, 900, 3600, 14400, 86400];
const state = { at: 0, span: Math.min(LENGTH, 300000), pair: 0, playing: false, speed: SPEEDS.find((speed) => LENGTH / speed <= 180000) || SPEEDS[SPEEDS.length - 1], step: -1 };
const slider = place("time"), playButton = place("play");

let asked = false;
const draw = () => {
  asked = false;
  const frame = frameAt(state.at);
  drawMap(state);
  drawOverview(state);
  fillLadder(pairs[state.pair], frame);
  fillOwn(frame, state.at);
  fillCards(frame, state.at);
  fillGauges(frame);
  fillSkips(frame);
  fillSteps(state);
  fillSeen(state);
  slider.value = String(frame);
  slider.setAttribute("aria-valuetext", clockText(state.at));
  place("clock").textContent = clockText(state.at);
  place("player").dataset.at = String(state.at);
};
const show = () => { if (!asked) { asked = true; requestAnimationFrame(draw); } };
const seek = (ms) => { state.at = Math.max(0, Math.min(LENGTH, ms)); show(); };
// Goes to a step and shows what the strategy saw there.
const choose = (i) => {
  state.step = i;
  if (steps.order[i] >= 0) { const index = pairs.findIndex((pair) => pair.name === orders.pairName(steps.order[i])); if (index >= 0 && index !== state.pair) pickPair(index); }
  seek(steps.t[i]);
};
const chooseBeside = (direction) => {
  const from = state.step >= 0 && steps.t[state.step] === state.at ? shownSteps.indexOf(state.step) : -1;
  const next = from >= 0 ? from + direction : direction > 0 ? lastAt(shownTimes, state.at) + 1 : lastAt(shownTimes, state.at);
  if (next >= 0 && next < shownSteps.length) choose(shownSteps[next]);
};

const play = (wanted) => {
  state.playing = wanted;
  playButton.textContent = wanted ? "❚❚" : "▶";
  playButton.setAttribute("aria-label", tr(wanted ? "Pause" : "Play"));
  if (!wanted) return;
  if (state.at >= LENGTH) state.at = 0;
  let before = performance.now();
  const tick = (now) => {
    if (!state.playing) return;
    seek(state.at + (now - before) * state.speed);
    before = now;
    if (state.at >= LENGTH) play(false); else requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
};

const zoom = (direction) => {
  const kinds = [...place("span").options].map((option) => Number(option.value)), now = kinds.indexOf(state.span);
  const next = Math.max(0, Math.min(kinds.length - 1, now + direction));
  state.span = kinds[next];
  place("span").value = String(state.span);
  show();
};
const move = (frames) => seek((frameAt(state.at) + frames) * STEP);

playButton.addEventListener("click", () => play(!state.playing));
place("back").addEventListener("click", () => chooseBeside(-1));
place("next").addEventListener("click", () => chooseBeside(1));
slider.max = String(FRAMES - 1);
slider.addEventListener("input", () => seek(Number(slider.value) * STEP));
for (const speed of SPEEDS) element("option", place("speed"), "", speed + " ×").value = String(speed);
place("speed").value = String(state.speed);
place("speed").addEventListener("change", () => { state.speed = Number(place("speed").value); });
for (const seconds of SPANS) if (seconds * 1000 < LENGTH) element("option", place("span"), "", wholeSpan(seconds)).value = String(seconds * 1000);
element("option", place("span"), "", tr("all")).value = String(LENGTH);
place("span").value = String(state.span);
place("span").addEventListener("change", () => { state.span = Number(place("span").value); show(); });
for (const name of Object.keys(FILTERS)) element("option", place("filter"), "", tr(name)).value = name;
place("filter").addEventListener("change", () => { chooseSteps(place("filter").value); show(); });

const pickPair = (index) => {
  state.pair = index;
  [...place("pairs").children].forEach((tab, i) => tab.setAttribute("aria-pressed", String(i === index)));
  const note = place("left-out"), pair = pairs[index];
  note.textContent = pair.leftOut ? tr("{} smaller public trades are not drawn.", grouped(pair.leftOut, 0)) : "";
  show();
};
pairs.forEach((pair, i) => control(place("pairs"), pair.title, "", () => pickPair(i)));
place("pairs").hidden = pairs.length < 2;

// A click on the map or the strip goes there; a drag pulls the map along.
const pointed = (event) => { const box = map.canvas.getBoundingClientRect(); return { x: Math.min(map.view.width, event.clientX - box.x), y: Math.min(map.view.height, event.clientY - box.y) }; };
let grip = null;
map.canvas.addEventListener("pointerdown", (event) => { grip = { x: event.clientX, at: state.at, moved: false }; map.canvas.setPointerCapture(event.pointerId); });
map.canvas.addEventListener("pointermove", (event) => {
  map.pointer = pointed(event);
  if (grip && (grip.moved || Math.abs(event.clientX - grip.x) > 4)) { grip.moved = true; seek(grip.at - (event.clientX - grip.x) / map.view.width * map.view.span); } else show();
});
map.canvas.addEventListener("pointerup", (event) => { if (grip && !grip.moved) seek(map.view.ms(pointed(event).x)); grip = null; });
map.canvas.addEventListener("pointerleave", () => { map.pointer = null; show(); });
overview.canvas.addEventListener("pointerdown", (event) => { const box = overview.canvas.getBoundingClientRect(); seek((event.clientX - box.x) / box.width * LENGTH); });

// Keys work wherever the focus is, except in a list or on a button that uses them itself.
const leap = Math.max(10, Math.round(FRAMES / 100));
const KEYS = { " ": () => play(!state.playing), ArrowLeft: () => move(-1), ArrowRight: () => move(1), "shift ArrowLeft": () => move(-leap), "shift ArrowRight": () => move(leap), ArrowUp: () => chooseBeside(-1), ArrowDown: () => chooseBeside(1), Home: () => seek(0), End: () => seek(LENGTH), "+": () => zoom(-1), "-": () => zoom(1), Escape: () => { state.step = -1; show(); } };
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select, summary")) return;
  if (event.key === " " && event.target.matches("button:not(#play)")) return;
  const act = KEYS[(event.shiftKey && event.key.startsWith("Arrow") ? "shift " : "") + event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

new ResizeObserver(show).observe(map.canvas);
drawn.push(show);
themeButton();
pickPair(0);
// an address that ends in #t=90 opens a minute and a half after the first frame
const linked = /^#t=(\d+(?:\.\d+)?)$/.exec(location.hash);
if (linked) seek(Number(linked[1]) * 1000);
draw();
root.dataset.charts = "2";
