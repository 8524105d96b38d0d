// A canvas that shows an image of numbers: zoom, pan, colours, scale bar, shapes and overlays on top.
import * as colour from "./colour.js";
import * as shapes from "./shapes.js";

const OVERLAYS = { peaks: "#ffb000", lattice: "#35d07f", spots: "#ff5fa2", detections: "#ff4d4d", tracks: "#4db8ff", bands: "#ffe14d" };
export const overlayColour = name => OVERLAYS[name] ?? "#fff";

export class View {
  constructor(canvas, options = {}) {
    this.canvas = canvas;
    this.options = options;
    this.values = null; this.shape = [0, 0];
    this.look = { scale: "linear", from: 1, to: 99, colours: "grey", invert: false, signed: false };
    this.limits = [0, 1];
    this.image = document.createElement("canvas");
    this.zoom = [1, 1]; this.offset = [0, 0]; this.fitted = true;
    this.cursor = null; this.drawing = null; this.overlays = {}; this.axis = { scale: null, unit: "" };
    this.tool = "pan"; this.twin = null;
    new ResizeObserver(() => this.resized()).observe(canvas);
    this.listen();
  }

  show(values, shape, { unit = "", name = "", axis } = {}) {
    const other = shape[0] !== this.shape[0] || shape[1] !== this.shape[1];
    this.values = values; this.shape = shape; this.unit = unit; this.name = name;
    if (axis) this.axis = axis;
    if (other) this.fit();
    this.recolour();
  }

  recolour() {
    if (!this.values) return;
    const [h, w] = this.shape;
    if (!h || !w) return;
    this.limits = colour.limits(this.values, this.look);
    if (this.image.width !== w || this.image.height !== h) { this.image.width = w; this.image.height = h; }
    const context = this.image.getContext("2d"), pixels = context.createImageData(w, h);
    colour.paint(this.values, this.look, this.limits, new Uint32Array(pixels.data.buffer));
    context.putImageData(pixels, 0, 0);
    this.draw();
    this.options.recoloured?.(this);
  }

  resized() {
    const { canvas } = this, ratio = devicePixelRatio || 1;
    const [w, h] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
    if (!w || !h || (canvas.width === w && canvas.height === h)) return;
    canvas.width = w; canvas.height = h; this.ratio = ratio;
    if (this.fitted) this.fit();
    // At once: a canvas of a new size is empty.
    this.render();
  }

  fit() {
    const [h, w] = this.shape, { width, height } = this.canvas;
    if (!h || !w) return;
    const zoom = Math.min(width / w, height / h);
    // A movie is one row: it gets some height.
    this.zoom = [h === 1 ? Math.max(zoom, Math.min(height, 80)) : zoom, zoom];
    this.offset = [(height - h * this.zoom[0]) / 2, (width - w * this.zoom[1]) / 2];
    this.fitted = true;
    this.draw();
  }

  // Image position of a point on the canvas, in CSS pixels, and back to device pixels.
  at(px, py) {
    const r = this.ratio ?? 1;
    return [(py * r - this.offset[0]) / this.zoom[0] - 0.5, (px * r - this.offset[1]) / this.zoom[1] - 0.5];
  }
  to([y, x]) { return [(y + 0.5) * this.zoom[0] + this.offset[0], (x + 0.5) * this.zoom[1] + this.offset[1]]; }

  zoomAt(factor, px = this.canvas.clientWidth / 2, py = this.canvas.clientHeight / 2) {
    const before = this.at(px, py), r = this.ratio ?? 1;
    const least = 0.25 * Math.min(this.canvas.width / this.shape[1], this.canvas.height / this.shape[0]);
    const f = Math.min(Math.max(this.zoom[1] * factor, Math.min(least, this.zoom[1])), 400) / this.zoom[1];
    this.zoom = this.zoom.map(z => z * f);
    this.offset = [py * r - (before[0] + 0.5) * this.zoom[0], px * r - (before[1] + 0.5) * this.zoom[1]];
    this.fitted = false;
    this.moved();
  }
  moved() {
    this.draw();
    if (this.twin && this.twin.shape[0] === this.shape[0] && this.twin.shape[1] === this.shape[1]) {
      Object.assign(this.twin, { zoom: [...this.zoom], offset: [...this.offset], fitted: this.fitted });
      this.twin.draw();
    }
  }

  listen() {
    const { canvas } = this;
    let drag = null;
    const place = e => { const box = canvas.getBoundingClientRect(); return [e.clientX - box.left, e.clientY - box.top]; };
    canvas.addEventListener("wheel", e => { e.preventDefault(); this.zoomAt(Math.exp(-e.deltaY * 0.002), ...place(e)); }, { passive: false });
    canvas.addEventListener("contextmenu", e => e.preventDefault());
    canvas.addEventListener("dblclick", () => { if (this.tool === "pan") { this.fit(); this.moved(); } });
    canvas.addEventListener("pointerdown", e => {
      if (!this.values) return;
      canvas.setPointerCapture(e.pointerId);
      canvas.focus({ preventScroll: true });
      const [px, py] = place(e), at = this.at(px, py);
      const hold = e.button === 0 && this.drawing && this.near(px, py);
      if (e.button !== 0 || e.altKey || (this.tool === "pan" && !hold)) drag = { kind: "pan", px, py };
      else if (hold) drag = { kind: "handle", name: hold };
      else if (this.tool === "pick") { drag = { kind: "pick" }; this.pick(at); }
      else drag = { kind: "draw", from: at, trail: [at] };
    });
    canvas.addEventListener("pointermove", e => {
      const [px, py] = place(e), at = this.at(px, py);
      this.options.hover?.(at, this.value(at));
      if (!drag) return;
      if (drag.kind === "pan") {
        const r = this.ratio ?? 1;
        this.offset = [this.offset[0] + (py - drag.py) * r, this.offset[1] + (px - drag.px) * r];
        Object.assign(drag, { px, py });
        this.fitted = false;
        this.moved();
      } else if (drag.kind === "pick") this.pick(at);
      else if (drag.kind === "handle") this.draws(shapes.dragged(this.drawing, drag.name, at, this.shape), false);
      else {
        drag.trail.push(at);
        this.draws(shapes.drawn(this.tool, drag.from, at, this.shape, drag.trail), false);
      }
    });
    const end = e => {
      if (drag?.kind === "draw" && drag.trail.length === 1) {
        const at = this.at(...place(e));
        if (this.tool === "point" || this.tool === "range" || this.tool === "rect") this.draws(shapes.drawn(this.tool, at, at, this.shape, drag.trail), true);
      } else if ((drag?.kind === "draw" || drag?.kind === "handle") && this.drawing) this.draws(this.drawing, true);
      drag = null;
    };
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
    canvas.addEventListener("pointerleave", () => this.options.hover?.(null));
    canvas.addEventListener("keydown", e => {
      const step = e.shiftKey ? 10 : 1;
      const moves = { ArrowUp: [-step, 0], ArrowDown: [step, 0], ArrowLeft: [0, -step], ArrowRight: [0, step] };
      if (moves[e.key]) this.options.step?.(moves[e.key]);
      else if (e.key === "+" || e.key === "=") this.zoomAt(1.25);
      else if (e.key === "-") this.zoomAt(0.8);
      else if (e.key === "0") { this.fit(); this.moved(); }
      else if (e.key === "Escape") this.options.escape?.();
      else return;
      e.preventDefault();
    });
  }

  pick(at) {
    const inside = (v, n) => Math.min(n - 1, Math.max(0, Math.round(v)));
    this.options.picked?.([inside(at[0], this.shape[0]), inside(at[1], this.shape[1])]);
  }
  draws(shape, final) { if (shape) { this.drawing = shape; this.draw(); this.options.drawn?.(shape, final); } }
  near(px, py) {
    const r = this.ratio ?? 1;
    for (const [name, y, x] of shapes.handles(this.drawing)) {
      const [sy, sx] = this.to([y, x]);
      if (Math.hypot(sx / r - px, sy / r - py) < 9) return name;
    }
    return null;
  }
  value([y, x]) {
    const [h, w] = this.shape, i = Math.round(y), j = Math.round(x);
    return this.values && i >= 0 && j >= 0 && i < h && j < w ? { y: i, x: j, v: this.values[i * w + j] } : null;
  }

  draw() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => { this.pending = false; this.render(); });
  }

  render() {
    const { canvas } = this, c = canvas.getContext("2d"), r = this.ratio ?? 1;
    c.setTransform(1, 0, 0, 1, 0, 0);
    c.clearRect(0, 0, canvas.width, canvas.height);
    const [h, w] = this.shape;
    if (!this.values || !h || !w) return;
    c.imageSmoothingEnabled = this.zoom[1] < 1;
    c.drawImage(this.image, this.offset[1], this.offset[0], w * this.zoom[1], h * this.zoom[0]);
    this.drawOverlays(c, r);
    if (this.drawing) this.drawShape(c, r);
    if (this.cursor) {
      const [sy, sx] = this.to(this.cursor), d = Math.max(7 * r, this.zoom[1] / 2 + 2 * r);
      this.stroke(c, () => {
        c.moveTo(sx - d - 7 * r, sy); c.lineTo(sx - d, sy); c.moveTo(sx + d, sy); c.lineTo(sx + d + 7 * r, sy);
        c.moveTo(sx, sy - d - 7 * r); c.lineTo(sx, sy - d); c.moveTo(sx, sy + d); c.lineTo(sx, sy + d + 7 * r);
        c.rect(sx - this.zoom[1] / 2, sy - this.zoom[0] / 2, this.zoom[1], this.zoom[0]);
      }, "#fff", 1.6 * r);
    }
    this.scaleBar(c, r);
  }

  // A line with a dark border, seen on any colour.
  stroke(c, path, colour, width) {
    c.beginPath(); path();
    c.strokeStyle = "rgba(0,0,0,.65)"; c.lineWidth = width + 2 * (this.ratio ?? 1); c.stroke();
    c.strokeStyle = colour; c.lineWidth = width; c.stroke();
  }

  drawShape(c, r) {
    const { circles, paths } = shapes.outline(this.drawing);
    this.stroke(c, () => {
      for (const [y, x, radius] of circles) {
        const [sy, sx] = this.to([y, x]);
        c.moveTo(sx + radius * this.zoom[1], sy);
        c.ellipse(sx, sy, radius * this.zoom[1], radius * this.zoom[0], 0, 0, 2 * Math.PI);
      }
      for (const path of paths) {
        path.forEach((p, i) => { const [sy, sx] = this.to(p); i ? c.lineTo(sx, sy) : c.moveTo(sx, sy); });
        c.closePath();
      }
    }, "#7ef", 1.6 * r);
    for (const [, y, x] of shapes.handles(this.drawing)) {
      const [sy, sx] = this.to([y, x]);
      c.fillStyle = "#fff"; c.strokeStyle = "#036"; c.lineWidth = r;
      c.beginPath(); c.arc(sx, sy, 4 * r, 0, 2 * Math.PI); c.fill(); c.stroke();
    }
  }

  drawOverlays(c, r) {
    c.save();
    c.beginPath(); c.rect(this.offset[1], this.offset[0], this.shape[1] * this.zoom[1], this.shape[0] * this.zoom[0]); c.clip();
    c.font = `${11 * r}px system-ui, sans-serif`;
    for (const [name, groups] of Object.entries(this.overlays)) {
      for (const group of groups) {
        const faint = /left out|to come/.test(group.name), tint = overlayColour(name);
        c.globalAlpha = faint ? 0.55 : 1;
        const size = Math.min(Math.max(3.5 * r, 0.35 * this.zoom[1]), 9 * r);
        if (group.points) this.stroke(c, () => group.points.forEach(([y, x]) => {
          const [sy, sx] = this.to([y, x]);
          if (faint) { c.moveTo(sx - size, sy - size); c.lineTo(sx + size, sy + size); c.moveTo(sx - size, sy + size); c.lineTo(sx + size, sy - size); }
          else { c.moveTo(sx + size, sy); c.arc(sx, sy, size, 0, 2 * Math.PI); }
        }), tint, 1.3 * r);
        for (const [y, x, text] of group.points ?? []) if (text && group.points.length < 400) {
          const [sy, sx] = this.to([y, x]);
          c.lineWidth = 3 * r; c.strokeStyle = "rgba(0,0,0,.7)"; c.strokeText(text, sx + size + 2 * r, sy - size);
          c.fillStyle = tint; c.fillText(text, sx + size + 2 * r, sy - size);
        }
        const paths = [...(group.paths ?? []), ...(group.lines ?? []).map(l => [[l[0], l[1]], [l[2], l[3]]])];
        if (paths.length) this.stroke(c, () => paths.forEach(path => {
          path.forEach((p, i) => { const [sy, sx] = this.to(p); i ? c.lineTo(sx, sy) : c.moveTo(sx, sy); });
          if (group.arrow) {
            const [ay, ax] = this.to(path[0]), [by, bx] = this.to(path[1]), turn = Math.atan2(by - ay, bx - ax);
            for (const side of [-2.6, 2.6]) { c.moveTo(bx, by); c.lineTo(bx + 9 * r * Math.cos(turn + side), by + 9 * r * Math.sin(turn + side)); }
          }
        }), tint, 1.4 * r);
        c.globalAlpha = 1;
      }
    }
    c.restore();
  }

  // 1, 2 or 5 times a power of ten, at most 30 % of what is visible.
  scaleBar(c, r) {
    const left = Math.max(0, this.offset[1]), right = Math.min(this.canvas.width, this.offset[1] + this.shape[1] * this.zoom[1]);
    const step = this.axis.scale || 1, room = 0.3 * (right - left) / this.zoom[1] * step;
    if (!(room > 0) || this.shape[0] === 1) return;
    const power = 10 ** Math.floor(Math.log10(room)), length = [5, 2, 1].map(f => f * power).find(v => v <= room * (1 + 1e-9));
    if (!length || (!this.axis.scale && length < 1)) return;
    const px = length / step * this.zoom[1], bottom = Math.min(this.canvas.height, this.offset[0] + this.shape[0] * this.zoom[0]);
    const [x, y] = [left + 10 * r, bottom - 12 * r], label = `${Number(length.toPrecision(3))} ${this.axis.scale ? this.axis.unit : "px"}`;
    c.fillStyle = "rgba(0,0,0,.55)";
    c.font = `${12 * r}px system-ui, sans-serif`;
    c.fillRect(x - 5 * r, y - 20 * r, Math.max(px, c.measureText(label).width) + 10 * r, 27 * r);
    c.fillStyle = "#fff"; c.fillRect(x, y, px, 3 * r); c.fillText(label, x, y - 6 * r);
  }
}
