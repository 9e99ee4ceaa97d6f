// Follows the story: each line is put on top as it happens, and the cases beside it are fetched anew.
"use strict";

const board = document.getElementById("board");
const story = document.getElementById("story");
const changing = document.getElementById("changing");
const link = document.getElementById("link");
const template = document.getElementById("line");
const LINES = 200;
let pending = null;

function addLine(entry) {
  const line = template.content.firstElementChild.cloneNode(true);
  line.classList.add(entry.kind.replaceAll(".", "-"), "k-" + entry.kind.split(".")[0], "fresh");
  const time = line.querySelector("time");
  time.dateTime = entry.at;
  time.textContent = entry.time;
  line.querySelector(".kind").textContent = entry.kind.replaceAll(".", " ").replaceAll("_", " ");
  line.querySelector(".text").textContent = entry.summary;
  const link = line.querySelector(".case");
  if (entry.case) {
    link.href = "/cases/" + entry.case;
    link.textContent = "#" + entry.case;
  } else {
    link.remove();
  }
  // The words of a message stand with its hand-over; its receipt needs them no second time.
  if (entry.detail.text && entry.kind !== "message.delivered") {
    const quote = document.createElement("blockquote");
    quote.textContent = entry.detail.text;
    line.append(quote);
  }
  story.querySelector(".empty")?.remove();
  story.prepend(line);
  while (story.children.length > LINES) story.lastElementChild.remove();
}

async function refresh() {
  pending = null;
  const answer = await fetch("/partials/board", { redirect: "manual" });
  if (answer.ok) changing.innerHTML = await answer.text();
}

const events = new EventSource("/api/v1/live?after=" + board.dataset.newest);
events.addEventListener("open", () => { link.textContent = "live"; link.classList.add("on"); });
events.addEventListener("error", () => { link.textContent = "connecting"; link.classList.remove("on"); });
events.addEventListener("story", (event) => {
  addLine(JSON.parse(event.data));
  pending ??= setTimeout(refresh, 250);
});
