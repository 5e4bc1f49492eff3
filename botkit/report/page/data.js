// The page's data: JSON with long columns of whole numbers as bytes, deflated and in base 85 (report/packing.py).
const COLUMN = "\u0000column";
const DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ!#$%()*+,-./:;=?@[]^_{|";
// The first digit says how many zeros fill up the last word.
const bytesOf = (text) => {
  const values = new Uint8Array(128), found = new DataView(new ArrayBuffer((text.length - 1) / 5 * 4));
  for (let i = 0; i < 85; i++) values[DIGITS.charCodeAt(i)] = i;
  for (let i = 1, at = 0; i < text.length; i += 5, at += 4) {
    let word = 0;
    for (let j = 0; j < 5; j++) word = word * 85 + values[text.charCodeAt(i + j)];
    found.setUint32(at, word);
  }
  return new Uint8Array(found.buffer, 0, found.byteLength - Number(text[0]));
};
const unpack = async (text) => {
  const stream = new Blob([bytesOf(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
  const whole = await new Response(stream).arrayBuffer();
  const length = new DataView(whole).getUint32(0, true);
  const bytes = new Uint8Array(whole, 4 + length);
  // A column has all lowest bytes first, then all second lowest, and so on; its numbers are zigzag-coded.
  const column = (begin, count, width, divisor) => {
    const values = new Float64Array(count);
    for (let i = 0; i < count; i++) {
      let coded = 0;
      for (let plane = width - 1; plane >= 0; plane--) coded = coded * 256 + bytes[begin + plane * count + i];
      values[i] = (coded % 2 ? -(coded + 1) / 2 : coded / 2) * divisor || 0;
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
