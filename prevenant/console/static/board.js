// The board: puts each line of the story on top as it happens, asks in a dialog, and keeps the keyboard's place.
"use strict";

(() => {
  const body = document.body;
  const board = document.getElementById("board");
  const story = document.getElementById("story");
  const link = document.getElementById("link");
  const template = document.getElementById("line");
  const dialog = document.getElementById("dialog");
  const LINES = 120;
  let fresh = [];

  function makeLine(entry) {
    const line = template.content.firstElementChild.cloneNode(true);
    line.classList.add(entry.kind.replaceAll(".", "-"), "k-" + entry.kind.split(".")[0], "fresh");
    const time = line.querySelector("time");
    time.dateTime = entry.at;
    time.textContent = entry.time;
    line.querySelector(".kind").textContent = kinds[entry.kind] || entry.kind.replaceAll(".", " ").replaceAll("_", " ");
    line.querySelector(".text").textContent = entry.summary;
    const of = line.querySelector(".case");
    if (entry.case) {
      of.href = "/cases/" + entry.case;
      of.textContent = "#" + entry.case;
    } else {
      of.remove();
    }
    // The words of a message stand with its hand-over; its receipt needs them no second time.
    if (entry.detail.text && entry.kind !== "message.delivered") {
      const quote = document.createElement("blockquote");
      quote.textContent = entry.detail.text;
      line.append(quote);
    }
    return line;
  }

  const kinds = JSON.parse(document.getElementById("kinds").textContent);

  function showFresh() {
    const lines = fresh.slice(-LINES).reverse().map(makeLine);
    fresh = [];
    story.querySelector(".empty")?.remove();
    story.prepend(...lines);
    while (story.children.length > LINES) story.lastElementChild.remove();
  }

  body.addEventListener("story", (event) => {
    // In a storm there are hundreds of lines in a second: they are drawn together.
    if (!fresh.length) requestAnimationFrame(showFresh);
    fresh.push(event.detail);
  });
  body.addEventListener("link", (event) => {
    link.textContent = event.detail.on ? board.dataset.live : board.dataset.connecting;
    link.classList.toggle("on", event.detail.on);
  });

  let used = "";
  document.addEventListener("click", (event) => {
    const button = event.target.closest(".card button, .card a");
    if (button) used = button.closest(".card").id;
    if (event.target.closest("[data-close]") && dialog.open) {
      event.preventDefault();
      dialog.close();
    }
  });
  body.addEventListener("htmx:afterSettle", (event) => {
    if (event.detail.target?.id === "asked" && !dialog.open) dialog.showModal();
    // Where the button that somebody has pressed is gone, its card keeps their place.
    if (used && document.activeElement === body) {
      document.getElementById(used)?.querySelector("a")?.focus();
      used = "";
    }
  });
  const filters = document.querySelector(".filters");
  document.addEventListener("click", (event) => { if (!filters.contains(event.target)) filters.open = false; });
  filters.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    filters.open = false;
    filters.querySelector("summary").focus();
  });
})();
