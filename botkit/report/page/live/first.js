// What the parts shared with the report expect.
const root = document.documentElement;
const data = { seconds: true, phrases: {} };
const byId = (id) => document.getElementById(id);
