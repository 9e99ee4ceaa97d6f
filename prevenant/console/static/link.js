// Keeps a page by link true: it is fetched anew when its case has news, and once a minute.
"use strict";

const MINUTE_MS = 60000;
const SECOND_MS = 1000;
const page = document.body;
const busy = () => {
  const field = document.activeElement;
  const writes = field && ["INPUT", "TEXTAREA", "SELECT"].includes(field.tagName) && field.type !== "hidden";
  return writes || page.dataset.touched === "yes" || page.querySelector("#rest details[open]") !== null;
};

page.addEventListener("input", () => { page.dataset.touched = "yes"; });
page.addEventListener("submit", (event) => {
  // A second press while the first is under way is none.
  for (const button of event.target.querySelectorAll("button")) button.setAttribute("aria-disabled", "true");
  if (event.target.dataset.sent === "yes") event.preventDefault();
  event.target.dataset.sent = "yes";
});
window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

function put(id, fresh) {
  const old = document.getElementById(id);
  const made = fresh.getElementById(id);
  if (!old || !made || old.innerHTML === made.innerHTML) return;
  old.replaceChildren(...document.importNode(made, true).childNodes);
}

const waits = () => document.getElementById("said")?.dataset.said === "waiting";

async function refresh() {
  if (document.visibilityState !== "visible") return;
  // The address of a page that waits says for what: once that is known, it is told in its place.
  const waited = waits();
  const answer = await fetch(page.dataset.base + (waited ? location.search : ""), { redirect: "manual" }).catch(() => null);
  if (!answer) return;
  if (answer.status === 404 || answer.status === 410) { location.reload(); return; }
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  put("now", fresh);
  // Whoever writes a question meanwhile goes on writing.
  put("talk", fresh);
  const outcome = fresh.getElementById("said");
  const told = waited && outcome?.dataset.said !== "waiting";
  if (told) document.getElementById("said")?.replaceWith(...(outcome ? [document.importNode(outcome, true)] : []));
  const news = document.getElementById("news");
  if (page.dataset.state === fresh.body.dataset.state) return;
  if (!told) document.querySelector("#said.notice")?.remove();
  if (busy()) { if (news) news.hidden = false; return; }
  page.dataset.state = fresh.body.dataset.state;
  put("rest", fresh);
}

if (page.dataset.base) {
  const events = new EventSource(page.dataset.base + "/news");
  events.addEventListener("news", refresh);
  setInterval(refresh, MINUTE_MS);
  document.addEventListener("visibilitychange", refresh);
  const looks = setInterval(() => { if (waits()) refresh(); else clearInterval(looks); }, SECOND_MS);
}
