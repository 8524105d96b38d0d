// Command lines that repeat what is shown.
export const quote = word => /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
const scale = look => look.scale === "percentile" ? `${look.from}..${look.to}` : look.scale;
const colours = look => (look.invert ? "-" : "") + look.colours;

export function view(state, s, mapLook, patternLook) {
  const words = [...state.command, "--at", s.at.join(",")];
  const flag = (name, value) => { if (value) words.push(`--${name}=${value}`); };
  const map = state.shown.find(m => m.id === s.map);
  if (s.map !== "detector" && map) flag("map", map.name + (map.count > 1 ? `[${s.index}]` : ""));
  flag("detector", s.detector);
  if (s.region !== "roi") flag("region", s.region);
  const image = state.shown.find(m => m.id === s.pattern);
  if (s.pattern !== "frame") flag("pattern", image ? image.name : s.pattern);
  flag("scale", scale(patternLook)); flag("colours", colours(patternLook));
  flag("map-scale", scale(mapLook)); flag("map-colours", colours(mapLook));
  if (s.neighbours) flag("neighbours", s.neighbours);
  if (s.process) words.push("--process");
  flag("overlay", [...s.overlays].join(","));
  return words.map(quote).join(" ");
}

// The command that computes the map of a detector for good: the scan and the flags on reading it, without those of the page.
export function masks(state, s) {
  const scan = state.scans[s.scan] ?? state.scans[0];
  const words = state.command.slice(2), at = words.findIndex(w => w.startsWith("--"));
  const files = at < 0 ? words : words.slice(0, at), flags = at < 0 ? [] : words.slice(at);
  const eds = flags.indexOf("--eds");
  if (eds >= 0) flags.splice(eds, 2);
  const file = files.find(f => f.endsWith(scan.name)) ?? files[0];
  return ["emstream", "masks", file, ...flags, "--masks", s.detector, "-o", "masks.h5"].map(quote).join(" ");
}
