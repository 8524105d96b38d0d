// Curves over channels or energies.
const TINTS = ["#3b82f6", "#ef6c3a", "#2fae66", "#b45fd6", "#d9a400", "#19a7b8", "#e0508f", "#7a8699"];
export const tint = i => TINTS[i % TINTS.length];

export function plot(canvas, curves, { x = i => i, unit = "channel", log = false, lines = [] } = {}) {
  const ratio = devicePixelRatio || 1, style = getComputedStyle(document.documentElement);
  canvas.width = canvas.clientWidth * ratio; canvas.height = canvas.clientHeight * ratio;
  const c = canvas.getContext("2d"), [w, h] = [canvas.width, canvas.height], pad = [10, 14, 28, 56].map(v => v * ratio);
  c.clearRect(0, 0, w, h);
  c.font = `${11 * ratio}px system-ui, sans-serif`;
  const scale = v => log ? Math.log10(1 + Math.max(0, v)) : v;
  const n = Math.max(...curves.map(k => k.values.length), 2);
  let top = -Infinity, low = 0;
  for (const k of curves) for (const v of k.values) if (Number.isFinite(v)) { top = Math.max(top, scale(v)); low = Math.min(low, scale(v)); }
  if (!(top > low)) top = low + 1;
  const px = i => pad[3] + (w - pad[1] - pad[3]) * i / (n - 1), py = v => h - pad[2] - (h - pad[0] - pad[2]) * (scale(v) - low) / (top - low);
  c.fillStyle = c.strokeStyle = style.getPropertyValue("--faint");
  c.lineWidth = ratio;
  c.strokeRect(pad[3], pad[0], w - pad[1] - pad[3], h - pad[0] - pad[2]);
  const number = v => Math.abs(v) >= 1e5 || (v && Math.abs(v) < 1e-2) ? v.toExponential(1) : String(Number(v.toPrecision(4)));
  c.textAlign = "center";
  for (let i = 0; i <= 8; i++) c.fillText(number(x((n - 1) * i / 8)), px((n - 1) * i / 8), h - 12 * ratio);
  c.fillText(unit, w / 2, h - 1 * ratio);
  c.textAlign = "right";
  for (let i = 0; i <= 4; i++) {
    const v = low + (top - low) * i / 4;
    c.fillText(number(log ? 10 ** v - 1 : v), pad[3] - 5 * ratio, h - pad[2] - (h - pad[0] - pad[2]) * i / 4 + 4 * ratio);
  }
  curves.forEach((k, i) => {
    c.strokeStyle = k.tint ?? tint(i); c.lineWidth = 1.4 * ratio; c.beginPath();
    k.values.forEach((v, j) => Number.isFinite(v) && c.lineTo(px(j), py(v)));
    c.stroke();
    c.fillStyle = c.strokeStyle; c.textAlign = "right";
    c.fillText(k.name, w - pad[1] - 6 * ratio, pad[0] + (14 + 14 * i) * ratio);
  });
}
