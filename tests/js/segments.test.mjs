// The picker's time and interval logic, on the cases that pytest runs on Segments; and its edits.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as picker from "../../wav2lip_kit/widgets/timestamp_picker.mjs";

const CASES = JSON.parse(readFileSync(new URL("../data/segment_cases.json", import.meta.url), "utf8"));

const of = (pairs) => pairs.map(([start_s, end_s]) => picker.manual(start_s, end_s));
const pairs = (segments) => segments.map((s) => [s.start_s, s.end_s]);
const close = (found, wanted) => {
  assert.equal(found.length, wanted.length, JSON.stringify(found));
  found.flat().forEach((value, k) => assert.ok(Math.abs(value - wanted.flat()[k]) < 1e-9, JSON.stringify(found)));
};

const RUNS = {
  parse_time: (c) => close([picker.parseTime(c.text)], [c.time_s]),
  format_time: (c) => assert.deepEqual([picker.formatTime(c.time_s), picker.formatClock(c.time_s)], [c.text, c.clock]),
  merged: (c) => close(pairs(picker.merged(of(c.segments))), c.result),
  gaps: (c) => close(picker.gaps(of(c.segments), c.start_s, c.end_s), c.result),
  subtract: (c) => close(pairs(picker.subtract(of(c.segments), of(c.other))), c.result),
  snap: (c) => close(pairs(picker.snap(of(c.segments), c.end_s === null ? c.times_s : [...c.times_s, c.end_s])), c.result),
};

for (const [name, run] of Object.entries(RUNS))
  CASES[name].forEach((c, k) => test(`${name} ${k}`, () => (c.error ? assert.throws(() => run(c)) : run(c))));

const EDGES = [0, 0.5, 1, 1.5, 2, 2.5, 3];

test("frames: the one on screen, and the nearest edge", () => {
  assert.deepEqual([-1, 0, 0.49, 0.5, 2.9, 3, 99].map((t) => picker.frameAt(EDGES, t)), [0, 0, 0, 1, 5, 5, 5]);
  assert.deepEqual([-1, 0.25, 0.26, 2.9, 99].map((t) => picker.nearestEdge(EDGES, t)), [0, 0, 1, 6, 6]);
});

test("joined segments keep who marked them", () => {
  const auto = { ...picker.manual(0, 2), source: "auto", score: 0.5, speaker: "a" };
  const [both] = picker.merged([auto, picker.manual(1, 3)]);
  assert.deepEqual(both, { start_s: 0, end_s: 3, speaker: "a", audio: "", source: "manual", score: 0.5 });
  assert.throws(() => picker.merged([auto, { ...picker.manual(1, 3), speaker: "b" }]), /speaker/);
});

test("an edge stays a frame from the other, and joins what it meets", () => {
  const segments = of([[0.5, 1], [2, 3]]);
  assert.deepEqual(pairs(picker.moveEdge(segments, 0, "end_s", 3, EDGES)), [[0.5, 1.5], [2, 3]]);
  assert.deepEqual(pairs(picker.moveEdge(segments, 0, "end_s", 0, EDGES)), [[0.5, 1], [2, 3]]);
  assert.deepEqual(pairs(picker.moveEdge(segments, 1, "start_s", 6, EDGES)), [[0.5, 1], [2.5, 3]]);
  assert.deepEqual(pairs(picker.moveEdge(segments, 0, "end_s", 5, EDGES)), [[0.5, 3]]);
  assert.deepEqual(pairs(picker.moveEdge(segments, 1, "end_s", 99, EDGES)), [[0.5, 1], [2, 3]]);
});

test("a segment moves whole, and stops at the ends", () => {
  const segments = of([[0.5, 1.5]]);
  assert.deepEqual(pairs(picker.moveSegment(segments, 0, 2, EDGES)), [[1.5, 2.5]]);
  assert.deepEqual(pairs(picker.moveSegment(segments, 0, -9, EDGES)), [[0, 1]]);
  assert.deepEqual(pairs(picker.moveSegment(segments, 0, 9, EDGES)), [[2, 3]]);
  assert.equal(picker.moveSegment(segments, 0, 0, EDGES), segments);
});

test("split, only inside", () => {
  const segments = of([[0.5, 1.5]]);
  assert.deepEqual(pairs(picker.splitAt(segments, 1)), [[0.5, 1], [1, 1.5]]);
  assert.deepEqual(pairs(picker.splitAt(segments, 0.5)), [[0.5, 1.5]]);
  assert.deepEqual(pairs(picker.splitAt(segments, 1.5)), [[0.5, 1.5]]);
});

test("suggestions are open until they are marked in full", () => {
  const suggestions = of([[0, 1], [1.5, 2.5]]);
  assert.deepEqual(pairs(picker.openSuggestions(suggestions, of([[0, 1], [1.5, 2]]))), [[1.5, 2.5]]);
  assert.deepEqual(picker.openSuggestions(suggestions, of([[0, 3]])), []);
});

test("undo and redo of 100 steps", () => {
  let history = picker.begin(of([]));
  for (let k = 1; k <= 150; k++) history = picker.push(history, of([[0, k]]));
  for (let k = 0; k < 200; k++) history = picker.undo(history);
  assert.deepEqual(pairs(history.now), [[0, 50]]);
  for (let k = 0; k < 200; k++) history = picker.redo(history);
  assert.deepEqual(pairs(history.now), [[0, 150]]);
  history = picker.push(picker.undo(history), of([[7, 8]]));
  assert.equal(history.future.length, 0);
});

test("keys", () => {
  const key = (key, more = {}) =>
    picker.actionOf({ key, code: "", shiftKey: false, ctrlKey: false, metaKey: false, altKey: false, ...more });
  assert.equal(key("i"), "in");
  assert.equal(key("I"), "in", "with caps lock");
  assert.equal(key("A", { shiftKey: true }), "acceptAll");
  assert.equal(key("z", { ctrlKey: true, code: "KeyY" }), "undo", "on a German keyboard");
  assert.equal(key("Z", { metaKey: true, shiftKey: true }), "redo");
  assert.equal(key("ш", { code: "KeyI" }), "in", "on a Russian keyboard");
  assert.equal(key("s", { ctrlKey: true }), "", "the notebook's own");
  assert.equal(key("x"), "");
  const told = new Set(picker.KEYS.map(([action]) => action));
  const known = [" ", "k", ",", ".", "i", "o", "b", "a", "?", "Escape", "Delete", "Home", "End", "j", "l", "s", "0"];
  for (const k of known) assert.ok(told.has(key(k)), k);
});
