// Values to colours: limits, scales, colour maps.
let maps = {}, labels = [];
const MISSING = 0xffb0b0b0;
const pack = ([r, g, b]) => (0xff000000 | b << 16 | g << 8 | r) >>> 0;

export function setColours(state) {
  for (const [name, table] of Object.entries(state.colours)) maps[name] = Uint32Array.from(table, pack);
  labels = state.labels;
}
export const names = () => [...Object.keys(maps), "labels"];
export const labelColour = l => l < 0 || Number.isNaN(l) ? [176, 176, 176] : labels[Math.floor(l) % labels.length];

// Smallest and largest value, or percentiles of at most 65536 of the values.
export function limits(values, look) {
  if (look.colours === "labels") return [0, 1];
  let low = Infinity, high = -Infinity;
  if (look.scale === "percentile") {
    const step = Math.max(1, Math.floor(values.length / 65536)), some = [];
    for (let i = 0; i < values.length; i += step) if (Number.isFinite(values[i])) some.push(values[i]);
    const sorted = Float64Array.from(some).sort();
    const at = p => sorted[Math.min(sorted.length - 1, Math.max(0, Math.round(p / 100 * (sorted.length - 1))))];
    if (sorted.length) [low, high] = [at(look.from), at(look.to)];
  } else {
    for (const v of values) if (Number.isFinite(v)) { if (v < low) low = v; if (v > high) high = v; }
  }
  if (!(low <= high)) return [0, 1];
  if (look.signed) { const most = Math.max(Math.abs(low), Math.abs(high)) || 1; return [-most, most]; }
  if (look.colours === "cyclic" && look.angle) return [0, 2 * Math.PI];
  return [low, high];
}

const STEPS = 4096;
// Fills `out` (one word a pixel) with the colours of `values`.
export function paint(values, look, [low, high], out) {
  if (look.colours === "labels") {
    const words = labels.map(pack), chosen = look.chosen;
    for (let i = 0; i < values.length; i++) {
      const l = values[i];
      let word = l >= 0 ? words[Math.floor(l) % words.length] : MISSING;
      if (chosen !== undefined && chosen !== null && l !== chosen) word = ((word & 0xfcfcfc) >>> 2 | 0xff000000) >>> 0;
      out[i] = word;
    }
    return;
  }
  const map = maps[look.colours] ?? maps.grey, span = high - low, stretch = Math.max(span, 100);
  const table = new Uint32Array(STEPS + 1);
  for (let i = 0; i <= STEPS; i++) {
    let t = i / STEPS;
    if (look.scale === "log") t = Math.log1p(stretch * t) / Math.log1p(stretch);
    if (look.invert) t = 1 - t;
    table[i] = map[Math.min(255, Math.round(t * 255))];
  }
  const factor = span > 0 ? STEPS / span : 0, middle = table[STEPS / 2];
  for (let i = 0; i < values.length; i++) {
    const v = values[i];
    if (Number.isNaN(v)) { out[i] = MISSING; continue; }
    if (!factor) { out[i] = middle; continue; }
    const t = (v - low) * factor;
    out[i] = table[t <= 0 ? 0 : t >= STEPS ? STEPS : t + 0.5 | 0];
  }
}
