"use strict";

// A session: what is asked in which order, and what was answered.

const study = JSON.parse(document.getElementById("study").textContent);
const ranking = study.kind === "ranking";
const url = new URLSearchParams(location.search);

// What Mechanical Turk puts into the address; a preview may be looked at, not answered.
const assignment = url.get("assignmentId") || "";
const preview = assignment === "ASSIGNMENT_ID_NOT_AVAILABLE";
const submitTo = turkAddress();

// ---- the order of things, drawn by a seed that is saved with the answers

// Numbers from 0 to 1 that follow from 32 bits, by Marsaglia's xorshift (2003).
function lottery(seed) {
  let bits = seed || 1;
  return () => {
    bits ^= bits << 13;
    bits ^= bits >>> 17;
    bits ^= bits << 5;
    return (bits >>> 0) / 2 ** 32;
  };
}

function shuffled(things, lot) {
  const result = things.slice();
  for (let last = result.length - 1; last > 0; last--) {
    const other = Math.floor(lot() * (last + 1));
    [result[last], result[other]] = [result[other], result[last]];
  }
  return result;
}

// One session's questions in their order, with attention checks evenly strewn in, never first; and the order of the words.
function plan(seed) {
  const lot = lottery(seed);
  const words = shuffled(study.expressions, lot);
  const asked = shuffled(study.questions, lot).slice(0, study.most || study.questions.length);
  const result = asked.map((question) => ({ ...question, pictures: shuffled(question.pictures, lot) }));
  shuffled(study.checks, lot).forEach((check, number, all) => {
    const place = Math.max(1, Math.round(((number + 0.3 + 0.4 * lot()) * asked.length) / all.length));
    result.splice(place + number, 0, { ...check, pictures: shuffled(check.pictures, lot) });
  });
  return { words, questions: result };
}

// ---- the session, which survives a reload where the browser lets it

const shelf = ["deepexpr-study", study.page, url.get("workerId") || "", assignment].join(":");

function newSession() {
  const random = crypto.getRandomValues(new Uint32Array(2));
  const started = new Date().toISOString();
  const name = started.slice(0, 19).replace(/[-:]/g, "") + "-" + random[1].toString(16).padStart(8, "0");
  const rater = url.get("workerId") || "";
  return { session: name, seed: random[0], rater, started, finished: null, screen: "start", at: 0, answers: {} };
}

function load() {
  try {
    return JSON.parse(localStorage.getItem(shelf)) || newSession();
  } catch {
    return newSession();
  }
}

function save() {
  try {
    localStorage.setItem(shelf, JSON.stringify(state));
  } catch {
    // without a store the session lasts as long as the page
  }
}

let state = load();
let asked = plan(state.seed);

// ---- what is saved and sent

function result() {
  const answers = [];
  asked.questions.forEach((question, at) => {
    const answer = state.answers[question.id];
    if (answer) answers.push({ question: question.id, position: at + 1, ...answer, ...(ranking ? { shown: question.pictures } : {}) });
  });
  const { session, rater, seed, started, finished } = state;
  return { version: 1, study: study.study, kind: study.kind, session, rater, seed, started, finished, ...(ranking ? {} : { words: asked.words }), answers };
}

function asCsv(all) {
  const cell = (value) => (/[",\r\n]/.test(String(value)) ? `"${String(value).replace(/"/g, '""')}"` : String(value));
  const rows = all.answers.map((one) => [all.study, all.rater, all.session, one.question, one.position, one.choice || "", (one.order || []).join(" "), one.seconds]);
  return [study.columns, ...rows].map((row) => row.map(cell).join(",") + "\r\n").join("");
}

function turkAddress() {
  const given = url.get("turkSubmitTo");
  if (!assignment || preview || !given) return "";
  try {
    const address = new URL(given);
    return /^https?:$/.test(address.protocol) ? address.href.replace(/\/+$/, "") + "/mturk/externalSubmit" : "";
  } catch {
    return "";
  }
}
