// What the parts shared with the report expect.
const root = document.documentElement;
const data = { seconds: true, phrases: JSON.parse(document.getElementById("phrases").textContent) };
const byId = (id) => document.getElementById(id);
