// Draws the curves of a page: values over time, the bounds of the rule, the moments of the alarm. Curves that
// are live grow as the device sends. The arrow keys move along a curve; what stands there is said beside it.
"use strict";

(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const drawn = new Set();
  let streams = [];

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  const severity = (word) => colour(word === "life_safety" ? "life" : word || "accent");
  const language = document.documentElement.lang === "en" ? "en-GB" : document.documentElement.lang;
  const number = new Intl.NumberFormat(language, { maximumSignificantDigits: 5 });

  function clock(zone, options) {
    return new Intl.DateTimeFormat(language, { timeZone: zone, hour12: false, ...options });
  }

  function makeTimes(zone) {
    const full = clock(zone, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" });
    const formats = [
      [86400, clock(zone, { day: "numeric", month: "short" })],
      [60, clock(zone, { hour: "2-digit", minute: "2-digit" })],
      [0, clock(zone, { hour: "2-digit", minute: "2-digit", second: "2-digit" })],
    ];
    const axis = (plot, splits, index, space, step) => {
      const format = formats.find(([least]) => step >= least)[1];
      return splits.map((at) => format.format(new Date(at * 1000)));
    };
    return { full, axis };
  }

  // The values of all series at all their times: those of a bound that moves stand beside the curve's own.
  function tabulate(data) {
    const moving = data.limits.filter((one) => one.points[0].length);
    return uPlot.join([data.points, ...moving.map((one) => one.points)]);
  }

  function drawMarks(plot, data, words) {
    const { ctx, bbox } = plot;
    const x = (at) => plot.valToPos(at, "x", true);
    const within = (at) => Math.min(Math.max(x(at), bbox.left), bbox.left + bbox.width);
    const raised = data.marks.find((one) => one.what === "raised");
    const over = data.marks.find((one) => one.what === "over");
    ctx.save();
    if (raised) {
      const left = within(raised.at);
      ctx.fillStyle = severity(raised.severity);
      ctx.globalAlpha = 0.1;
      ctx.fillRect(left, bbox.top, within(over ? over.at : plot.scales.x.max) - left, bbox.height);
      ctx.globalAlpha = 1;
    }
    const scale = devicePixelRatio;
    ctx.font = `600 ${12 * scale}px Inter, system-ui, sans-serif`;
    ctx.textBaseline = "top";
    let free = -Infinity;
    for (const mark of data.marks) {
      const left = x(mark.at);
      if (left < bbox.left || left > bbox.left + bbox.width) continue;
      ctx.strokeStyle = ctx.fillStyle = mark.severity ? severity(mark.severity) : colour("soft");
      ctx.lineWidth = 1.5 * scale;
      ctx.setLineDash([4 * scale, 3 * scale]);
      ctx.beginPath();
      ctx.moveTo(left, bbox.top);
      ctx.lineTo(left, bbox.top + bbox.height);
      ctx.stroke();
      const text = words[mark.what] || mark.what;
      const wide = ctx.measureText(text).width + 8 * scale;
      const isRight = left + wide > bbox.left + bbox.width;
      const start = isRight ? left - wide : left + 5 * scale;
      if (start > free) {
        ctx.fillText(text, start, bbox.top + 3 * scale);
        free = start + wide;
      }
    }
    ctx.restore();
  }

  function drawLimits(plot, data) {
    const { ctx, bbox } = plot;
    const scale = devicePixelRatio;
    ctx.save();
    ctx.font = `600 ${12 * scale}px Inter, system-ui, sans-serif`;
    ctx.textAlign = "right";
    for (const limit of data.limits) {
      const top = plot.valToPos(limit.value, "y", true);
      if (top < bbox.top || top > bbox.top + bbox.height) continue;
      ctx.strokeStyle = ctx.fillStyle = limit.clears ? colour("good") : severity(limit.severity);
      if (!limit.points[0].length) {
        ctx.lineWidth = 1.5 * scale;
        ctx.setLineDash(limit.clears ? [2 * scale, 4 * scale] : [8 * scale, 4 * scale]);
        ctx.beginPath();
        ctx.moveTo(bbox.left, top);
        ctx.lineTo(bbox.left + bbox.width, top);
        ctx.stroke();
      }
      const isUp = limit.sign.startsWith(">");
      ctx.textBaseline = isUp ? "bottom" : "top";
      ctx.fillText(limit.label, bbox.left + bbox.width - 6 * scale, top + (isUp ? -3 : 3) * scale);
    }
    ctx.restore();
  }

  function rangeOf(data) {
    if (data.flag) return () => [-0.15, 1.25];
    const bounds = data.limits.flatMap((one) => (one.points[0].length ? one.points[1] : [one.value]));
    return (plot, low, high) => {
      const values = [low, high, ...bounds].filter((one) => one !== null && Number.isFinite(one));
      if (!values.length) return [0, 1];
      const least = Math.min(...values);
      const most = Math.max(...values);
      const room = (most - least) * 0.12 || Math.abs(most) * 0.1 || 1;
      return [least - room, most + room];
    };
  }

  // Of one value alone uPlot would make a span of years.
  function spanOf(data) {
    const times = data.points[0];
    return [Math.min(data.since, times[0] ?? data.since), Math.max(data.until, times.at(-1) ?? data.until)];
  }

  function draw(figure) {
    const data = JSON.parse(figure.querySelector("script").textContent);
    const host = figure.querySelector(".chart-plot");
    const said = figure.querySelector(".chart-now");
    const words = JSON.parse(figure.closest("[data-words]").dataset.words);
    const { full, axis } = makeTimes(data.zone);
    const moving = data.limits.filter((one) => one.points[0].length);
    const level = (value) => (data.flag ? (value ? words.yes : words.no) : number.format(value) + (data.unit ? " " + data.unit : ""));
    const grid = { stroke: () => colour("line"), width: 1 };
    const text = { stroke: () => colour("soft"), font: "12px Inter, system-ui, sans-serif", grid, ticks: { show: false } };
    const height = () => (data.flag ? 84 : 200);
    const options = {
      width: Math.max(host.clientWidth, 200),
      height: height(),
      padding: [10, 12, 0, 0],
      legend: { show: false },
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), data.zone),
      cursor: { y: false, sync: { key: "charts", setSeries: false }, drag: { x: true, y: false }, points: { size: 8 } },
      scales: { x: { range: () => spanOf(data) }, y: { range: rangeOf(data) } },
      axes: [
        { ...text, values: axis, space: 74, size: 30 },
        {
          ...text,
          size: 58,
          splits: data.flag ? () => [0, 1] : undefined,
          values: (plot, splits) => splits.map((one) => (data.flag ? (one ? words.yes : words.no) : number.format(one))),
        },
      ],
      series: [
        {},
        {
          stroke: () => colour("accent"),
          width: 2,
          fill: data.flag ? () => colour("accent-soft") : undefined,
          spanGaps: true,
          paths: data.flag ? uPlot.paths.stepped({ align: 1 }) : undefined,
          points: { show: data.points[0].length < 40, size: 5, fill: () => colour("accent") },
        },
        ...moving.map((one) => ({
          stroke: () => (one.clears ? colour("good") : severity(one.severity)),
          width: 1.5,
          dash: one.clears ? [2, 4] : [8, 4],
          spanGaps: true,
          points: { show: false },
        })),
      ],
      hooks: {
        drawClear: [(plot) => drawMarks(plot, data, words)],
        draw: [(plot) => drawLimits(plot, data)],
        setCursor: [
          (plot) => {
            const index = plot.cursor.idx;
            const value = index === null || index === undefined ? null : plot.data[1][index];
            if (value === null || value === undefined) return;
            said.textContent = level(value) + " · " + full.format(new Date(plot.data[0][index] * 1000));
          },
        ],
      },
    };
    const plot = new uPlot(options, tabulate(data), host);
    plot.setCursor({ left: -10, top: -10 });
    host.querySelector(".uplot").setAttribute("aria-hidden", "true");
    host.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[event.key];
      if (!step && event.key !== "Home" && event.key !== "End") return;
      event.preventDefault();
      const end = plot.data[0].length - 1;
      const now = plot.cursor.idx ?? end;
      const index = event.key === "Home" ? 0 : event.key === "End" ? end : Math.min(Math.max(now + step, 0), end);
      plot.setCursor({ left: plot.valToPos(plot.data[0][index], "x"), top: plot.bbox.height / devicePixelRatio / 2 });
    });
    new ResizeObserver(() => {
      if (host.clientWidth > 0 && host.clientWidth !== plot.width) plot.setSize({ width: host.clientWidth, height: height() });
    }).observe(host);
    const one = { figure, plot, data, level, full, said };
    figure.chart = one;
    drawn.add(one);
  }

  function grow(one, readings) {
    const { data, plot } = one;
    for (const { at, values } of readings) {
      const value = values[data.name];
      if (value === undefined || at <= (data.points[0].at(-1) ?? -Infinity)) continue;
      data.points[0].push(at);
      data.points[1].push(Number(value));
      for (const limit of data.limits) {
        if (!limit.points[0].length) continue;
        limit.points[0].push(at);
        limit.points[1].push(limit.points[1].at(-1));
      }
    }
    const newest = data.points[0].at(-1);
    if (newest > data.until) {
      const shift = newest - data.until;
      data.until += shift;
      if (!data.marks.length) data.since += shift;
    }
    const gone = data.points[0].findIndex((at) => at >= data.since);
    if (gone > 1) data.points = data.points.map((column) => column.slice(gone - 1));
    plot.setData(tabulate(data));
    const value = data.points[1].at(-1);
    if (value !== undefined && plot.cursor.idx == null) {
      one.said.textContent = one.level(value) + " · " + one.full.format(new Date(newest * 1000));
    }
  }

  function follow(box) {
    if (!box.dataset.live) return;
    const words = JSON.parse(box.dataset.words);
    const stream = new EventSource(box.dataset.live);
    stream.addEventListener("readings", (event) => {
      const readings = JSON.parse(event.data);
      for (const one of drawn) if (box.contains(one.figure)) grow(one, readings);
      for (const place of document.querySelectorAll("[data-field]")) {
        const value = readings.at(-1)?.values[place.dataset.field];
        if (value !== undefined) place.textContent = typeof value === "number" ? number.format(value) : typeof value === "boolean" ? words[value ? "yes" : "no"] : String(value);
      }
      box.dataset.received = Number(box.dataset.received || 0) + readings.length;
    });
    streams.push({ box, stream });
  }

  function begin() {
    for (const { box, stream } of streams) if (!box.isConnected) stream.close();
    streams = streams.filter(({ box }) => box.isConnected);
    for (const one of drawn) if (!one.figure.isConnected) { one.plot.destroy(); drawn.delete(one); }
    for (const box of document.querySelectorAll("[data-words]")) {
      for (const figure of box.querySelectorAll("figure.chart")) if (!figure.chart) draw(figure);
      if (!streams.some((one) => one.box === box)) follow(box);
    }
  }

  dark.addEventListener("change", () => { for (const one of drawn) one.plot.redraw(false, true); });
  document.body.addEventListener("htmx:afterSettle", begin);
  addEventListener("toggle", (event) => { if (event.target.matches?.("details")) begin(); }, true);
  begin();
})();
