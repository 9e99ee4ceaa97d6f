// Keeps marked parts of a page up to date: when the story goes on (live.js), the page is fetched again and
// these parts are morphed into what they have become. What somebody is writing in is left alone.
"use strict";

(() => {
  const page = document.querySelector("[data-follow]");
  if (!page) return;
  const EVERY_MS = 1000;
  const about = page.dataset.follow;
  let waiting = null;
  let last = 0;

  const isBusy = (part) =>
    part.matches(":focus-within") && document.activeElement.matches("input, textarea, select")
    || [...part.querySelectorAll("input:not([type=hidden]), textarea")].some((one) => one.value !== one.defaultValue);

  async function refresh() {
    waiting = null;
    last = performance.now();
    const answer = await fetch(location.href, { redirect: "manual", headers: { "X-Follow": "1" } });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll("[data-part]")) {
      const next = fresh.getElementById(part.id);
      if (!next || isBusy(part)) continue;
      Idiomorph.morph(part, next, { callbacks: { beforeAttributeUpdated: (name) => name !== "open" } });
    }
    document.body.dispatchEvent(new CustomEvent("refreshed"));
  }

  function move() {
    waiting ??= setTimeout(refresh, Math.max(150, last + EVERY_MS - performance.now()));
  }

  if (about === "all") {
    document.body.addEventListener("moved", move);
  } else {
    document.body.addEventListener("story", ({ detail }) => {
      const names = ["case-" + detail.case, "alarm-" + detail.alarm];
      if (names.some((one) => about.split(" ").includes(one))) move();
    });
  }
})();
