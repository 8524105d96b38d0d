// The page: what is shown, what happens when something is clicked, and what is asked of the server.
import { address, client, follow, json, latest, numbers } from "./api.js";
import * as colour from "./colour.js";
import * as command from "./command.js";
import { plot, tint } from "./plot.js";
import * as shapes from "./shapes.js";
import { View, overlayColour } from "./view.js";

const $ = id => document.getElementById(id);
const state = await json("state").catch(fatal);

function fatal(e) {
  $("status").textContent = "";
  $("problems").hidden = false;
  $("problems").textContent = e.message;
  throw e;
}

const [ny, nx] = state.nav;
const s = { at: [ny >> 1, nx >> 1], map: null, index: 0, detector: "", region: "", pattern: "frame", scan: 0, neighbours: 0, process: false,
  sigma: 15, static: "divide", dynamic: "divide", overlays: new Set(), curves: new Set() };
const maps = state.shown.filter(m => m.role === "map"), images = state.shown.filter(m => m.role === "image");
const curves = state.shown.filter(m => m.role === "curve" && !/energy|variance/.test(m.name));
const hasScan = state.scans.length > 0, patterns = state.scans.filter(k => !k.spectrum);
const spectrum = state.scans.findIndex(k => k.spectrum);

const number = v => v === undefined || v === null ? "" : Number.isNaN(v) ? "no value" : Number.isInteger(v) ? String(v) : String(Number(v.toPrecision(6)));
function status(text) { $("status").textContent = text; }
function failed(where) { return e => { const line = $(`${where}-readout`); line.textContent = e.message; line.classList.add("bad"); }; }
function readout(where, text) { const line = $(`${where}-readout`); line.classList.remove("bad"); line.textContent = text || "\u00a0"; }

// ---- views ----------------------------------------------------------------------------------------------------------------------------
const calibrated = (v, axis) => axis?.scale ? ` (${number(v * axis.scale)} ${axis.unit})` : "";
const hover = (where, view, axes) => (at, hit) => readout(where, hit
  ? `y ${hit.y}${calibrated(hit.y, axes()?.[0])}   x ${hit.x}${calibrated(hit.x, axes()?.[1])}   ${view().name ?? ""}  ${number(hit.v)} ${view().unit ?? ""}`
  : summary[where]);
const summary = { map: "", pattern: "" };
const step = ([dy, dx]) => moveTo([s.at[0] + dy, s.at[1] + dx]);

const mapView = new View($("map-canvas"), { picked: moveTo, step, drawn: regionDrawn, recoloured: looked,
  hover: hover("map", () => mapView, () => state.scans[0]?.nav_axes), escape: () => setRegion("") });
const patternView = new View($("pattern-canvas"), { step, drawn: detectorDrawn, recoloured: looked,
  hover: hover("pattern", () => patternView, () => state.scans[s.scan]?.axes), escape: () => setDetector("") });
const processedView = new View($("processed-canvas"), { step, drawn: detectorDrawn,
  hover: hover("pattern", () => processedView, () => state.scans[s.scan]?.axes) });
patternView.twin = processedView; processedView.twin = patternView;
const views = { map: mapView, pattern: patternView };
colour.setColours(state);

function lookBar(name) {
  const bar = document.querySelector(`.look[data-view=${name}]`), view = views[name];
  const make = (tag, attributes, ...children) => { const e = Object.assign(document.createElement(tag), attributes); e.append(...children); return e; };
  const options = list => list.map(v => make("option", { value: v, textContent: v }));
  const scale = make("select", { id: `${name}-scale` }, ...options(["linear", "log", "percentile"]));
  const from = make("input", { type: "number", min: 0, max: 100, step: 0.1, id: `${name}-from`, ariaLabel: "lower percentile" });
  const to = make("input", { type: "number", min: 0, max: 100, step: 0.1, id: `${name}-to`, ariaLabel: "upper percentile" });
  const colours = make("select", { id: `${name}-colours` }, ...options(colour.names()));
  const invert = make("input", { type: "checkbox", id: `${name}-invert` });
  const percent = make("span", { className: "group" }, from, "–", to, "%");
  const zoom = (text, label, act) => { const b = make("button", { textContent: text, ariaLabel: label, title: label }); b.onclick = act; return b; };
  bar.append(make("label", {}, "contrast ", scale), percent, make("label", {}, "colours ", colours), make("label", {}, invert, "invert"),
    make("span", { className: "group" }, zoom("−", "zoom out", () => view.zoomAt(0.8)), zoom("+", "zoom in", () => view.zoomAt(1.25)),
      zoom("fit", "fit the window", () => { view.fit(); view.moved(); })));
  const apply = () => {
    const look = { scale: scale.value, from: Number(from.value), to: Number(to.value), colours: colours.value, invert: invert.checked };
    Object.assign(view.look, look);
    if (name === "pattern") Object.assign(processedView.look, look, { scale: look.scale === "log" ? "linear" : look.scale });
    percent.hidden = scale.value !== "percentile";
    view.recolour();
    if (name === "pattern") processedView.recolour();
    repeat();
  };
  for (const e of [scale, from, to, colours, invert]) e.addEventListener("change", apply);
  view.setLook = look => {
    Object.assign(view.look, look);
    [scale.value, from.value, to.value, colours.value, invert.checked] = [view.look.scale, view.look.from, view.look.to, view.look.colours, view.look.invert];
    apply();
  };
}
function looked() { saves(); }

// ---- position -------------------------------------------------------------------------------------------------------------------------
function moveTo([y, x]) {
  const inside = (v, n) => Math.min(n - 1, Math.max(0, Math.round(v) || 0));
  s.at = [inside(y, ny), inside(x, nx)];
  mapView.cursor = s.at;
  mapView.draw();
  for (const [i, name] of ["y", "x"].entries()) $(name).value = $(`${name}-slider`).value = s.at[i];
  if (hasScan) showFrame();
  showSpectrum();
  showOverlays();
  repeat();
}
for (const [i, name] of ["y", "x"].entries()) {
  $(name).max = $(`${name}-slider`).max = state.nav[i] - 1;
  for (const id of [name, `${name}-slider`]) $(id).addEventListener("input", e => { const at = [...s.at]; at[i] = Number(e.target.value); moveTo(at); });
}
const copy = (text, button) => navigator.clipboard.writeText(text).then(
  () => { const before = button.textContent; button.textContent = "copied"; setTimeout(() => { button.textContent = before; }, 1200); },
  () => status(`could not copy: ${text}`));
$("copy-position").onclick = e => copy(s.at.join(","), e.target);

// ---- pattern --------------------------------------------------------------------------------------------------------------------------
const frameOf = (process, scan = s.scan) => ({ scan, y: s.at[0], x: s.at[1], neighbours: s.neighbours, ...(process
  ? { process: 1, sigma: s.sigma, static: s.static, dynamic: s.dynamic } : {}) });

const showFrame = latest(async () => {
  if (s.pattern !== "frame") return;
  const at = [...s.at], [raw, processed] = await Promise.all([numbers("frame", frameOf(false)), s.process ? numbers("frame", frameOf(true)) : null]);
  if (s.pattern !== "frame") return;
  const axis = state.scans[s.scan].axes[1], name = raw.head.frames > 1 ? `mean of ${raw.head.frames}` : "counts";
  patternView.show(raw.values, raw.head.shape, { name, axis });
  if (processed) processedView.show(processed.values, processed.head.shape, { name: "processed", axis });
  patternView.shownAt = at;
  if (raw.head.warnings.length) status(raw.head.warnings.join("; "));
  summary.pattern = `frame at y ${at[0]}, x ${at[1]}${raw.head.frames > 1 ? `, mean of ${raw.head.frames} neighbours` : ""}`;
  readout("pattern", summary.pattern);
  saves();
}, e => { patternView.values = null; patternView.draw(); failed("pattern")(e); });

const regionWork = follow("region", (head, values) => {
  const [, h, w] = head.shape;
  if (!values.length || !h) return;
  const which = state.planes.indexOf(s.pattern);
  const plane = values.subarray(Math.max(0, which) * h * w, (Math.max(0, which) + 1) * h * w);
  regionDone = head.done;
  if (which >= 0) {
    patternView.show(plane, [h, w], { name: s.pattern, axis: state.scans[s.scan].axes[1] });
    summary.pattern = `${s.pattern} of ${head.frames[1]} frames${head.done ? "" : `, ${Math.floor(100 * head.frames[0] / head.frames[1])} %`}`;
    readout("pattern", summary.pattern);
  }
  saves();
}, failed("pattern"));
const regionSpectrum = follow("region", (head, values) => { regionCurve = values.length ? values.slice(0, head.shape[2]) : null; drawSpectrum(); }, failed("pattern"));
let regionDone = false, regionCurve = null;

function showRegion() {
  regionDone = false;
  if (!s.region || !hasScan) { regionWork.stop(); regionSpectrum.stop(); regionCurve = null; drawSpectrum(); return; }
  if (state.planes.includes(s.pattern)) regionWork.start({ scan: s.scan, region: s.region });
  if (spectrum >= 0 && spectrum !== s.scan) regionSpectrum.start({ scan: spectrum, region: s.region });
}

const showImage = latest(async id => {
  const { head, values } = await numbers("values", { id });
  const image = images.find(m => m.id === id);
  patternView.show(values, head.shape, { name: head.name, unit: image.unit });
  readout("pattern", summary.pattern = image.meaning || head.name);
  saves();
}, failed("pattern"));

function setPattern(name) {
  s.pattern = name;
  $("pattern-source").value = name;
  $("processed-canvas").hidden = !(s.process && name === "frame");
  patternView.overlays = {};
  if (name === "frame") showFrame();
  else if (state.planes.includes(name)) {
    if (s.region) showRegion();
    else readout("pattern", "draw a region on the map first");
  } else showImage(name);
  showOverlays();
  repeat();
}
$("pattern-source").addEventListener("change", e => setPattern(e.target.value));
$("scan").addEventListener("change", e => { s.scan = Number(e.target.value); setPattern(s.pattern); if (s.detector) setDetector(s.detector); });
$("neighbours").addEventListener("input", e => { s.neighbours = Number(e.target.value); $("neighbours-text").textContent = e.target.value; showFrame(); repeat(); });
function setProcess(on) {
  s.process = on;
  $("process").checked = on;
  $("process-box").hidden = !on;
  $("processed-canvas").hidden = !(on && s.pattern === "frame");
  showFrame();
  repeat();
}
$("process").addEventListener("change", e => setProcess(e.target.checked));
for (const id of ["sigma", "static", "dynamic"]) $(id).addEventListener("change", e => { s[id] = e.target.value; showFrame(); });

// ---- map ------------------------------------------------------------------------------------------------------------------------------
const showMap = latest(async () => {
  const map = maps.find(m => m.id === s.map);
  if (!map) return;
  const { head, values } = await numbers("values", { id: s.map, index: s.index });
  if (s.map !== map.id) return;
  mapView.show(values, head.shape, { name: head.name, unit: map.unit, axis: state.scans[0]?.nav_axes[1] });
  mapView.complete = true;
  readout("map", summary.map = map.meaning || head.name);
  legend(map, values);
  saves();
}, failed("map"));

const detectorWork = follow("detector", (head, values) => {
  if (s.map !== "detector" || !values.length) return;
  mapView.complete = head.done;
  mapView.show(values, head.shape, { name: "detector", unit: "counts", axis: state.scans[0]?.nav_axes[1] });
  const share = Math.floor(100 * head.frames[0] / head.frames[1]);
  summary.map = head.done ? `${head.spec}: ${head.frames[1]} frames in ${head.seconds[1].toFixed(2)} s` : `${head.spec}: ${head.coarse ? "coarse, " : ""}${share} %`;
  readout("map", summary.map);
  saves();
}, failed("map"));

function setMap(id, index = 0) {
  s.map = id; s.index = index;
  // What is on the canvas is another map until this one arrives.
  mapView.complete = false;
  $("map-source").value = id;
  const map = maps.find(m => m.id === id);
  $("map-index-box").hidden = !(map && map.count > 1);
  $("map-index").max = (map?.count ?? 1) - 1;
  $("map-index").value = index;
  $("legend").hidden = true;
  mapView.look.signed = map?.style === "signed"; mapView.look.angle = map?.style === "angle"; mapView.look.chosen = null;
  if (id === "detector") {
    if (s.detector) detectorWork.start({ scan: s.scan, spec: s.detector });
    else readout("map", summary.map = "draw a detector on the pattern");
  } else { detectorWork.stop(); showMap(); }
  repeat();
}
const styleLook = { labels: { colours: "labels" }, signed: { colours: "diverging", scale: "percentile" }, angle: { colours: "cyclic", scale: "linear" } };
function chooseMap(id) {
  const style = maps.find(m => m.id === id)?.style ?? "scalar";
  const plain = ["labels", "diverging", "cyclic"].includes(mapView.look.colours) ? { colours: "viridis", scale: "percentile" } : {};
  mapView.look.signed = style === "signed"; mapView.look.angle = style === "angle";
  setMap(id);
  mapView.setLook({ ...plain, ...styleLook[style] });
}
$("map-source").addEventListener("change", e => chooseMap(e.target.value));
$("map-index").addEventListener("input", e => { s.index = Math.max(0, Math.min(Number(e.target.max), Number(e.target.value) || 0)); showMap(); repeat(); });

function legend(map, values) {
  const box = $("legend");
  box.hidden = map.style !== "labels";
  if (box.hidden) return;
  const counts = new Map();
  for (const v of values) if (v >= 0) counts.set(v, (counts.get(v) ?? 0) + 1);
  box.replaceChildren(...[...counts].sort((a, b) => a[0] - b[0]).slice(0, 300).map(([label, count]) => {
    const button = document.createElement("button"), patch = document.createElement("i");
    patch.style.background = `rgb(${colour.labelColour(label)})`;
    button.append(patch, `${label} (${count})`);
    button.title = "select these positions";
    button.setAttribute("aria-pressed", String(mapView.look.chosen === label));
    button.onclick = () => {
      const on = mapView.look.chosen !== label;
      mapView.look.chosen = on ? label : null;
      mapView.recolour();
      legend(map, values);
      setRegion(on ? `label:${map.id}=${label}` : "");
      if (on && s.pattern === "frame" && hasScan) setPattern("mean");
    };
    return button;
  }));
}

// ---- detector and region --------------------------------------------------------------------------------------------------------------
function setDetector(text, keepShape = false) {
  s.detector = text.trim();
  $("detector").value = s.detector;
  if (!keepShape) { patternView.drawing = processedView.drawing = s.detector ? shapes.parse(s.detector) : null; }
  patternView.draw(); processedView.draw();
  if (s.detector) { s.map = "detector"; setMap("detector"); if (["labels", "diverging"].includes(mapView.look.colours)) mapView.setLook({ colours: "viridis" }); }
  else { detectorWork.stop(); if (s.map === "detector" && maps.length) chooseMap(maps[0].id); }
  repeat();
}
function detectorDrawn(shape, final) {
  patternView.drawing = processedView.drawing = shape;
  patternView.draw(); processedView.draw();
  const text = shapes.text(shape);
  $("detector").value = text;
  // While the mouse moves the map follows; the server gives up what is overtaken.
  if (final || performance.now() - lastDrawn > 120) { lastDrawn = performance.now(); setDetector(text, true); }
}
let lastDrawn = 0;
$("detector").addEventListener("change", e => setDetector(e.target.value));
$("detector-clear").onclick = () => setDetector("");

function setRegion(text, keepShape = false) {
  s.region = text.trim();
  $("region").value = s.region;
  if (!keepShape) mapView.drawing = s.region ? shapes.parse(s.region) : null;
  mapView.draw();
  showRegion();
  if (!s.region && state.planes.includes(s.pattern)) setPattern("frame");
  repeat();
}
function regionDrawn(shape, final) {
  $("region").value = shapes.text(shape);
  if (!final) return;
  setRegion(shapes.text(shape), true);
  if (s.pattern === "frame" && hasScan) setPattern("mean");
}
$("region").addEventListener("change", e => { setRegion(e.target.value); if (s.region && s.pattern === "frame") setPattern("mean"); });
$("region-clear").onclick = () => { mapView.look.chosen = null; mapView.recolour(); setRegion(""); };
$("region-copy").onclick = e => copy(s.region, e.target);

for (const name of ["map", "pattern"]) for (const radio of document.getElementsByName(`${name}-tool`)) radio.addEventListener("change", () => {
  const tool = name === "map" && radio.value === "rect" ? "range" : radio.value;
  views[name].tool = tool;
  if (name === "pattern") processedView.tool = tool;
});
mapView.tool = "pick";

// ---- overlays -------------------------------------------------------------------------------------------------------------------------
const showOverlays = latest(async () => {
  const names = [...s.overlays].join(","), at = [...s.at];
  const found = names && s.pattern === "frame" ? await json("overlay", { names, y: at[0], x: at[1] }) : {};
  patternView.overlays = found; processedView.overlays = found;
  patternView.draw(); processedView.draw();
}, failed("pattern"));
for (const name of state.overlays) {
  const label = document.createElement("label"), box = Object.assign(document.createElement("input"), { type: "checkbox", id: `overlay-${name}` });
  box.style.accentColor = overlayColour(name);
  box.addEventListener("change", () => { box.checked ? s.overlays.add(name) : s.overlays.delete(name); showOverlays(); repeat(); });
  label.append(box, name);
  $("overlays").append(label);
}
$("overlays").hidden = !state.overlays.length;

// ---- spectrum -------------------------------------------------------------------------------------------------------------------------
let spectrumNow = null;
const curveValues = new Map();
const showSpectrum = latest(async () => {
  if (spectrum < 0) return;
  spectrumNow = (await numbers("frame", { scan: spectrum, y: s.at[0], x: s.at[1], neighbours: s.neighbours })).values;
  drawSpectrum();
}, failed("pattern"));
function drawSpectrum() {
  if ($("spectrum").hidden) return;
  const list = [];
  if (spectrumNow) list.push({ name: `y ${s.at[0]}, x ${s.at[1]}`, values: spectrumNow, tint: tint(0) });
  if (regionCurve) list.push({ name: "mean of the region", values: regionCurve, tint: tint(1) });
  curves.forEach((m, i) => { if (s.curves.has(m.id) && curveValues.has(m.id)) list.push({ name: m.name, values: curveValues.get(m.id), tint: tint(2 + i) }); });
  const energy = state.scans[spectrum]?.energy;
  plot($("spectrum-canvas"), list, { x: energy ? i => energy.offset + energy.step * i : i => i, unit: energy ? `energy (${energy.unit})` : "channel", log: $("spectrum-log").checked });
}
$("spectrum").hidden = spectrum < 0 && !curves.length;
$("spectrum-log").addEventListener("change", drawSpectrum);
new ResizeObserver(drawSpectrum).observe($("spectrum-canvas"));
for (const m of curves) {
  const label = document.createElement("label"), box = Object.assign(document.createElement("input"), { type: "checkbox" });
  box.addEventListener("change", async () => {
    box.checked ? s.curves.add(m.id) : s.curves.delete(m.id);
    if (box.checked && !curveValues.has(m.id)) curveValues.set(m.id, (await numbers("values", { id: m.id })).values);
    drawSpectrum();
  });
  label.append(box, m.name);
  $("curves").append(label, " ");
}

// ---- saving and repeating -------------------------------------------------------------------------------------------------------------
function saves() {
  const look = view => ({ colours: view.look.colours, low: view.limits[0], high: view.limits[1], scale: view.look.scale === "log" ? "log" : "linear", invert: view.look.invert ? 1 : 0 });
  const set = (name, parameters, ready) => document.querySelectorAll(`[data-save=${name}]`).forEach(a => {
    const format = a.dataset.format;
    a.setAttribute("aria-disabled", String(!ready));
    if (ready) a.href = address("save", { ...parameters, format, ...(format === "png" ? look(views[name]) : {}) }); else a.removeAttribute("href");
  });
  set("map", s.map === "detector" ? { what: "detector", scan: s.scan, spec: s.detector } : { what: "values", id: s.map, index: s.index },
    mapView.values && mapView.complete && s.map);
  const plane = state.planes.includes(s.pattern);
  set("pattern", s.pattern === "frame" ? { what: "frame", ...frameOf(false) } : plane ? { what: "region", scan: s.scan, region: s.region, plane: s.pattern }
    : { what: "values", id: s.pattern }, patternView.values && (!plane || regionDone));
  for (const format of ["npy", "png"]) {
    const link = $(`region-${format}`);
    link.setAttribute("aria-disabled", String(!s.region));
    if (s.region) link.href = address("save", { what: "roi", region: s.region, format }); else link.removeAttribute("href");
  }
}
function repeat() {
  $("command").textContent = command.view(state, s, mapView.look, patternView.look);
  $("masks-line").hidden = !(s.map === "detector" && s.detector);
  if (s.detector && hasScan) $("masks-command").textContent = command.masks(state, s);
  saves();
}
$("command-copy").onclick = e => copy($("command").textContent, e.target);
$("masks-copy").onclick = e => copy($("masks-command").textContent, e.target);

// ---- start ----------------------------------------------------------------------------------------------------------------------------
const option = (value, text) => Object.assign(document.createElement("option"), { value, textContent: text });
const manyFiles = new Set(state.shown.map(m => m.file)).size > 1;
const label = m => manyFiles ? `${m.name} — ${m.file}` : m.name;
if (patterns.length) $("map-source").append(option("detector", "virtual detector"));
$("map-source").append(...maps.map(m => option(m.id, label(m))));
if (hasScan) $("pattern-source").append(option("frame", "frame at the position"), ...state.planes.map(p => option(p, { mean: "mean of the region", std: "std of the region", logsum: "log-sum of the region" }[p])));
$("pattern-source").append(...images.map(m => option(m.id, label(m))));
$("scan").append(...state.scans.map((k, i) => option(i, k.name)));
$("scan-box").hidden = state.scans.length < 2;
$("files").textContent = [...state.scans.map(k => `${k.name}: ${ny} × ${nx} frames of ${k.height} × ${k.width} ${k.stored}`),
  ...new Set(state.shown.map(m => m.file))].join("  ·  ");
document.title = `${state.scans[0]?.name ?? "results"} — emstream explore`;
if (state.problems.length) { $("problems").hidden = false; $("problems").textContent = state.problems.join("\n"); }

const first = state.view, parseLook = (scale, colours) => {
  const look = {}, range = scale?.match(/^([\d.]+)\.\.([\d.]+)$/);
  if (range) Object.assign(look, { scale: "percentile", from: Number(range[1]), to: Number(range[2]) }); else if (scale) look.scale = scale;
  if (colours) Object.assign(look, { invert: colours.startsWith("-"), colours: colours.replace(/^-/, "") });
  return look;
};
const diffraction = patterns.length && !state.scans[0].background && !state.overlays.includes("detections") && ny > 1;
lookBar("map"); lookBar("pattern");
for (const name of first.overlays) if (state.overlays.includes(name)) { s.overlays.add(name); $(`overlay-${name}`).checked = true; }
s.neighbours = first.neighbours; $("neighbours").value = first.neighbours; $("neighbours-text").textContent = first.neighbours;
if (first.at) s.at = first.at;
patternView.setLook({ scale: diffraction ? "log" : "linear", from: 1, to: 99.5, colours: diffraction ? "inferno" : "grey", ...parseLook(first.scale, first.colours) });
mapView.setLook({ scale: "percentile", from: 0.5, to: 99.5, colours: "viridis" });
const wanted = first.map?.match(/^(.*?)(?:\[(\d+)\])?$/), chosen = wanted && maps.find(m => m.name === wanted[1] || m.id === wanted[1]);
if (first.map && !chosen) { $("problems").hidden = false; $("problems").textContent += `\nthere is no map ${first.map}`; }
if (first.process) setProcess(true);
if (first.detector) setDetector(first.detector);
if (chosen) { chooseMap(chosen.id); if (wanted[2]) { s.index = Number(wanted[2]); $("map-index").value = s.index; showMap(); } }
else if (!first.detector && maps.length) chooseMap(maps[0].id);
else if (!first.detector && patterns.length) {
  // Something to look at: a disk over the whole pattern.
  const k = state.scans[0], r = Math.floor(Math.min(k.height, k.width) / 2);
  setDetector(`disk:${(k.height - 1) / 2},${(k.width - 1) / 2},${r}`);
}
mapView.setLook(parseLook(first.map_scale, first.map_colours));
if (first.region) setRegion(first.region);
const image = images.find(m => m.name === first.pattern || m.id === first.pattern);
if (image) setPattern(image.id);
else if (state.planes.includes(first.pattern) && first.region) setPattern(first.pattern);
else if (!hasScan && images.length) setPattern(images[0].id);
moveTo(s.at);
status(`${state.backend}: ${state.adapter}`);

// For tests and for the curious in the console.
globalThis.explorer = { client, state, shown: s, map: mapView, pattern: patternView, processed: processedView, setDetector, setMap: chooseMap, moveTo };
