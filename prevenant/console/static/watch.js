// Calls whoever watches when somebody's safety is at stake and nobody has acknowledged it: by a sound, and by
// the title of the window. The sound can be turned off in this browser, and silenced for what is known already.
"use strict";

(() => {
  const SETTING = "prevenant-sound";
  const SILENCED = "prevenant-silenced";
  const EVERY_MS = 2500;
  const button = document.getElementById("sound");
  const usual = document.title;
  let audio = null;
  let calling = null;
  let flashing = null;

  const isOn = () => localStorage.getItem(SETTING) !== "off";
  const silenced = () => new Set((sessionStorage.getItem(SILENCED) || "").split(" ").filter(Boolean));
  const unseen = () => [...document.querySelectorAll("[data-urgent]")];

  function beep() {
    audio ??= new AudioContext();
    if (audio.state === "suspended") audio.resume();
    showSound();
    if (audio.state !== "running") return;
    // Two tones, falling: urgent, and unlike anything else in a control room.
    [[880, 0], [660, 0.22], [880, 0.6], [660, 0.82]].forEach(([pitch, start]) => {
      const tone = audio.createOscillator();
      const loudness = audio.createGain();
      const at = audio.currentTime + start;
      tone.frequency.value = pitch;
      loudness.gain.setValueAtTime(0, at);
      loudness.gain.linearRampToValueAtTime(0.22, at + 0.02);
      loudness.gain.linearRampToValueAtTime(0, at + 0.2);
      tone.connect(loudness).connect(audio.destination);
      tone.start(at);
      tone.stop(at + 0.21);
    });
    document.body.dataset.calls = Number(document.body.dataset.calls || 0) + 1;
  }

  function flash(names) {
    clearInterval(flashing);
    flashing = null;
    document.title = usual;
    if (!names.length) return;
    let shown = false;
    const turn = () => {
      shown = !shown;
      document.title = shown ? "\u25c6 " + names.join(", ") : usual;
    };
    turn();
    flashing = setInterval(turn, 1000);
  }

  function look() {
    const urgent = unseen();
    const known = silenced();
    const loud = urgent.filter((one) => !known.has(one.dataset.urgent));
    flash(urgent.map((one) => one.dataset.name));
    const calls = loud.length > 0 && isOn();
    if (calls && calling === null) {
      beep();
      calling = setInterval(beep, EVERY_MS);
    } else if (!calls && calling !== null) {
      clearInterval(calling);
      calling = null;
    }
    document.querySelectorAll("[data-silence]").forEach((one) => { one.hidden = !calls; });
    showSound();
  }

  function showSound() {
    if (!button) return;
    const on = isOn();
    const blocked = on && calling !== null && audio !== null && audio.state !== "running";
    button.setAttribute("aria-pressed", String(on));
    button.querySelector("use").setAttribute("href", "/static/icons.svg#" + (on ? "sound" : "silent"));
    button.querySelector("span").textContent = blocked ? button.dataset.blocked : on ? button.dataset.on : button.dataset.off;
  }

  button?.addEventListener("click", () => {
    localStorage.setItem(SETTING, isOn() ? "off" : "on");
    look();
  });
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-silence]")) return;
    const now = new Set([...silenced(), ...unseen().map((one) => one.dataset.urgent)]);
    sessionStorage.setItem(SILENCED, [...now].join(" "));
    look();
  });
  // A browser lets nothing sound before somebody has touched the page.
  for (const name of ["pointerdown", "keydown"]) {
    document.addEventListener(name, () => audio?.resume().then(showSound), { passive: true });
  }
  window.addEventListener("storage", look);
  document.body.addEventListener("htmx:afterSettle", look);
  button?.removeAttribute("hidden");
  look();
})();
