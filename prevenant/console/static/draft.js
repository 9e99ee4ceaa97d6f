// The editor of the rule book: numbers the lines, marks those that a check has found, and leads to them.
"use strict";

const editor = document.querySelector(".editor");
const gutter = editor.querySelector(".gutter");
const area = editor.querySelector("textarea");
const place = document.getElementById("place");
const found = document.getElementById("found");
const form = document.getElementById("draft");
let lines = 0;
let saved = area.value;

function count() {
  const now = area.value.split("\n").length;
  if (now === lines) return;
  gutter.replaceChildren(...Array.from({ length: now }, (_, index) => {
    const number = document.createElement("span");
    number.textContent = index + 1;
    return number;
  }));
  lines = now;
  mark();
}

function mark() {
  for (const number of gutter.children) number.removeAttribute("class");
  for (const one of found.querySelectorAll("[data-line]")) {
    const number = gutter.children[one.dataset.line - 1];
    if (one.dataset.file === editor.dataset.file && number) number.className = one.className;
  }
}

function go(line, column) {
  const before = area.value.split("\n").slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
  const at = Math.min(before + column - 1, area.value.length);
  area.focus();
  area.setSelectionRange(at, at);
  area.scrollTop = (line - 6) * (area.scrollHeight / lines);
  tell();
}

function tell() {
  const before = area.value.slice(0, area.selectionStart).split("\n");
  place.textContent = before.length + ":" + (before.at(-1).length + 1);
}

area.addEventListener("input", count);
area.addEventListener("scroll", () => { gutter.scrollTop = area.scrollTop; });
for (const event of ["click", "keyup", "focus"]) area.addEventListener(event, tell);
area.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === "s") {
    event.preventDefault();
    form.querySelector("[hx-post]").click();
  }
});
found.addEventListener("click", (event) => {
  const one = event.target.closest("[data-line]");
  if (!event.target.closest("a") || !one || one.dataset.file !== editor.dataset.file) return;
  event.preventDefault();
  go(Number(one.dataset.line), Number(one.dataset.column));
});
let sent = saved;
document.body.addEventListener("htmx:beforeRequest", () => { sent = area.value; });
document.body.addEventListener("htmx:afterSwap", (event) => {
  if (event.target !== found) return;
  saved = sent;
  mark();
});
form.addEventListener("submit", () => { saved = area.value; });
addEventListener("beforeunload", (event) => {
  if (area.value !== saved) event.preventDefault();
});
count();
tell();
const asked = /^#line-(\d+)$/.exec(location.hash);
if (asked) go(Number(asked[1]), 1);
