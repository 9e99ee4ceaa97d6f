// Draws what stands in the list beside the map: each entry with a position, again whenever the list has changed.
"use strict";

(() => {
  const host = document.getElementById("map");
  const map = L.map(host, { attributionControl: false, zoomSnap: 0.5, maxZoom: 19 });
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (host.dataset.tiles) L.tileLayer(host.dataset.tiles, { maxZoom: 19, referrerPolicy: "origin" }).addTo(map);
  L.control.scale({ imperial: false }).addTo(map);
  const layer = L.layerGroup().addTo(map);
  const SIZE = 28;
  const APART = 32;
  const WIDE = 130;
  const HIGH = 26;
  let isPlaced = false;

  const position = (text) => text.split(",").map(Number);

  function makeElement(name, className, text) {
    const element = document.createElement(name);
    element.className = className;
    if (text) element.textContent = text;
    return element;
  }

  function describe(entry) {
    const box = makeElement("div", "map-popup");
    const link = entry.querySelector("a");
    const title = document.createElement("a");
    title.href = link.getAttribute("href");
    title.textContent = link.textContent;
    box.append(title);
    for (const one of entry.querySelectorAll(".tag, .state, .muted")) box.append(one.cloneNode(true));
    return box;
  }

  const urgency = (entry) => ["", "info", "minor", "major", "critical", "life_safety"].indexOf(entry.dataset.severity || "");

  // What would stand on one another is one pin, as the most urgent of it, which opens as a list.
  function gather(entries) {
    const groups = [];
    for (const entry of [...entries].sort((one, other) => urgency(other) - urgency(one))) {
      const here = map.latLngToContainerPoint(position(entry.dataset.at));
      const group = groups.find((one) => Math.max(Math.abs(one.here.x - here.x), Math.abs(one.here.y - here.y)) < APART);
      if (group) group.entries.push(entry);
      else groups.push({ here, entries: [entry] });
    }
    return groups;
  }

  function makeMarker(entries, isNamed) {
    const { place, severity = "", at, name } = entries[0].dataset;
    const others = entries.length - 1;
    const classes = ["pin", place === "technician" ? "person" : "", severity ? "s-" + severity : "", others ? "several" : ""];
    const pin = makeElement("span", classes.filter(Boolean).join(" "), others ? String(entries.length) : "");
    const icon = L.divIcon({ html: pin, className: "pin-box", iconSize: [SIZE, SIZE] });
    const marker = L.marker(position(at), { icon, keyboard: true, riseOnHover: true, zIndexOffset: 1000 * urgency(entries[0]) });
    const popup = makeElement("div", "map-list");
    popup.append(...entries.map(describe));
    marker.bindPopup(popup, { autoPanPadding: [30, 30], maxHeight: 280 });
    const named = others ? name + " +" + others : name;
    marker.bindTooltip(makeElement("span", "", named), { permanent: isNamed, direction: "right", offset: [12, 0], className: "map-name" });
    marker.on("add", () => marker.getElement().setAttribute("aria-label", entries.map((one) => one.dataset.name).join(", ")));
    return marker;
  }

  // Names that would stand on one another stay hidden until somebody points at them.
  function chooseNamed(groups) {
    const taken = [];
    return new Set(groups.filter(({ here, entries }) => {
      if (entries[0].dataset.place === "technician") return false;
      if (taken.some((one) => Math.abs(one.x - here.x) < WIDE && Math.abs(one.y - here.y) < HIGH)) return false;
      taken.push(here);
      return true;
    }));
  }

  function draw() {
    const entries = [...document.querySelectorAll("#places [data-at]")];
    const open = [];
    layer.eachLayer((one) => { if (one.isPopupOpen?.()) open.push(one.getLatLng().toString()); });
    layer.clearLayers();
    const groups = isPlaced ? gather(entries) : [];
    const named = chooseNamed(groups);
    for (const group of groups) {
      const marker = makeMarker(group.entries, named.has(group)).addTo(layer);
      if (open.includes(marker.getLatLng().toString())) marker.openPopup();
    }
    for (const entry of entries) {
      if (!entry.dataset.goal) continue;
      const way = [position(entry.dataset.at), position(entry.dataset.goal)];
      L.polyline(way, { className: "map-way", interactive: false }).addTo(layer);
    }
    if (isPlaced) return;
    const points = entries.map((one) => position(one.dataset.at));
    if (points.length) map.fitBounds(points, { padding: [40, 40], maxZoom: 15, animate: false });
    else map.setView([47, 5], 4);
    isPlaced = true;
    draw();
  }

  map.options.zoomAnimation = map.options.fadeAnimation = !still;
  draw();
  map.on("zoomend", draw);
  document.body.addEventListener("refreshed", draw);
  document.getElementById("places").addEventListener("focusin", (event) => {
    const entry = event.target.closest("[data-at]");
    if (entry) map.panTo(position(entry.dataset.at), { animate: !still });
  });
})();
