// Questions to the server: JSON, and numbers in their own type.
const ARRAYS = { u1: Uint8Array, i1: Int8Array, u2: Uint16Array, i2: Int16Array, u4: Uint32Array, i4: Int32Array, f4: Float32Array };

// Names this page to the server, so that its next question replaces the last one.
export const client = Array.from(crypto.getRandomValues(new Uint8Array(8)), b => b.toString(16).padStart(2, "0")).join("");

export function address(path, parameters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) if (value !== undefined && value !== null) query.set(name, value);
  return `/api/${path}?${query}`;
}

async function ask(path, parameters, signal) {
  let response;
  try {
    response = await fetch(address(path, parameters), { signal });
  } catch (e) {
    if (e.name === "AbortError") throw e;
    throw new Error("emstream no longer answers: was it stopped?");
  }
  if (!response.ok) {
    const text = await response.text();
    let why = text;
    try { why = JSON.parse(text).error; } catch { /* not from the program */ }
    throw new Error(why || `the server answered ${response.status}`);
  }
  return response;
}

export async function json(path, parameters = {}, signal) {
  return (await ask(path, parameters, signal)).json();
}

// { head, values }: the length of the head, the head, padding to 8 bytes, the numbers.
export async function numbers(path, parameters = {}, signal) {
  const buffer = await (await ask(path, parameters, signal)).arrayBuffer();
  const length = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  return { head, values: new ARRAYS[head.dtype](buffer, 4 + length) };
}

// Runs one question at a time; of those that come meanwhile only the last one is asked.
export function latest(work, failed) {
  let running = false, waiting = null;
  const run = async (...args) => {
    if (running) { waiting = args; return; }
    running = true;
    try { await work(...args); } catch (e) { if (e.name !== "AbortError") failed(e); }
    running = false;
    if (waiting) { const next = waiting; waiting = null; run(...next); }
  };
  return run;
}

// Asks again and again until the work is done; a new question ends the old one.
export function follow(path, each, failed) {
  let stop = null;
  return {
    async start(parameters) {
      stop?.abort();
      const mine = stop = new AbortController();
      let after = 0;
      try {
        for (;;) {
          const { head, values } = await numbers(path, { client, after, ...parameters }, mine.signal);
          if (mine.signal.aborted) return;
          if (head.error) throw new Error(head.error);
          if (head.version > after) { after = head.version; each(head, values); }
          if (head.done) return;
        }
      } catch (e) { if (e.name !== "AbortError" && stop === mine) failed(e); }
    },
    stop() { stop?.abort(); stop = null; },
  };
}
