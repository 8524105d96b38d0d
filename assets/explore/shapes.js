// Shapes on the pattern (virtual detectors) and on the map (regions): text, outlines, handles. Positions are [y, x], 0 at the centre of the first pixel.
const round = (v, digits = 2) => Number(v.toFixed(digits));
const list = text => text.split(",").map(Number);

export function parse(text) {
  const ok = (n, count) => n.length === count && n.every(Number.isFinite);
  const [name, rest] = text.trim().split(/:(.*)/s);
  if (name === "disk" && ok(list(rest), 3)) { const [y, x, r] = list(rest); return { kind: "disk", y, x, r }; }
  if (name === "ring" && ok(list(rest), 4)) { const [y, x, r1, r] = list(rest); return { kind: "ring", y, x, r1, r }; }
  // As --masks takes it: the first pixel and the number of pixels.
  if (name === "rect" && ok(list(rest), 4)) { const [y, x, h, w] = list(rest); return { kind: "rect", y, x, h, w }; }
  if (name === "poly") { const corners = rest.split(";").map(list); return corners.every(c => ok(c, 2)) && corners.length > 2 ? { kind: "poly", corners } : null; }
  const range = text.match(/^\s*(\d+):(\d+)\s*,\s*(\d+):(\d+)\s*$/);
  if (range) { const [y0, y1, x0, x1] = range.slice(1).map(Number); return { kind: "range", y: y0, x: x0, h: y1 - y0, w: x1 - x0 }; }
  return null;
}

export function text(s) {
  switch (s.kind) {
    case "disk": return `disk:${round(s.y)},${round(s.x)},${round(s.r)}`;
    case "ring": return `ring:${round(s.y)},${round(s.x)},${round(s.r1)},${round(s.r)}`;
    case "rect": return `rect:${round(s.y)},${round(s.x)},${round(s.h)},${round(s.w)}`;
    case "range": return `${s.y}:${s.y + s.h},${s.x}:${s.x + s.w}`;
    case "poly": return "poly:" + s.corners.map(c => `${round(c[0], 1)},${round(c[1], 1)}`).join(";");
  }
}

// The shape that a drag from `a` to `b` draws with a tool; `size` of the image, `trail` of a lasso.
export function drawn(tool, a, b, size, trail) {
  const r = Math.hypot(b[0] - a[0], b[1] - a[1]);
  const box = () => {
    const clip = (v, n) => Math.min(n - 1, Math.max(0, Math.round(v)));
    const y = clip(Math.min(a[0], b[0]), size[0]), x = clip(Math.min(a[1], b[1]), size[1]);
    return { y, x, h: clip(Math.max(a[0], b[0]), size[0]) - y + 1, w: clip(Math.max(a[1], b[1]), size[1]) - x + 1 };
  };
  switch (tool) {
    case "point": return { kind: "disk", y: Math.round(b[0]), x: Math.round(b[1]), r: 0.5 };
    case "disk": return { kind: "disk", y: a[0], x: a[1], r: Math.max(r, 0.5) };
    case "ring": return { kind: "ring", y: a[0], x: a[1], r1: Math.max(r, 1) * 0.6, r: Math.max(r, 1) };
    case "rect": return { kind: "rect", ...box() };
    case "range": return { kind: "range", ...box() };
    case "poly": {
      const step = Math.ceil(trail.length / 200);
      const corners = trail.filter((_, i) => i % step === 0);
      return corners.length > 2 ? { kind: "poly", corners } : null;
    }
  }
  return null;
}

// Outlines in image coordinates: circles [y, x, r] and closed paths.
export function outline(s) {
  switch (s.kind) {
    case "disk": return { circles: [[s.y, s.x, s.r]], paths: [] };
    case "ring": return { circles: [[s.y, s.x, s.r1], [s.y, s.x, s.r]], paths: [] };
    case "rect": case "range": {
      const [t, l, b, r] = [s.y - 0.5, s.x - 0.5, s.y + s.h - 0.5, s.x + s.w - 0.5];
      return { circles: [], paths: [[[t, l], [t, r], [b, r], [b, l]]] };
    }
    case "poly": return { circles: [], paths: [s.corners] };
  }
}

// Places to take hold of: [name, y, x].
export function handles(s) {
  switch (s.kind) {
    case "disk": return [["move", s.y, s.x], ["r", s.y, s.x + s.r]];
    case "ring": return [["move", s.y, s.x], ["r1", s.y, s.x + s.r1], ["r", s.y, s.x + s.r]];
    case "rect": case "range": return [["move", s.y + (s.h - 1) / 2, s.x + (s.w - 1) / 2], ["end", s.y + s.h - 0.5, s.x + s.w - 0.5]];
  }
  return [];
}

export function dragged(s, name, to, size) {
  const r = Math.hypot(to[0] - s.y, to[1] - s.x), whole = s.kind === "rect" || s.kind === "range";
  if (name === "move" && whole) {
    const clip = (v, n, all) => Math.min(all - n, Math.max(0, Math.round(v)));
    return { ...s, y: clip(to[0] - (s.h - 1) / 2, s.h, size[0]), x: clip(to[1] - (s.w - 1) / 2, s.w, size[1]) };
  }
  if (name === "move") return { ...s, y: to[0], x: to[1] };
  if (name === "end") {
    const most = (v, from, all) => Math.min(all - from, Math.max(1, Math.round(v + 0.5) - from));
    return { ...s, h: most(to[0], s.y, size[0]), w: most(to[1], s.x, size[1]) };
  }
  if (name === "r1") return { ...s, r1: Math.min(Math.max(0, r), s.r - 0.5) };
  return { ...s, r: Math.max(r, (s.r1 ?? 0) + 0.5) };
}
