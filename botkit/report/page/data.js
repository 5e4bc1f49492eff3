// The page's data: JSON with long columns of whole numbers as bytes, deflated and in base64 (report/packing.py).
const COLUMN = "\u0000column";
const unpack = async (text) => {
  const letters = atob(text), packed = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) packed[i] = letters.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const whole = await new Response(stream).arrayBuffer();
  const length = new DataView(whole).getUint32(0, true);
  const bytes = new Uint8Array(whole, 4 + length);
  // A column has all lowest bytes first, then all second lowest, and so on; its numbers are zigzag-coded.
  const column = (begin, count, width) => {
    const values = new Array(count);
    for (let i = 0; i < count; i++) {
      let coded = 0;
      for (let plane = width - 1; plane >= 0; plane--) coded = coded * 256 + bytes[begin + plane * count + i];
      values[i] = coded % 2 ? -(coded + 1) / 2 : coded / 2;
    }
    return values;
  };
  return JSON.parse(new TextDecoder().decode(new Uint8Array(whole, 4, length)), (key, value) => (value && value[COLUMN] ? column(...value[COLUMN]) : value));
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
