// Lets a technician share where the phone is while a job is under way; nothing is sent before that is pressed.
"use strict";

const LEAST_MS = 30000;
const share = document.getElementById("share");
let watch = null;
let sentAt = 0;

function send(position) {
  if (Date.now() - sentAt < LEAST_MS) return;
  sentAt = Date.now();
  const { latitude, longitude, accuracy } = position.coords;
  fetch(share.dataset.to, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ latitude, longitude, accuracy }),
  }).then((answer) => { if (answer.status === 409) stop(); }).catch(() => {});
}

function stop() {
  navigator.geolocation.clearWatch(watch);
  watch = null;
  share.setAttribute("aria-pressed", "false");
  share.textContent = share.dataset.off;
}

if (share && "geolocation" in navigator) {
  share.hidden = false;
  share.addEventListener("click", () => {
    if (watch !== null) { stop(); return; }
    watch = navigator.geolocation.watchPosition(send, stop, { enableHighAccuracy: true, maximumAge: 15000 });
    share.setAttribute("aria-pressed", "true");
    share.textContent = share.dataset.on;
  });
}
