// The colours of the theme, and what to repaint when it changes.
const drawn = [];                                          // functions that repaint charts in the theme's colours
const color = (name) => getComputedStyle(root).getPropertyValue("--" + name).trim();
const HUES = ["#3b78d8", "#c2761b", "#2a9070", "#a14bb5", "#c0453b", "#7a8420", "#3a9ab5", "#8a6cc9", "#b0527c", "#5c7f9e", "#96713d", "#4d9a4d"];
HUES.forEach((hue, i) => root.style.setProperty("--hue" + i, hue));
// Paints now, and again whenever the theme changes.
const painted = (paint) => { drawn.push(paint); paint(); };
const repaint = () => drawn.forEach((paint) => paint());
const themeButton = () => {
  const button = document.getElementById("theme");
  button.hidden = false;
  button.addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    repaint();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
};
