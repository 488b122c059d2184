// @ts-check
/**
 * The picker in the browser. First time and intervals, pure functions with the meaning of segments.py and timing.py
 * (tests/js runs them on the cases that pytest runs on these); then the view, `render`.
 *
 * A segment is {start_s, end_s, speaker, audio, source, score}, half open: it holds the frames with
 * start_s <= t < end_s. `edges` are the times of all frames and the end of the last, so frame k is shown in
 * [edges[k], edges[k + 1]), and every edge of a segment is one of them.
 *
 * @typedef {{start_s: number, end_s: number, speaker: string, audio: string, source: string, score: number | null}} Segment
 * @typedef {{past: Segment[][], now: Segment[], future: Segment[][]}} History
 */

// ── times ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const TIME = /^(?:(?:([0-9]{1,6}):)?([0-9]{1,6}):)?([0-9]{1,9}(?:[.,][0-9]+)?)$/;

/** Seconds of "69.5", "1:09" or "00:01:09.500". @param {string} text */
export function parseTime(text) {
  const [found, hours, minutes, seconds] = TIME.exec(text.trim()) ?? [];
  const [h, m, s] = [hours, minutes, seconds].map((part) => Number((part ?? "0").replace(",", ".")));
  if (found === undefined || (minutes !== undefined && s >= 60) || (hours !== undefined && m >= 60))
    throw new Error(`“${text}” is not a time: write 69.5, 1:09 or 00:01:09.500`);
  return h * 3600 + m * 60 + s;
}

/** "0:31", "1:09.5", "1:02:03.25": as many decimals as a millisecond needs, or as asked. @param {number} time_s */
export function formatTime(time_s, decimals = -1) {
  const [hours, minutes, seconds, fraction] = clockParts(time_s, decimals < 0 ? 3 : decimals);
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  const clock = hours ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`;
  const shown = decimals < 0 ? fraction.replace(/0+$/, "") : fraction;
  return shown ? `${clock}.${shown}` : clock;
}

/** "00:01:09.500" @param {number} time_s */
export function formatClock(time_s) {
  const [hours, minutes, seconds, fraction] = clockParts(time_s, 3);
  return `${[hours, minutes, seconds].map((n) => String(n).padStart(2, "0")).join(":")}.${fraction}`;
}

/** @param {number} time_s @param {number} decimals @returns {[number, number, number, string]} */
function clockParts(time_s, decimals) {
  const ticks = Math.floor(time_s * 10 ** decimals + 0.5);
  const total = Math.floor(ticks / 10 ** decimals);
  const fraction = decimals ? String(ticks % 10 ** decimals).padStart(decimals, "0") : "";
  return [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60, fraction];
}

// ── frames ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** How many of the rising `values` are <= x. @param {ArrayLike<number>} values @param {number} x */
function countUpTo(values, x) {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] <= x) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The frame on screen at a time. @param {ArrayLike<number>} edges @param {number} time_s */
export function frameAt(edges, time_s) {
  return Math.min(Math.max(countUpTo(edges, time_s) - 1, 0), edges.length - 2);
}

/** Index of the nearest edge, the earlier of two equally near. @param {ArrayLike<number>} edges @param {number} time_s */
export function nearestEdge(edges, time_s) {
  const after = Math.min(countUpTo(edges, time_s), edges.length - 1);
  const before = Math.max(after - 1, 0);
  return edges[after] - time_s < time_s - edges[before] ? after : before;
}

// ── sets of segments ──────────────────────────────────────────────────────────────────────────────────────────────

/** @param {number} start_s @param {number} end_s @returns {Segment} */
export const manual = (start_s, end_s) => ({ start_s, end_s, speaker: "", audio: "", source: "manual", score: null });

/** Sorted, with those that overlap made one; touching ones stay apart. @param {Segment[]} segments */
export function merged(segments) {
  /** @type {Segment[]} */
  const joined = [];
  for (const segment of [...segments].sort((a, b) => a.start_s - b.start_s || a.end_s - b.end_s)) {
    if (!(segment.start_s >= 0 && segment.end_s > segment.start_s)) throw new Error("a segment must end after it starts");
    const last = joined[joined.length - 1];
    if (!last || segment.start_s >= last.end_s) {
      joined.push(segment);
      continue;
    }
    for (const name of /** @type {const} */ (["speaker", "audio"]))
      if (last[name] && segment[name] && last[name] !== segment[name])
        throw new Error(`these overlap but differ in ${name}: let them touch at most`);
    const scores = [last.score, segment.score].filter((score) => score !== null);
    joined[joined.length - 1] = {
      start_s: last.start_s,
      end_s: Math.max(last.end_s, segment.end_s),
      speaker: last.speaker || segment.speaker,
      audio: last.audio || segment.audio,
      source: last.source === "manual" || segment.source === "manual" ? "manual" : "auto",
      score: scores.length ? Math.max(.../** @type {number[]} */ (scores)) : null,
    };
  }
  return joined;
}

/** The stretches of [start_s, end_s) outside all segments. @param {Segment[]} segments @returns {[number, number][]} */
export function gaps(segments, start_s, end_s) {
  /** @type {[number, number][]} */
  const found = [];
  let at = start_s;
  for (const segment of segments) {
    if (segment.start_s > at) found.push([at, Math.min(segment.start_s, end_s)]);
    at = Math.max(at, segment.end_s);
  }
  return [...found, /** @type {[number, number]} */ ([at, end_s])].filter(([a, b]) => a < b);
}

/** What of the segments the others do not cover. @param {Segment[]} segments @param {Segment[]} others */
export function subtract(segments, others) {
  return segments.flatMap((segment) =>
    gaps(others, segment.start_s, segment.end_s).map(([start_s, end_s]) => ({ ...segment, start_s, end_s })),
  );
}

/** Every edge at the nearest frame; what gets empty is dropped. @param {Segment[]} segments @param {ArrayLike<number>} edges */
export function snap(segments, edges) {
  return segments
    .map((s) => ({ ...s, start_s: edges[nearestEdge(edges, s.start_s)], end_s: edges[nearestEdge(edges, s.end_s)] }))
    .filter((s) => s.start_s < s.end_s);
}

/** Seconds covered. @param {Segment[]} segments */
export const totalOf = (segments) => segments.reduce((sum, s) => sum + s.end_s - s.start_s, 0);

/** Index of the segment that holds a time, or -1. @param {Segment[]} segments @param {number} time_s */
export const indexAt = (segments, time_s) => segments.findIndex((s) => s.start_s <= time_s && time_s < s.end_s);

/** Suggestions that are not marked, or not in full. @param {Segment[]} suggestions @param {Segment[]} segments */
export const openSuggestions = (suggestions, segments) =>
  suggestions.filter((suggestion) => subtract([suggestion], segments).length > 0);

// ── edits: each gives a new list ──────────────────────────────────────────────────────────────────────────────────

/** @param {Segment[]} segments @param {number} index @param {Partial<Segment>} changed */
const withChanged = (segments, index, changed) =>
  merged(segments.map((s, k) => (k === index ? { ...s, ...changed, source: "manual", score: null } : s)));

/** Move one edge to edge number `to`, at least one frame from the other. @param {Segment[]} segments
 * @param {number} index @param {"start_s" | "end_s"} side @param {number} to @param {ArrayLike<number>} edges */
export function moveEdge(segments, index, side, to, edges) {
  const { start_s, end_s } = segments[index];
  const k =
    side === "start_s"
      ? Math.min(Math.max(to, 0), nearestEdge(edges, end_s) - 1)
      : Math.max(Math.min(to, edges.length - 1), nearestEdge(edges, start_s) + 1);
  return withChanged(segments, index, { [side]: edges[k] });
}

/** Move a segment by frames, as far as the video reaches. @param {Segment[]} segments @param {number} index
 * @param {number} frames @param {ArrayLike<number>} edges */
export function moveSegment(segments, index, frames, edges) {
  const start = nearestEdge(edges, segments[index].start_s);
  const end = nearestEdge(edges, segments[index].end_s);
  const by = Math.min(Math.max(frames, -start), edges.length - 1 - end);
  return by ? withChanged(segments, index, { start_s: edges[start + by], end_s: edges[end + by] }) : segments;
}

/** Cut the segment that holds a time in two that touch. @param {Segment[]} segments @param {number} time_s */
export function splitAt(segments, time_s) {
  return segments.flatMap((s) =>
    s.start_s < time_s && time_s < s.end_s ? [{ ...s, end_s: time_s }, { ...s, start_s: time_s }] : [s],
  );
}

// ── undo ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export const STEPS = 100;

/** @param {Segment[]} now @returns {History} */
export const begin = (now) => ({ past: [], now, future: [] });

/** @param {History} history @param {Segment[]} next @returns {History} */
export const push = ({ past, now }, next) => ({ past: [...past, now].slice(-STEPS), now: next, future: [] });

/** @param {History} history @returns {History} */
export const undo = ({ past, now, future }) =>
  past.length ? { past: past.slice(0, -1), now: past[past.length - 1], future: [now, ...future] } : { past, now, future };

/** @param {History} history @returns {History} */
export const redo = ({ past, now, future }) =>
  future.length ? { past: [...past, now], now: future[0], future: future.slice(1) } : { past, now, future };

// ── keys ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Action, keys as they are told, what it does. @type {[string, string, string][]} */
export const KEYS = [
  ["play", "Space or K", "play, pause"],
  ["back", ",", "one frame back"],
  ["forward", ".", "one frame forward"],
  ["back1s", "←", "one second back"],
  ["forward1s", "→", "one second forward"],
  ["edgeBefore", "Shift ←", "to the edge before"],
  ["edgeAfter", "Shift →", "to the edge after"],
  ["home", "Home", "to the first frame"],
  ["end", "End", "to the last frame"],
  ["slower", "J", "slower"],
  ["faster", "L", "faster"],
  ["sound", "S", "hear the new audio, or the video's own"],
  ["in", "I", "set in: a segment starts with this frame"],
  ["out", "O", "set out: it ends with this frame"],
  ["split", "B", "split the segment here"],
  ["delete", "Delete", "delete the segment"],
  ["previous", "↑", "choose the segment before"],
  ["next", "↓", "choose the segment after"],
  ["accept", "A", "accept the suggestion here, or the next one"],
  ["acceptAll", "Shift A", "accept all suggestions"],
  ["undo", "Ctrl Z", "undo, up to 100 steps"],
  ["redo", "Ctrl Shift Z", "redo"],
  ["zoomIn", "+", "zoom in"],
  ["zoomOut", "−", "zoom out"],
  ["fit", "0", "show all"],
  ["help", "?", "this list"],
  ["escape", "Esc", "drop the in mark, close this list"],
];

/** @type {Record<string, string>} */
const PLAIN = {
  " ": "play", k: "play", ",": "back", ".": "forward", ArrowLeft: "back1s", ArrowRight: "forward1s", Home: "home",
  End: "end", j: "slower", l: "faster", s: "sound", i: "in", o: "out", b: "split", Delete: "delete",
  Backspace: "delete", ArrowUp: "previous", ArrowDown: "next", a: "accept", "+": "zoomIn", "=": "zoomIn",
  "-": "zoomOut", "0": "fit", "?": "help", Escape: "escape",
};
/** @type {Record<string, string>} */
const SHIFTED = { ArrowLeft: "edgeBefore", ArrowRight: "edgeAfter", a: "acceptAll", "?": "help", "+": "zoomIn" };

/** The action of a key, or "". Letters are those on the keys, by place where the alphabet is another.
 * @param {{key: string, code: string, shiftKey: boolean, ctrlKey: boolean, metaKey: boolean, altKey: boolean}} event */
export function actionOf({ key, code, shiftKey, ctrlKey, metaKey, altKey }) {
  const isForeign = key.length === 1 && key > "\u024f" && code.startsWith("Key");
  const name = isForeign ? code.slice(3).toLowerCase() : key.length === 1 ? key.toLowerCase() : key;
  if (altKey) return "";
  if (ctrlKey || metaKey) return name === "z" ? (shiftKey ? "redo" : "undo") : name === "y" ? "redo" : "";
  return (shiftKey ? SHIFTED : PLAIN)[name] ?? "";
}

// ── pictures of time ──────────────────────────────────────────────────────────────────────────────────────────────

/** The candidate nearest to a time within `reach_s`, or the time. @param {number[]} candidates @param {number} time_s */
export function snapTo(candidates, time_s, reach_s) {
  const near = candidates.filter((c) => Math.abs(c - time_s) <= reach_s);
  return near.length ? near.reduce((a, b) => (Math.abs(b - time_s) < Math.abs(a - time_s) ? b : a)) : time_s;
}

const STEPS_S = [0.04, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];

/** Seconds between the numbers of a ruler, so that these are at least 90 pixels apart. @param {number} px_per_s */
export const rulerStep = (px_per_s) => STEPS_S.find((step) => step * px_per_s >= 90) ?? 7200;

/** Top and height of each lane, pixels. @type {Record<string, [number, number]>} */
const LANES = { ruler: [0, 20], thumbs: [22, 48], segments: [76, 38], suggestions: [118, 18], faces: [142, 22], sound: [170, 40] };
const HEIGHT = 214;
const SNAP_PX = 6;
const DRAG_PX = 3;

/** What stays as it is while the marks change: thumbnails, faces, sound, ruler and cuts, for the visible stretch.
 * @param {{canvas: HTMLCanvasElement, colors: Record<string, string>, scene: any, edges: Float64Array,
 *   presence: Uint8Array, peaks: Uint8Array, thumbs: ImageBitmap | undefined, from_px: number, px_per_s: number}} all */
function drawLanes({ canvas, colors, scene, edges, presence, peaks, thumbs, from_px, px_per_s }) {
  const [width, ratio] = [canvas.clientWidth, window.devicePixelRatio || 1];
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(HEIGHT * ratio);
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  pen.scale(ratio, ratio);
  const end_px = Math.min(width, scene.end_s * px_per_s - from_px);
  const timeAt = (/** @type {number} */ x) => (x + from_px) / px_per_s;

  pen.font = `11px ${colors.font}`;
  pen.textBaseline = "middle";
  const step = rulerStep(px_per_s);
  for (let k = Math.floor(timeAt(0) / step); k * step <= timeAt(end_px); k++) {
    const x = Math.round(k * step * px_per_s - from_px) + 0.5;
    pen.fillStyle = colors.line;
    pen.fillRect(x, 12, 1, 8);
    for (let minor = 1; minor < 5; minor++) pen.fillRect(x + (minor * step * px_per_s) / 5, 16, 1, 4);
    pen.fillStyle = colors.soft;
    pen.fillText(formatTime(k * step, step < 0.1 ? 2 : step < 1 ? 1 : 0), x + 4, 9);
  }

  const [thumb_y, thumb_h] = LANES.thumbs;
  if (thumbs) {
    const one = thumbs.width / scene.n_thumbs;
    const thumb_w = (one / thumbs.height) * thumb_h;
    for (let k = Math.floor(from_px / thumb_w); k * thumb_w - from_px < end_px; k++) {
      const x = k * thumb_w - from_px;
      const shown_w = Math.min(thumb_w, end_px - x);
      const n_frames = edges.length - 1;
      const index = Math.floor((frameAt(edges, timeAt(x + shown_w / 2)) * scene.n_thumbs) / n_frames);
      pen.drawImage(thumbs, index * one, 0, (one * shown_w) / thumb_w, thumbs.height, x, thumb_y, shown_w, thumb_h);
    }
  }

  /** The highest of `values` in every pixel column. @param {Uint8Array} values @param {(x: number) => number} indexOf */
  const columns = (values, indexOf, /** @type {(x: number, value: number) => void} */ paint) => {
    for (let x = 0; x < end_px; x++) {
      let highest = 0;
      const last = Math.max(indexOf(x + 1), indexOf(x) + 1);
      for (let k = indexOf(x); k < last; k++) highest = Math.max(highest, values[k] ?? 0);
      paint(x, highest / 255);
    }
  };
  const [face_y, face_h] = LANES.faces;
  pen.fillStyle = colors.face;
  columns(presence, (x) => frameAt(edges, timeAt(x)), (x, part) => {
    const height = part ? 3 + (face_h - 3) * Math.min(1, 1.2 * part) : 0;
    pen.fillRect(x, face_y + face_h - height, 1, height);
  });
  pen.fillStyle = colors.line;
  pen.fillRect(0, face_y + face_h, end_px, 1);
  const [sound_y, sound_h] = LANES.sound;
  pen.fillStyle = colors.sound;
  columns(peaks, (x) => Math.floor(timeAt(x) * scene.peaks_per_s), (x, part) => {
    const height = Math.max(1, sound_h * Math.sqrt(part));
    pen.fillRect(x, sound_y + (sound_h - height) / 2, 1, height);
  });

  pen.strokeStyle = colors.soft;
  pen.setLineDash([2, 3]);
  for (const cut_s of scene.cuts_s) {
    const x = Math.round(cut_s * px_per_s - from_px) + 0.5;
    if (x < 0 || x > end_px) continue;
    pen.beginPath();
    pen.moveTo(x, thumb_y + thumb_h);
    pen.lineTo(x, HEIGHT);
    pen.stroke();
  }
}

// ── the page ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** @type {Record<string, string>} */
const ICONS = {
  play: "M4 2.5v11l9-5.5z",
  pause: "M4 2.5h3v11H4zM9 2.5h3v11H9z",
  back: "M12 2.5v11L5.5 8zM3 2.5h2v11H3z",
  forward: "M4 2.5v11L10.5 8zM11 2.5h2v11h-2z",
  undo: "M6 2 2 6l4 4V7h4a2.5 2.5 0 0 1 0 5H6v2h4a4.5 4.5 0 0 0 0-9H6z",
  redo: "m10 2 4 4-4 4V7H6a2.5 2.5 0 0 0 0 5h4v2H6a4.5 4.5 0 0 1 0-9h4z",
  in: "M4 2h4v1.5H5.5v9H8V14H4zM9 8l4-3v6z",
  out: "M12 2H8v1.5h2.5v9H8V14h4zM7 8 3 5v6z",
  split: "M7.25 1h1.5v14h-1.5zM1 5h4.5v6H1zM10.5 5H15v6h-4.5z",
  delete: "M6 1h4l.5 1.5H14V4H2V2.5h3.5zM3.2 5h9.6l-.8 10H4z",
  accept: "M6.2 13 1.5 8.3l1.6-1.6 3.1 3.1 6.7-6.8 1.6 1.6z",
  zoomIn: "M7 3h2v4h4v2H9v4H7V9H3V7h4z",
  zoomOut: "M3 7h10v2H3z",
  fit: "M2 3h1.5v10H2zM12.5 3H14v10h-1.5zM4.5 8 7 5.5v5zM11.5 8 9 5.5v5z",
};

/** An element. @param {string} tag @param {Record<string, any>} [attributes] @param {...(Node | string)} children
 * @returns {any} */
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes))
    if (value !== false) element.setAttribute(name, value === true ? "" : String(value));
  element.append(...children);
  return element;
}

/** @param {string} name @returns {SVGElement} */
function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

const KEY_OF = Object.fromEntries(KEYS.map(([action, key]) => [action, key]));
const SAYS = Object.fromEntries(KEYS.map(([action, , says]) => [action, says]));

/** A button for an action. @param {string} action @param {string} [text] */
const button = (action, text) =>
  h(
    "button",
    {
      class: text ? "w2l-button w2l-worded" : "w2l-button",
      "data-action": action,
      "data-testid": action,
      title: `${SAYS[action]} (${KEY_OF[action]})`,
      "aria-label": text ?? SAYS[action],
    },
    ...(ICONS[action] ? [icon(action)] : []),
    ...(text ? [h("span", {}, text)] : []),
  );

const HINT = "Press I at the first frame with the face and O at the last; A accepts a suggestion, ? lists all keys.";

/** @param {HTMLElement} el @param {any} scene @returns {Record<string, any>} */
function buildPage(el, scene) {
  const page = {
    badge: h("span", { class: "w2l-badge", role: "status", "data-testid": "badge" }),
    totals: h("span", { class: "w2l-totals", "data-testid": "totals" }),
    video: h("video", { class: "w2l-video", playsinline: true, "data-testid": "video" }),
    still: h("img", { class: "w2l-still", alt: "", hidden: true, "data-testid": "still" }),
    veil: h("div", { class: "w2l-veil" }, "Waiting for the video: the kernel sends it when it is free…"),
    clock: h("output", { class: "w2l-clock", "aria-label": "time", "data-testid": "clock" }),
    play: button("play"),
    speed: h(
      "select",
      { class: "w2l-select", title: "speed (J, L)", "aria-label": "speed" },
      ...[0.25, 0.5, 1, 1.5, 2].map((speed) => h("option", { value: speed, selected: speed === 1 }, `${speed}×`)),
    ),
    sound: h(
      "select",
      { class: "w2l-select", title: `${SAYS.sound} (S)`, "aria-label": "sound", "data-testid": "sound" },
      h("option", { value: "own", disabled: !scene.has_sound }, scene.has_sound ? "own sound" : "no own sound"),
      h("option", { value: "new", selected: !scene.has_sound }, "new audio"),
    ),
    rows: h("tbody"),
    empty: h("p", { class: "w2l-empty" }, "Nothing is marked yet."),
    labels: h("div", { class: "w2l-labels", "aria-hidden": "true" }),
    scroll: h("div", { class: "w2l-scroll" }),
    inner: h("div", { class: "w2l-inner", "data-testid": "timeline", "data-end": scene.end_s }),
    canvas: h("canvas", { class: "w2l-canvas", "aria-hidden": "true" }),
    ground: h("div", { class: "w2l-ground" }),
    head: h("div", { class: "w2l-head", "data-testid": "playhead" }),
    pending: h("div", { class: "w2l-pending", hidden: true, "data-testid": "pending" }),
    told: h("p", { class: "w2l-told", "aria-live": "polite", "data-testid": "told" }, HINT),
    help: h("div", { class: "w2l-help", role: "dialog", "aria-label": "keys", hidden: true, "data-testid": "help-list" }),
    undo: button("undo"),
    redo: button("redo"),
    accept: button("accept", "Accept"),
    acceptAll: button("acceptAll", "All"),
  };
  const words = { ruler: "", thumbs: "Video", segments: "Segments", suggestions: "Suggested", faces: "Face", sound: "New audio" };
  for (const [name, word] of Object.entries(words)) {
    const [top, height] = LANES[name];
    page.labels.append(h("span", { style: `top:${top}px;height:${height}px` }, word));
  }
  page.ground.style.cssText = `top:${LANES.segments[0]}px;height:${LANES.segments[1]}px`;
  page.inner.append(page.canvas, page.ground, page.pending, page.head);
  page.scroll.append(page.inner);
  const half = Math.ceil(KEYS.length / 2);
  page.help.append(
    h("h3", {}, "Keys"),
    ...[KEYS.slice(0, half), KEYS.slice(half)].map((keys) =>
      h("dl", {}, ...keys.flatMap(([, key, says]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, says)])),
    ),
    h("p", {}, "On an edge that is focused (Tab), ← and → move it by a frame, with Shift by ten. Dragging snaps to cuts, ",
      "suggestions and other edges; Alt lets go of them."),
  );
  page.root = h(
    "div",
    {
      class: "w2l",
      tabindex: 0,
      role: "application",
      "aria-label": `Picker of segments for ${scene.name}; press ? for all keys`,
      "data-lm-suppress-shortcuts": "true",
      "data-testid": "picker",
    },
    h("div", { class: "w2l-top" }, h("strong", { title: scene.name }, scene.name), page.totals, page.badge),
    h(
      "div",
      { class: "w2l-stage" },
      h(
        "div",
        { class: "w2l-player" },
        h("div", { class: "w2l-screen" }, page.video, page.still, page.veil),
        h("div", { class: "w2l-row w2l-transport" }, button("back"), page.play, button("forward"), page.clock, page.speed, page.sound),
      ),
      h(
        "div",
        { class: "w2l-side" },
        h("div", { class: "w2l-tablebox" },
          h(
            "table",
            { class: "w2l-table" },
            h("thead", {}, h("tr", {}, ...["#", "Start", "End", "Length", "By", ""].map((word) => h("th", { scope: "col" }, word)))),
            page.rows,
          ),
          page.empty,
        ),
      ),
    ),
    h(
      "div",
      { class: "w2l-row w2l-tools", role: "toolbar", "aria-label": "edits" },
      h("span", { class: "w2l-set" }, button("in", "Set in"), button("out", "Set out")),
      h("span", { class: "w2l-set" }, button("split", "Split"), button("delete", "Delete")),
      h("span", { class: "w2l-set" }, page.accept, page.acceptAll),
      h("span", { class: "w2l-set" }, page.undo, page.redo),
      h("span", { class: "w2l-set w2l-last" }, button("zoomOut"), button("fit"), button("zoomIn"), button("help", "?")),
    ),
    h("div", { class: "w2l-timeline" }, page.labels, page.scroll),
    page.told,
    page.help,
  );
  page.root.style.setProperty("--w2l-timeline", `${HEIGHT}px`);
  page.root.style.setProperty("--w2l-shape", `${scene.width_px} / ${scene.height_px}`);
  el.append(page.root);
  return page;
}

// ── the view ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** A file of the kernel's, in chunks, four asked for at a time. @param {any} model @param {AbortSignal} signal
 * @param {string} name @param {(part: number) => void} onProgress @returns {Promise<Blob>} */
function fetchFile(model, signal, name, onProgress) {
  const { bytes, chunk_bytes } = model.get("scene");
  const count = Math.ceil(bytes[name] / chunk_bytes);
  /** @type {any[]} */
  const chunks = [];
  let [asked, came] = [0, 0];
  return new Promise((resolve) => {
    const ask = () => asked < count && model.send({ kind: "chunk", name, index: asked++ });
    const take = (/** @type {any} */ message, /** @type {any[]} */ buffers) => {
      if (message.kind !== "chunk" || message.name !== name || chunks[message.index]) return;
      chunks[message.index] = buffers[0];
      onProgress(++came / count);
      if (came < count) return void ask();
      model.off("msg:custom", take);
      resolve(new Blob(chunks, { type: name === "video" ? "video/mp4" : "audio/mp4" }));
    };
    model.on("msg:custom", take);
    signal.addEventListener("abort", () => model.off("msg:custom", take));
    for (let k = 0; k < 4; k++) ask();
  });
}

/** The bytes of a trait. @param {DataView} view */
const bytesOf = (view) => new Uint8Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));

/** The video with its sound: shows frames by number, plays, tells which frame is on screen.
 * @param {{model: any, page: Record<string, any>, edges: Float64Array, signal: AbortSignal,
 *   onFrame: (frame: number) => void, onState: () => void, tell: (text: string) => void}} all */
function makePlayer({ model, page, edges, signal, onFrame, onState, tell }) {
  const { video, still, veil } = page;
  const last = edges.length - 2;
  /** @type {HTMLAudioElement} */
  const audio = new Audio();
  /** @type {string[]} */
  const urls = [];
  let [frame, isReady, isStill, isAsking] = [0, false, false, false];
  let timer = 0;

  const middle = (/** @type {number} */ k) => (edges[k] + edges[k + 1]) / 2 - edges[0];
  const isPlaying = () => (isStill ? timer !== 0 : !video.paused && !video.ended);

  /** Show frame `k`; while one is on its way, only the newest wish counts. @param {number} k */
  function show(k) {
    frame = Math.min(Math.max(k, 0), last);
    onFrame(frame);
    if (isStill && !isAsking) {
      isAsking = true;
      model.send({ kind: "still", frame });
    } else if (isReady && !video.seeking) video.currentTime = middle(frame);
    if (isPlaying()) audio.currentTime = edges[frame];
  }

  /** @param {any} message @param {any[]} buffers */
  function takeStill(message, buffers) {
    if (message.kind !== "still") return;
    URL.revokeObjectURL(still.src);
    still.src = URL.createObjectURL(new Blob([buffers[0]], { type: "image/jpeg" }));
    isAsking = false;
    if (message.frame !== frame) show(frame);
  }

  /** Go on with single frames where the video cannot be played. */
  function useStills() {
    isStill = true;
    video.hidden = veil.hidden = true;
    still.hidden = false;
    const text = "This browser cannot play H.264: here are single frames, without the video's own sound.";
    tell(text);
    model.set("problem", text);
    model.save_changes();
    model.on("msg:custom", takeStill);
    show(frame);
  }

  function play() {
    if (!isReady && !isStill) return;
    if (frame >= last) show(0);
    const isNew = page.sound.value === "new";
    video.muted = isNew;
    audio.playbackRate = video.playbackRate = Number(page.speed.value);
    if (isNew) {
      audio.currentTime = edges[frame];
      audio.play().catch(() => tell("The new audio cannot be played yet."));
    }
    if (isStill) {
      const [from, start] = [edges[frame], performance.now()];
      timer = window.setInterval(() => {
        const at = from + ((performance.now() - start) / 1000) * Number(page.speed.value);
        if (at >= edges[last + 1]) pause();
        else if (!isAsking) show(frameAt(edges, at));
      }, 40);
      onState();
    } else video.play().catch((/** @type {Error} */ error) => tell(`The video does not play: ${error.message}`));
  }

  function pause() {
    window.clearInterval(timer);
    timer = 0;
    audio.pause();
    if (isStill) onState();
    else video.pause();
  }

  const watch = () =>
    video.requestVideoFrameCallback?.((/** @type {number} */ _, /** @type {{mediaTime: number}} */ { mediaTime }) => {
      if (!video.paused) onFrame((frame = frameAt(edges, mediaTime + edges[0] + 1e-4)));
      if (!signal.aborted) watch();
    });
  watch();
  const on = (/** @type {string} */ event, /** @type {() => void} */ act) => video.addEventListener(event, act, { signal });
  on("timeupdate", () => {
    if (!video.requestVideoFrameCallback && !video.paused) onFrame((frame = frameAt(edges, video.currentTime + edges[0])));
  });
  on("seeked", () => {
    if (video.paused && Math.abs(video.currentTime - middle(frame)) > 1e-3) video.currentTime = middle(frame);
  });
  on("play", onState);
  on("pause", () => {
    audio.pause();
    show(video.ended ? last : frame);
    onState();
  });
  on("error", useStills);
  on("loadeddata", () => {
    isReady = veil.hidden = true;
    show(frame);
  });

  const load = (/** @type {string} */ name, /** @type {HTMLMediaElement} */ element, /** @type {(part: number) => void} */ told) =>
    fetchFile(model, signal, name, told).then((blob) => {
      urls.push((element.src = URL.createObjectURL(blob)));
    });
  if (video.canPlayType('video/mp4; codecs="avc1.640028"')) {
    load("video", video, (part) => (veil.textContent = `Loading the video, ${Math.round(100 * part)} %`)).then(() =>
      load("audio", audio, () => {}),
    );
  } else {
    useStills();
    load("audio", audio, () => {});
  }
  signal.addEventListener("abort", () => {
    pause();
    model.off("msg:custom", takeStill);
    for (const url of [...urls, still.src]) URL.revokeObjectURL(url);
  });

  /** The new rate or sound, also while it plays. */
  const renew = () => isPlaying() && (pause(), play());
  return { show, play, pause, isPlaying, renew, frame: () => frame };
}

/** @param {{model: any, el: HTMLElement}} context */
function render({ model, el }) {
  const scene = model.get("scene");
  const edges = new Float64Array([...new Float64Array(bytesOf(model.get("times")).buffer), scene.end_s]);
  const peaks = bytesOf(model.get("peaks"));
  let presence = bytesOf(model.get("presence"));
  /** @type {Segment[]} */
  let suggestions = model.get("suggestions");
  const page = buildPage(el, scene);
  const { root, scroll, inner } = page;
  const ending = new AbortController();
  const { signal } = ending;

  let history = begin(model.get("held").segments);
  /** @type {Segment[] | null} shown while a drag goes on */
  let draft = null;
  let selected = -1;
  /** @type {number | null} */
  let in_s = null;
  let zoom = 1;
  /** @type {ImageBitmap | undefined} */
  let thumbs;
  /** @type {any} */
  let drag = null;
  const me = Math.random().toString(36).slice(2);
  let [edits, awaited, isUnsent, isKeyDown, slowTimer, toldTimer, lastTold] = [0, "", false, false, 0, 0, 0];

  const now = () => draft ?? history.now;
  const frame_s = () => edges[player.frame()];
  const px_per_s = () => inner.clientWidth / scene.end_s;

  // ── what Python holds ──

  /** @param {string} state @param {string} text */
  function setBadge(state, text) {
    page.badge.dataset.state = state;
    page.badge.textContent = text;
  }

  /** Take a new list of marks; `isSameStep` goes on with the last step, as while a key repeats.
   * @param {Segment[]} segments @param {string} says @param {boolean} [isSameStep] */
  function change(segments, says, isSameStep = false) {
    if (JSON.stringify(segments) === JSON.stringify(history.now)) return;
    history = isSameStep ? { ...history, now: segments } : push(history, segments);
    changed(says);
  }

  /** @param {string} says */
  function changed(says) {
    tell(says);
    selected = Math.min(selected, history.now.length - 1);
    isUnsent = true;
    setBadge("waiting", "Saving…");
    if (!isKeyDown) send();
    draw();
  }

  /** Marks reach Python when the pointer or the key goes up. */
  function send() {
    if (!isUnsent) return;
    isUnsent = false;
    awaited = `${me}-${++edits}`;
    window.clearTimeout(slowTimer);
    slowTimer = window.setTimeout(() => awaited && setBadge("waiting", "Waiting: the kernel is busy"), 700);
    model.send({ kind: "edit", edit: awaited, segments: history.now });
  }

  function takeHeld() {
    const held = model.get("held");
    if (held.edit === awaited) awaited = "";
    if (awaited || isUnsent) return; // a newer edit of ours is on its way
    window.clearTimeout(slowTimer);
    if (held.problem) tell(`Not saved: ${held.problem}`);
    setBadge(held.problem ? "problem" : "saved", held.problem ? "Not saved" : "Saved");
    if (held.problem) history = { ...history, now: held.segments };
    else if (JSON.stringify(held.segments) !== JSON.stringify(history.now)) history = push(history, held.segments);
    selected = Math.min(selected, history.now.length - 1);
    draw();
  }

  /** Another speaker was chosen. */
  function takeFace() {
    presence = bytesOf(model.get("presence"));
    suggestions = model.get("suggestions");
    draw();
    drawCanvas();
  }

  /** @param {string} text */
  function tell(text) {
    page.told.textContent = text;
    page.told.classList.toggle("w2l-news", text !== HINT);
    window.clearTimeout(toldTimer);
    if (text !== HINT) toldTimer = window.setTimeout(() => tell(HINT), 8000);
  }

  // ── drawing ──

  const percent = (/** @type {number} */ time_s) => `${(100 * time_s) / scene.end_s}%`;

  function drawCanvas() {
    const style = getComputedStyle(root);
    const colors = Object.fromEntries(["line", "soft", "face", "sound"].map((name) => [name, style.getPropertyValue(`--w2l-${name}`)]));
    colors.font = style.fontFamily;
    page.canvas.style.width = `${scroll.clientWidth}px`;
    const all = { canvas: page.canvas, colors, scene, edges, presence, peaks, thumbs };
    drawLanes({ ...all, from_px: scroll.scrollLeft, px_per_s: px_per_s() });
  }

  /** As many elements of a class as wanted, made and removed at the end of the row. @param {string} name
   * @param {number} count @param {(index: number) => HTMLElement} make @param {HTMLElement} [parent] @returns {any[]} */
  function pool(name, count, make, parent = inner) {
    const elements = [...parent.querySelectorAll(`.${name}`)];
    while (elements.length > count) elements.pop()?.remove();
    while (elements.length < count) elements.push(parent.appendChild(make(elements.length)));
    return elements;
  }

  const makeBar = (/** @type {number} */ index) =>
    h(
      "div",
      { class: "w2l-segment", role: "group", "data-index": index, "data-testid": `segment-${index}` },
      ...["start", "end"].map((side) =>
        h("div", {
          class: `w2l-edge w2l-${side}`,
          role: "slider",
          tabindex: 0,
          "data-index": index,
          "data-side": `${side}_s`,
          "data-testid": `segment-${index}-${side}`,
        }),
      ),
      h("span", { class: "w2l-name" }),
    );

  const makeSuggestion = () => h("button", { class: "w2l-suggestion" }, h("span"));

  const makeRow = (/** @type {number} */ index) =>
    h(
      "tr",
      { class: "w2l-line", "data-index": index, "data-testid": `row-${index}` },
      h("td", {}, String(index + 1)),
      ...["start", "end"].map((side) =>
        h("td", {}, h("input", {
          class: "w2l-time", "data-side": `${side}_s`, "data-testid": `row-${index}-${side}`, spellcheck: "false",
          "aria-label": `${side} of segment ${index + 1}`,
        })),
      ),
      h("td", { class: "w2l-length" }),
      h("td", { class: "w2l-by" }),
      h("td", {}, h("button", { class: "w2l-button w2l-remove", title: "delete this segment", "aria-label": `delete segment ${index + 1}` }, "×")),
    );

  function draw() {
    const segments = now();
    const [top, height] = LANES.segments;
    pool("w2l-segment", segments.length, makeBar).forEach((bar, k) => {
      const { start_s, end_s, source, speaker } = segments[k];
      bar.style.cssText = `top:${top}px;height:${height}px;left:${percent(start_s)};width:${percent(end_s - start_s)}`;
      bar.classList.toggle("w2l-auto", source === "auto");
      bar.classList.toggle("w2l-chosen", k === selected);
      bar.setAttribute("aria-label", `segment ${k + 1}, ${formatTime(start_s)} to ${formatTime(end_s)}`);
      bar.querySelector(".w2l-name").textContent = `${k + 1}${speaker ? ` ${speaker}` : ""}`;
      for (const edge of bar.querySelectorAll(".w2l-edge")) {
        const at = edge.dataset.side === "start_s" ? start_s : end_s;
        edge.setAttribute("aria-label", `${edge.dataset.side === "start_s" ? "start" : "end"} of segment ${k + 1}`);
        edge.setAttribute("aria-valuemin", "0");
        edge.setAttribute("aria-valuemax", String(scene.end_s));
        edge.setAttribute("aria-valuenow", String(at));
        edge.setAttribute("aria-valuetext", formatTime(at));
      }
    });
    const open = openSuggestions(suggestions, segments);
    const [hint_top, hint_height] = LANES.suggestions;
    pool("w2l-suggestion", suggestions.length, makeSuggestion).forEach((mark, k) => {
      const { start_s, end_s } = suggestions[k];
      const isOpen = open.includes(suggestions[k]);
      mark.style.cssText = `top:${hint_top}px;height:${hint_height}px;left:${percent(start_s)};width:${percent(end_s - start_s)}`;
      mark.dataset.testid = `suggestion-${k}`;
      mark.classList.toggle("w2l-open", isOpen);
      mark.disabled = !isOpen;
      mark.title = `${formatTime(start_s)}–${formatTime(end_s)}: a face is here${isOpen ? "; click to accept" : ", accepted"}`;
      mark.setAttribute("aria-label", mark.title);
      mark.firstChild.textContent = isOpen ? "+" : "✓";
    });
    pool("w2l-line", segments.length, makeRow, page.rows).forEach((row, k) => {
      const { start_s, end_s, source } = segments[k];
      row.classList.toggle("w2l-chosen", k === selected);
      for (const input of row.querySelectorAll("input"))
        if (input !== root.getRootNode().activeElement)
          input.value = formatTime(input.dataset.side === "start_s" ? start_s : end_s, 3);
      row.querySelector(".w2l-length").textContent = formatTime(end_s - start_s, 2);
      row.querySelector(".w2l-by").textContent = source === "auto" ? "auto" : "you";
    });
    page.empty.hidden = segments.length > 0;
    page.undo.disabled = !history.past.length;
    page.redo.disabled = !history.future.length;
    page.accept.disabled = page.acceptAll.disabled = !open.length;
    const face_s = totalOf(segments);
    page.totals.textContent = `face ${formatTime(face_s, 1)} · no face ${formatTime(Math.max(0, scene.end_s - face_s), 1)}`;
    drawHead();
  }

  function drawHead() {
    const at = frame_s();
    page.head.style.left = percent(at);
    page.pending.hidden = in_s === null;
    if (in_s !== null) {
      const [a, b] = [Math.min(in_s, at), Math.max(in_s, edges[player.frame() + 1])];
      const [top, height] = LANES.segments;
      page.pending.style.cssText = `top:${top}px;height:${height}px;left:${percent(a)};width:${percent(b - a)}`;
    }
    page.clock.textContent = `${formatTime(at, 3)} · frame ${player.frame()}`;
  }

  function drawPlay() {
    page.play.replaceChildren(icon(player.isPlaying() ? "pause" : "play"));
    page.play.setAttribute("aria-pressed", String(player.isPlaying()));
  }

  // ── the playhead ──

  /** @param {number} _ */
  function onFrame(_) {
    if (!player) return; // while it is being made
    drawHead();
    const x = frame_s() * px_per_s() - scroll.scrollLeft;
    if (!drag && (x < 0 || x > scroll.clientWidth)) scroll.scrollLeft += x - scroll.clientWidth * 0.1;
    tellTime(player.isPlaying() ? 250 : 120);
  }

  /** Python hears of the time when it rests, and at most four times a second. */
  function tellTime(/** @type {number} */ after_ms) {
    if (lastTold) return;
    lastTold = window.setTimeout(() => {
      lastTold = 0;
      if (model.get("time_s") === frame_s()) return;
      model.set("time_s", frame_s());
      model.save_changes();
    }, after_ms);
  }

  /** @type {ReturnType<typeof makePlayer>} */
  // eslint-disable-next-line prefer-const
  let player = /** @type {any} */ (null);
  player = makePlayer({ model, page, edges, signal, onFrame, onState: drawPlay, tell });

  /** @param {number} index */
  function choose(index) {
    selected = index;
    if (index >= 0) player.show(nearestEdge(edges, history.now[index].start_s));
    draw();
  }

  /** @param {number} factor */
  function zoomBy(factor, at_px = frame_s() * px_per_s() - scroll.scrollLeft) {
    const time_s = (scroll.scrollLeft + at_px) / px_per_s();
    const most = Math.max(1, (12 * (edges.length - 1)) / scroll.clientWidth);
    zoom = factor ? Math.min(Math.max(zoom * factor, 1), most) : 1;
    inner.style.width = `${100 * zoom}%`;
    scroll.scrollLeft = time_s * px_per_s() - at_px;
    drawCanvas();
    draw();
  }

  // ── actions ──

  /** Edges of segments, to jump between. */
  const jumps = () => [edges[0], ...history.now.flatMap((s) => [s.start_s, s.end_s])].map((t) => nearestEdge(edges, t));

  /** @type {Record<string, (isRepeat: boolean) => void>} */
  const ACTIONS = {
    play: () => (player.isPlaying() ? player.pause() : player.play()),
    back: () => step(-1),
    forward: () => step(1),
    back1s: () => player.show(frameAt(edges, frame_s() - 1 + 1e-6)),
    forward1s: () => player.show(frameAt(edges, frame_s() + 1 + 1e-6)),
    edgeBefore: () => player.show(Math.max(0, ...jumps().filter((k) => k < player.frame()))),
    edgeAfter: () => player.show(Math.min(edges.length - 2, ...jumps().filter((k) => k > player.frame()))),
    home: () => player.show(0),
    end: () => player.show(edges.length - 2),
    slower: () => nextSpeed(-1),
    faster: () => nextSpeed(1),
    sound() {
      page.sound.value = page.sound.value === "new" && scene.has_sound ? "own" : "new";
      player.renew();
    },
    in() {
      const index = indexAt(history.now, frame_s());
      if (index < 0) {
        in_s = frame_s();
        tell(`In at ${formatTime(in_s)}: go to the last frame with the face and press O.`);
        return drawHead();
      }
      selected = index;
      change(moveEdge(history.now, index, "start_s", player.frame(), edges), `Segment ${index + 1} starts here.`);
    },
    out() {
      const out_s = edges[player.frame() + 1];
      const index = indexAt(history.now, frame_s());
      if (in_s !== null && in_s < out_s) {
        const marked = manual(in_s, out_s);
        in_s = null;
        change(merged([...history.now, marked]), `Marked ${formatTime(marked.start_s)}–${formatTime(marked.end_s)}.`);
        selected = indexAt(history.now, marked.start_s);
        draw();
      } else if (in_s === null && index >= 0) {
        selected = index;
        change(moveEdge(history.now, index, "end_s", player.frame() + 1, edges), `Segment ${index + 1} ends here.`);
      } else tell(in_s === null ? "Press I at the first frame with the face, then O at the last." : "Out lies before in.");
    },
    split() {
      const index = indexAt(history.now, frame_s());
      if (index < 0 || history.now[index].start_s === frame_s()) return tell("Go to a frame inside a segment to split it.");
      change(splitAt(history.now, frame_s()), `Segment ${index + 1} is split.`);
    },
    delete: () => remove(selected >= 0 ? selected : indexAt(history.now, frame_s())),
    previous: () => choose(Math.max(selected - 1, Math.min(0, history.now.length - 1))),
    next: () => choose(Math.min(selected + 1, history.now.length - 1)),
    accept() {
      const open = openSuggestions(suggestions, history.now);
      const next = open.find((s) => s.end_s > frame_s()) ?? open[0];
      if (next) accept([next]);
      else tell("Every suggestion is accepted.");
    },
    acceptAll: () => accept(openSuggestions(suggestions, history.now)),
    undo: () => travel(undo(history), "Undone."),
    redo: () => travel(redo(history), "Redone."),
    zoomIn: () => zoomBy(1.6),
    zoomOut: () => zoomBy(1 / 1.6),
    fit: () => zoomBy(0),
    help: () => (page.help.hidden = !page.help.hidden),
    escape() {
      page.help.hidden = true;
      in_s = null;
      drawHead();
    },
  };

  /** @param {number} frames */
  function step(frames) {
    player.pause();
    player.show(player.frame() + frames);
  }

  /** @param {number} by */
  function nextSpeed(by) {
    const count = page.speed.options.length;
    page.speed.selectedIndex = Math.min(Math.max(page.speed.selectedIndex + by, 0), count - 1);
    player.renew();
  }

  /** @param {number} index */
  function remove(index) {
    if (index < 0) return tell("No segment is chosen, and none is here.");
    selected = -1;
    change(history.now.filter((_, k) => k !== index), `Segment ${index + 1} is deleted.`);
  }

  /** @param {Segment[]} some */
  function accept(some) {
    if (!some.length) return;
    change(merged([...history.now, ...some]), some.length > 1 ? `${some.length} suggestions accepted.` : "Suggestion accepted.");
    selected = indexAt(history.now, some[0].start_s);
    draw();
  }

  /** @param {History} there @param {string} says */
  function travel(there, says) {
    if (there.now === history.now) return;
    history = there;
    changed(says);
  }

  /** @param {string} action @param {boolean} [isRepeat] */
  function act(action, isRepeat = false) {
    try {
      ACTIONS[action](isRepeat);
    } catch (error) {
      tell(/** @type {Error} */ (error).message);
    }
  }

  // ── keys and buttons ──

  const listen = (/** @type {EventTarget} */ target, /** @type {string} */ event, /** @type {(event: any) => void} */ handler, options = {}) =>
    target.addEventListener(event, handler, { signal, ...options });

  const isTyping = (/** @type {any} */ target) => target.matches("input, select");

  // JupyterLab has commands on A, B, X … and hears of keys before any element does, unless this attribute forbids it.
  // Ctrl S and its like stay with the notebook.
  const isForNotebook = (/** @type {KeyboardEvent} */ event) =>
    (event.ctrlKey || event.metaKey) && !actionOf(event) && !isTyping(event.target);
  listen(window, "keydown", (event) => {
    if (!root.contains(event.target)) return;
    if (isForNotebook(event)) root.removeAttribute("data-lm-suppress-shortcuts");
    else root.setAttribute("data-lm-suppress-shortcuts", "true");
  }, { capture: true });

  listen(root, "keydown", (event) => {
    if (isForNotebook(event)) return;
    event.stopPropagation();
    if (isTyping(event.target)) {
      if (event.key === "Enter" || event.key === "Escape") root.focus();
      return;
    }
    const { index, side } = event.target.dataset;
    if (side && (event.key === "ArrowLeft" || event.key === "ArrowRight")) {
      event.preventDefault();
      isKeyDown = true;
      return nudge(Number(index), side, (event.key === "ArrowLeft" ? -1 : 1) * (event.shiftKey ? 10 : 1), event.repeat);
    }
    const isOwn = event.target.tagName === "BUTTON" && (event.key === " " || event.key === "Enter");
    const action = isOwn ? "" : actionOf(event);
    if (!action) return;
    event.preventDefault();
    isKeyDown = true;
    act(action, event.repeat);
  });
  const keyUp = () => {
    isKeyDown = false;
    send();
  };
  listen(root, "keyup", (event) => {
    event.stopPropagation();
    keyUp();
  });
  listen(root, "focusout", keyUp);

  /** Move an edge by frames, by key. @param {number} index @param {"start_s" | "end_s"} side @param {number} by
   * @param {boolean} isRepeat */
  function nudge(index, side, by, isRepeat) {
    const to = nearestEdge(edges, history.now[index][side]) + by;
    selected = index;
    try {
      change(moveEdge(history.now, index, side, to, edges), `Segment ${index + 1} changed.`, isRepeat);
    } catch (error) {
      return tell(/** @type {Error} */ (error).message);
    }
    player.show(to - (side === "end_s" ? 1 : 0));
  }

  listen(root, "click", (event) => {
    const action = event.target.closest("[data-action]")?.dataset.action;
    if (!action) return;
    act(action);
    if (event.detail) root.focus({ preventScroll: true }); // clicked, not pressed by key: Space is play again
  });
  for (const picture of [page.video, page.still]) listen(picture, "click", () => act("play"));
  listen(page.help, "click", () => act("escape"));
  for (const select of [page.speed, page.sound])
    listen(select, "change", () => {
      player.renew();
      root.focus();
    });

  listen(page.rows, "click", (event) => {
    const row = event.target.closest("tr");
    if (event.target.closest(".w2l-remove")) remove(Number(row.dataset.index));
    else if (row) choose(Number(row.dataset.index));
  });
  listen(page.rows, "change", (event) => {
    const index = Number(event.target.closest("tr").dataset.index);
    try {
      const to = nearestEdge(edges, parseTime(event.target.value));
      selected = index;
      change(moveEdge(history.now, index, event.target.dataset.side, to, edges), `Segment ${index + 1} changed.`);
    } catch (error) {
      tell(/** @type {Error} */ (error).message);
    }
    event.target.value = formatTime(history.now[index]?.[event.target.dataset.side] ?? 0, 3);
  });

  // ── the pointer on the timeline ──

  const timeAt = (/** @type {PointerEvent} */ event) =>
    Math.min(Math.max((event.clientX - inner.getBoundingClientRect().left) / px_per_s(), 0), scene.end_s);

  /** The edge meant by the pointer: a frame's, drawn to what lies near unless Alt is held. @param {PointerEvent} event */
  function edgeAt(event) {
    const time_s = timeAt(event);
    if (event.altKey) return nearestEdge(edges, time_s);
    const others = drag.base.filter((/** @type {Segment} */ _, /** @type {number} */ k) => k !== drag.index);
    const near = [drag.head_s, ...scene.cuts_s, ...[...suggestions, ...others].flatMap((s) => [s.start_s, s.end_s])];
    return nearestEdge(edges, snapTo(near, time_s, SNAP_PX / px_per_s()));
  }

  listen(inner, "pointerdown", (event) => {
    if (event.button !== 0 || event.target.closest(".w2l-suggestion")) return;
    root.focus({ preventScroll: true });
    event.preventDefault();
    inner.setPointerCapture(event.pointerId);
    player.pause();
    const { index, side } = event.target.dataset;
    const y = event.clientY - inner.getBoundingClientRect().top;
    const isLane = y >= LANES.segments[0] - 2 && y < LANES.segments[0] + LANES.segments[1] + 2;
    const kind = side ? "edge" : index ? "bar" : isLane ? "new" : "scrub";
    drag = { kind, side, index: Number(index ?? -1), base: history.now, x: event.clientX, hasMoved: false, head_s: frame_s() };
    drag.from = edgeAt(event);
    if (kind === "scrub") player.show(frameAt(edges, timeAt(event)));
  });

  listen(inner, "pointermove", (event) => {
    if (!drag) return;
    if (drag.kind === "scrub") return player.show(frameAt(edges, timeAt(event)));
    drag.hasMoved ||= Math.abs(event.clientX - drag.x) > DRAG_PX;
    if (!drag.hasMoved) return;
    const { kind, index, side, base } = drag;
    const to = edgeAt(event);
    try {
      if (kind === "edge") {
        draft = moveEdge(base, index, side, to, edges);
        player.show(side === "end_s" ? Math.max(to - 1, nearestEdge(edges, base[index].start_s)) : Math.min(to, nearestEdge(edges, base[index].end_s) - 1));
      } else if (kind === "bar") {
        draft = moveSegment(base, index, nearestEdge(edges, timeAt(event)) - drag.from, edges);
      } else if (to !== drag.from) {
        draft = merged([...base, manual(edges[Math.min(drag.from, to)], edges[Math.max(drag.from, to)])]);
        player.show(to > drag.from ? to - 1 : to);
      }
      draw();
    } catch (error) {
      tell(/** @type {Error} */ (error).message);
    }
  });

  const endDrag = (/** @type {PointerEvent} */ event) => {
    if (!drag) return;
    const [{ kind, index, hasMoved, base }, next] = [drag, draft];
    drag = draft = null;
    if (next) {
      const fresh = next.find((s) => !base.includes(s));
      selected = fresh ? next.indexOf(fresh) : selected;
      return change(next, fresh ? `Marked ${formatTime(fresh.start_s)}–${formatTime(fresh.end_s)}.` : "Changed.");
    }
    if (hasMoved || kind === "scrub") return;
    selected = index;
    player.show(frameAt(edges, timeAt(event)));
    draw();
  };
  listen(inner, "pointerup", endDrag);
  listen(inner, "pointercancel", () => {
    drag = draft = null;
    draw();
  });
  listen(inner, "click", (event) => {
    const mark = event.target.closest(".w2l-suggestion");
    if (mark && !mark.disabled) accept([suggestions[[...inner.querySelectorAll(".w2l-suggestion")].indexOf(mark)]]);
  });
  listen(scroll, "scroll", drawCanvas);
  listen(scroll, "wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    zoomBy(event.deltaY < 0 ? 1.2 : 1 / 1.2, event.clientX - scroll.getBoundingClientRect().left);
  }, { passive: false });

  // ── beginning and end ──

  createImageBitmap(new Blob([bytesOf(model.get("thumbs"))], { type: "image/jpeg" })).then((bitmap) => {
    thumbs = bitmap;
    drawCanvas();
  });
  const sizes = new ResizeObserver(drawCanvas);
  sizes.observe(scroll);
  const themes = new MutationObserver(drawCanvas);
  for (const element of [document.documentElement, document.body]) themes.observe(element, { attributes: true });
  model.on("change:held", takeHeld);
  model.on("change:presence change:suggestions", takeFace);
  setBadge("saved", "Saved");
  drawPlay();
  draw();
  return () => {
    ending.abort();
    sizes.disconnect();
    themes.disconnect();
    model.off("change:held", takeHeld);
    model.off("change:presence change:suggestions", takeFace);
    for (const timer of [slowTimer, toldTimer, lastTold]) window.clearTimeout(timer);
  };
}

export default { render };
