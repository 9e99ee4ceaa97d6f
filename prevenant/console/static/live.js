// Follows the story for every page. Pages hear it as events of the body:
//   story         each line, as `event.detail`
//   story-case-7  the same, of one case
//   moved         something has changed: fetch what you show anew; at once, and then not too often
//   link          whether the story is being followed, as `event.detail.on`
// All windows of one person share one stream: a browser keeps only six connections to a server open.
"use strict";

(() => {
  const body = document.body;
  const tell = (name, detail) => body.dispatchEvent(new CustomEvent(name, { detail }));
  const HIDDEN_PAUSE_MS = 5000;
  const QUIET_MS = 30000;
  let waiting = null;
  let last = 0;
  let pace = 300;

  function move() {
    if (waiting !== null) return;
    // Hundreds of windows hear of the same change: they do not all ask in the same moment, and less often
    // the more there are.
    const pause = (document.hidden ? HIDDEN_PAUSE_MS : pace) * (1 + Math.random() / 2);
    const rest = Math.max((pace / 4) * Math.random(), last + pause - performance.now());
    waiting = setTimeout(() => {
      waiting = null;
      last = performance.now();
      tell("moved");
    }, rest);
  }

  function hear({ on, entry }) {
    if (on !== undefined) {
      tell("link", { on });
      if (on) move();
    }
    if (entry) {
      tell("story", entry);
      if (entry.case) tell("story-case-" + entry.case, entry);
      move();
    }
  }

  function followAlone(after) {
    const stream = new EventSource("/api/v1/live?after=" + after);
    stream.onopen = () => hear({ on: true });
    stream.onerror = () => hear({ on: false });
    stream.addEventListener("story", (event) => hear({ entry: JSON.parse(event.data) }));
  }

  function follow() {
    const after = Number(body.dataset.newest || document.querySelector("[data-newest]")?.dataset.newest || -1);
    const who = body.dataset.actor;
    if (window.SharedWorker) {
      const worker = new SharedWorker("/static/live_worker.js?" + new URLSearchParams({ who }));
      // One that could not be loaded says nothing, ever.
      worker.onerror = () => followAlone(after);
      worker.port.onmessage = (message) => hear(message.data);
      worker.port.postMessage({ after });
      window.addEventListener("pagehide", () => worker.port.postMessage({ gone: true }));
      // A page that comes out of the browser's memory has missed what happened meanwhile.
      window.addEventListener("pageshow", (shown) => { if (shown.persisted) location.reload(); });
    } else followAlone(after);
  }

  // By how many windows there are, the server says how often each should ask.
  body.addEventListener("pace", (event) => { pace = event.detail.ms; });
  // What was fetched is older than the story: the server makes the next one just now. A server that is slow
  // to answer is not asked the sooner for it.
  body.addEventListener("behind", () => { last = performance.now(); move(); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) move(); });
  // What is shown tells ages, which grow also while nothing happens.
  setInterval(() => { if (performance.now() - last > QUIET_MS) move(); }, QUIET_MS / 3);
  // Not before every script of the page listens: one that comes later would not hear that it is followed.
  document.addEventListener("DOMContentLoaded", follow);
})();
