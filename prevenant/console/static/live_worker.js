// One stream of the story for all windows of one person. It keeps the latest lines for a window that opens later.
"use strict";

const KEPT = 300;
const ports = new Set();
let kept = [];
let stream = null;
let isOn = false;

function tellAll(message) {
  for (const port of ports) port.postMessage(message);
}

function open(after) {
  stream = new EventSource("/api/v1/live?after=" + after);
  stream.onopen = () => { isOn = true; tellAll({ on: true }); };
  stream.onerror = () => {
    isOn = false;
    tellAll({ on: false });
    // Refused, as when somebody has signed out: the browser does not try again by itself.
    if (stream.readyState === EventSource.CLOSED) setTimeout(() => again(), 5000);
  };
  stream.addEventListener("story", (event) => {
    const entry = JSON.parse(event.data);
    kept.push(entry);
    if (kept.length > KEPT) kept = kept.slice(-KEPT);
    tellAll({ entry });
  });
}

function again() {
  if (ports.size) open(kept.length ? kept[kept.length - 1].id : -1);
  else stream = null;
}

onconnect = (event) => {
  const port = event.ports[0];
  port.onmessage = ({ data }) => {
    if (data.gone) {
      ports.delete(port);
      if (!ports.size && stream) { stream.close(); stream = null; kept = []; isOn = false; }
      return;
    }
    ports.add(port);
    if (!stream) open(data.after);
    else {
      if (isOn) port.postMessage({ on: true });
      for (const entry of kept) if (entry.id > data.after) port.postMessage({ entry });
    }
  };
};
