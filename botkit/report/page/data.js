// The page's data: JSON, deflated and in base64.
const unpack = async (text) => {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
};
// Whole numbers are differences from the one before.
const summed = (list) => { let sum = 0; return list.map((step) => (sum += step)); };
const seconds = (list) => summed(list).map((ms) => ms / 1000);

if (!window.DecompressionStream) {
  document.getElementById("too-old").hidden = false;
  return;
}
const data = await unpack(document.getElementById("data").textContent);
const root = document.documentElement;
