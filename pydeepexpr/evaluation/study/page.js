"use strict";

// The screens and what people do on them; `state`, `asked` and `result` are of session.js.

const byId = (name) => document.getElementById(name);
const screens = ["start", "asking", "end"];
const ordinals = ["1st", "2nd", "3rd", "4th", "5th", "6th", "7th", "8th", "9th"];

let order = []; // of the faces tapped so far
let seen = 0; // how long the question was in view, in milliseconds, …
let since = 0; // … until it came into view the last time

const current = () => asked.questions[state.at];
const given = () => state.answers[current().id];

// ---- screens

function show(screen) {
  state.screen = screen;
  save();
  for (const name of screens) byId(name).hidden = name !== screen;
  scrollTo(0, 0);
  ({ start: showStart, asking: showQuestion, end: showEnd })[screen]();
}

function showStart() {
  const number = asked.questions.length;
  const minutes = Math.max(1, Math.ceil((number * (ranking ? 25 : 7)) / 60));
  byId("task").textContent = ranking
    ? `You will see a photograph of a face and, below it, ${study.questions[0].pictures.length} faces of a character. Put these into order: first the one whose expression is the most like the photograph’s, last the least. There is no right or wrong: your own impression counts.`
    : "You will see faces, one at a time. Choose the word that says best what the face expresses. There is no right or wrong: your first impression counts.";
  byId("length").textContent = `${number} questions, about ${minutes} minute${minutes > 1 ? "s" : ""}.` + (study.checks.length ? " A few only check that you are reading: they say what to answer." : "");
  byId("whither").textContent = submitTo
    ? "Your answers go to Mechanical Turk when you submit them at the end, and nowhere before."
    : "Nothing is sent anywhere. Your answers stay on this device until you save them to a file at the end, and send it yourself.";
  byId("contact").hidden = !study.contact;
  byId("preview").hidden = !preview;
  byId("begin").hidden = preview;
  byId("naming").hidden = Boolean(url.get("workerId"));
}

function showQuestion() {
  const question = current();
  const number = state.at + 1;
  byId("place").textContent = `Question ${number} of ${asked.questions.length}`;
  byId("progress").value = state.at / asked.questions.length;
  byId("asking").classList.toggle("check", "wanted" in question);
  byId("prompt").textContent = prompt(question);
  byId("back").disabled = state.at === 0;
  byId("undo").hidden = !ranking;
  order = given() && ranking ? given().order.slice() : [];
  byId("question").replaceChildren(...(ranking ? facesToRank(question) : faceAndWords(question)));
  byId("keys").textContent = ranking
    ? `Keys: 1–${question.pictures.length} tap a face · Backspace undoes · Enter goes on · ← goes back`
    : `Keys: 1–${asked.words.length} choose a word · ← goes back`;
  update();
  seen = 0;
  since = performance.now();
  byId("prompt").focus({ preventScroll: true });
  say(`Question ${number} of ${asked.questions.length}`);
}

function prompt(question) {
  if (!("wanted" in question)) return ranking ? "Tap the faces in order: the expression most like the photograph’s first" : "What does this face express?";
  return ranking ? "This is a check: tap the faces in the order of the numbers on them" : `This is a check: choose ${question.wanted}`;
}

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function picture(name, said) {
  return element("img", { src: study.pictures[name], alt: said, draggable: "false" });
}

function faceAndWords(question) {
  const words = asked.words.map((word, at) => {
    const button = element("button", { "data-word": word }, element("kbd", { "aria-hidden": "true" }, String(at + 1)), word);
    button.onclick = () => choose(word);
    return button;
  });
  return [element("div", { class: "face" }, picture(question.pictures[0], "The face")), element("div", { class: "words", role: "group", "aria-label": "Expressions" }, ...words)];
}

function facesToRank(question) {
  const faces = question.pictures.map((name) => {
    const below = element("span", { class: "below", "aria-hidden": "true" });
    const button = element("button", { "data-face": name }, picture(name, ""), below);
    if ("wanted" in question) button.append(element("span", { class: "number", "aria-hidden": "true" }, String(question.wanted.indexOf(name) + 1)));
    button.onclick = () => tap(name);
    return button;
  });
  const shown = [element("div", { class: "faces", role: "group", "aria-label": "Faces to put into order" }, ...faces)];
  if (question.query) shown.unshift(element("div", { class: "face query" }, picture(question.query, "The photograph")));
  return shown;
}

// Show what is chosen so far; the question stays as it is, so that the focus does, too.
function update() {
  for (const button of byId("question").querySelectorAll("[data-word]")) {
    button.setAttribute("aria-pressed", String(Boolean(given()) && given().choice === button.dataset.word));
  }
  const question = current();
  for (const button of byId("question").querySelectorAll("[data-face]")) {
    const rank = order.indexOf(button.dataset.face);
    const place = question.pictures.indexOf(button.dataset.face) + 1;
    const mark = "wanted" in question ? `, with the number ${question.wanted.indexOf(button.dataset.face) + 1}` : "";
    button.setAttribute("aria-pressed", String(rank >= 0));
    button.setAttribute("aria-label", `Face ${place}${mark}` + (rank >= 0 ? `, placed ${ordinals[rank]}` : ""));
    button.querySelector(".below").replaceChildren(rank >= 0 ? ordinals[rank] : element("kbd", {}, String(place)));
  }
  byId("undo").disabled = !order.length;
  byId("next").hidden = !ranking && !given();
  byId("next").disabled = !complete();
}

function say(what) {
  byId("said").textContent = what;
}

// ---- answering

const complete = () => (ranking ? order.length === current().pictures.length : Boolean(given()));

function record(answer) {
  const now = performance.now();
  const seconds = (given() ? given().seconds : 0) + (seen + now - since) / 1000;
  [seen, since] = [0, now];
  state.answers[current().id] = { ...answer, seconds: Math.round(seconds * 100) / 100 };
}

function choose(word) {
  record({ choice: word });
  update();
  next();
}

function tap(name) {
  const rank = order.indexOf(name);
  if (rank < 0) order.push(name);
  else order.splice(rank, 1);
  update();
  const face = `Face ${current().pictures.indexOf(name) + 1}`;
  say(rank < 0 ? `${face} placed ${ordinals[order.length - 1]}` : `${face} taken back`);
}

function undo() {
  if (order.length) tap(order[order.length - 1]);
}

// An order counts as soon as it is whole, whichever way the question is left.
function keepOrder() {
  if (ranking && complete()) record({ order: order.slice() });
}

function next() {
  if (!complete()) return;
  keepOrder();
  if (state.at + 1 < asked.questions.length) {
    state.at += 1;
    show("asking");
  } else {
    finish();
  }
}

function back() {
  if (state.at === 0) return;
  keepOrder();
  state.at -= 1;
  show("asking");
}

function finish() {
  keepOrder();
  state.finished = new Date().toISOString();
  show("end");
}

// ---- the end

function showEnd() {
  const all = result();
  const text = JSON.stringify(all, null, 1);
  const missing = asked.questions.length - all.answers.length;
  byId("thanks").textContent = missing ? "Stop here?" : "Thank you!";
  byId("summary").textContent = missing
    ? `You have answered ${all.answers.length} of ${asked.questions.length} questions. What you have answered counts; or go back to the questions and continue.`
    : `All ${asked.questions.length} questions are answered. One step is left:`;
  byId("turk").hidden = !submitTo;
  byId("saving").hidden = Boolean(submitTo);
  byId("again").hidden = Boolean(submitTo);
  byId("send").textContent = study.contact ? `Save the answers to a file, and send it to ${study.contact}.` : "Save the answers to a file, and send it to whoever gave you this page.";
  if (submitTo) {
    byId("turk").action = submitTo;
    byId("assignment").value = assignment;
    byId("posted").value = JSON.stringify(all);
  }
  byId("text").value = text;
  byId("thanks").focus({ preventScroll: true });
}

function download(text, kind, ending) {
  const link = element("a", { href: URL.createObjectURL(new Blob([text], { type: kind })), download: `answers-${state.session}.${ending}` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  say("Saved");
}

async function copy() {
  try {
    await navigator.clipboard.writeText(byId("text").value);
  } catch {
    byId("text").select();
    document.execCommand("copy");
  }
  byId("copy").textContent = "Copied";
}

// ---- what people do

byId("begin").onsubmit = (event) => {
  event.preventDefault();
  if (preview) return;
  state.rater = url.get("workerId") || byId("rater").value.trim();
  show("asking");
};
byId("back").onclick = back;
byId("undo").onclick = undo;
byId("next").onclick = next;
byId("stop").onclick = finish;
byId("return").onclick = () => {
  state.finished = null;
  show("asking");
};
byId("json").onclick = () => download(JSON.stringify(result(), null, 1) + "\n", "application/json", "json");
byId("csv").onclick = () => download(asCsv(result()), "text/csv", "csv");
byId("copy").onclick = copy;
byId("again").onclick = () => {
  if (!confirm("Are the answers saved? They are removed from this device, and somebody else begins.")) return;
  state = newSession();
  asked = plan(state.seed);
  byId("rater").value = "";
  byId("copy").textContent = "Copy the text";
  show("start");
};

document.addEventListener("keydown", (event) => {
  if (state.screen !== "asking" || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  const onControl = document.activeElement.matches(ranking ? "header button, footer button" : "button");
  const number = Number(event.key);
  if (/^[1-9]$/.test(event.key)) {
    if (ranking && number <= current().pictures.length) tap(current().pictures[number - 1]);
    else if (!ranking && number <= asked.words.length) choose(asked.words[number - 1]);
  } else if (event.key === "Backspace" && ranking) {
    undo();
  } else if (event.key === "ArrowLeft") {
    back();
  } else if (event.key === "Enter" && complete() && !onControl) {
    next();
  } else {
    return;
  }
  event.preventDefault();
});

// Time does not count while the page is out of sight.
document.addEventListener("visibilitychange", () => {
  const now = performance.now();
  if (document.hidden) seen += now - since;
  since = now;
});

show(preview ? "start" : state.screen);
