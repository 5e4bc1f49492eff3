// What a bot lets the page do. The bot checks every command once more.
const said = byId("said");
let saidTimer = 0;
const says = (text, bad) => {
  said.hidden = false;
  said.className = bad ? "bad" : "";
  setText(said, text);
  clearTimeout(saidTimer);
  if (!bad) saidTimer = setTimeout(() => { said.hidden = true; }, 8000);
};
const commands = async (command, rest) => {
  says("…", false);
  try {
    const answer = await send("/command", { command, bot: state.bot, ...rest });
    says(answer.text, !answer.ok);
  } catch (error) { says(error.message, true); }
};

// Asks before something is done. With a field, calls back with what was typed; `must` is what has to be typed.
const confirms = ({ title, text, yes, danger, label, value, hint, must }, act) => {
  const dialog = byId("confirm"), input = byId("confirm-input"), button = byId("confirm-yes");
  setText(byId("confirm-title"), title);
  setText(byId("confirm-text"), text);
  setText(button, yes);
  button.className = danger ? "danger" : "";
  byId("confirm-field").hidden = !label;
  setText(byId("confirm-label"), label || "");
  setText(byId("confirm-hint"), hint || "");
  input.value = value || "";
  const check = () => { button.disabled = must !== undefined && input.value.trim() !== must; };
  input.oninput = check;
  check();
  dialog.returnValue = "no";
  dialog.onclose = () => { if (dialog.returnValue === "yes" && !button.disabled) act(input.value.trim()); };
  dialog.showModal();
  if (label) { input.focus(); input.select(); }
};
// Enter in the field means yes, not the first button of the form.
byId("confirm-input").addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  event.preventDefault();
  if (!byId("confirm-yes").disabled) byId("confirm").close("yes");
});

const orderControls = () => [{
  title: "", className: "controls",
  fill: (cell, row) => control(cell, tr("Cancel"), tr("Cancel the order: {} {} {}", tr(row.side), row.amount, pairName(row.pair)), () => confirms({
    title: tr("Cancel this order?"), text: tr(row.price === null ? "{}: {} {} {}. The strategy may place another." : "{}: {} {} {} at {}. The strategy may place another.", row.strategy, tr(row.side), row.amount, pairName(row.pair), row.price === null ? "" : grouped(row.price, decimalsOfPair(row.pair))), yes: tr("Cancel the order"),
  }, () => commands("cancel", { order: row.id }))),
}];
const strategyControls = () => [{
  title: "", className: "controls",
  fill: (cell, row) => {
    const made = control(cell, "", "", () => {
      const now = cell.parentNode.row;
      if (now.state === "paused") commands("resume", { strategy: now.name });
      else confirms({ title: tr("Pause {}?", now.name), text: tr("It places no new orders, and its open orders are cancelled. The pause survives a restart."), yes: tr("Pause") }, () => commands("pause", { strategy: now.name }));
    });
    made.row = row;
  },
  update: (cell, row) => {
    const made = cell.firstChild, word = tr(row.state === "paused" ? "Resume" : "Pause");
    setText(made, word);
    made.setAttribute("aria-label", `${word} ${row.name}`);
    made.hidden = row.state !== "paused" && row.state !== "running";
  },
}];
const parameterControls = () => [{
  title: "", className: "controls",
  fill: (cell, row) => {
    if (!row.live) return;
    control(cell, tr("Change"), tr("Change {} of {}", row.name, row.strategy), () => {
      const now = cell.parentNode.row;
      confirms({
        title: tr("Change {} of {}", now.name, now.strategy), text: now.doc || "", yes: tr("Change"), label: tr(now.kind) + (now.bounds ? `, ${now.bounds}` : ""), value: now.value,
        hint: now.choices.length ? tr("one of {}", now.choices.join(", ")) : tr("It takes effect at once and survives a restart."),
      }, (value) => commands("set", { strategy: now.strategy, name: now.name, value }));
    });
  },
}];
const nameOfBot = () => (state.bots.find((bot) => bot.id === state.bot) || {}).name;
byId("stop").addEventListener("click", () => confirms({ title: tr("Stop {}?", nameOfBot()), text: tr("It stops cleanly, as with Ctrl-C. Starting it again needs the command line."), yes: tr("Stop the bot"), danger: true }, () => commands("stop", {})));
byId("panic").addEventListener("click", () => confirms({
  title: tr("Panic: halt {} and cancel every order", nameOfBot()), text: tr("New orders are blocked until `botkit resume` on the command line, and every open order on the account is cancelled. Positions stay as they are."),
  yes: tr("Panic"), danger: true, label: tr("Type {} to confirm", nameOfBot()), must: nameOfBot(),
}, (confirm) => commands("panic", { confirm })));
const showControls = () => { document.body.dataset.control = String(Boolean((state.sections.head || {}).control)); };
