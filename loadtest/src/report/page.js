"use strict";
// Draws the plots of the page into its figures, from the results that the page carries. Two results (a comparison)
// share each plot: then a run has its colour, and a curve of it its dashes.
(() => {
  const runs = JSON.parse(document.getElementById("runs").textContent);
  const pair = runs.length > 1;
  const root = document.documentElement;
  const DASHES = ["", "7 4", "2 4", "9 3 2 3", "1 6", "12 4"];
  const NOTHING = "–";

  // ---- figures, written as the tables write them (figures.rs)
  const grouped = (n) => Math.round(n).toString().replace(/\B(?=(\d{3})+$)/g, ",");
  function number(v) {
    if (v === null || !Number.isFinite(v)) return NOTHING;
    const size = Math.abs(v), sign = v < 0 ? "−" : "";
    if (size === 0) return "0";
    if (size >= 99.95) return sign + grouped(size);
    if (size >= 9.995) return sign + size.toFixed(1);
    if (size >= 0.9995) return sign + size.toFixed(2);
    return sign + (size >= 0.0005 ? size.toFixed(3) : size.toExponential(1));
  }
  function scaled(v, units) {
    let unit = 0;
    while (Math.abs(v) >= 999.5 && unit + 1 < units.length) { v /= 1000; unit++; }
    return `${number(v)} ${units[unit]}`;
  }
  const count = (v) => (v === null || !Number.isFinite(v) ? NOTHING : grouped(v));
  const bytes = (v) => (Math.abs(v) < 999.5 ? `${grouped(v)} B` : scaled(v, ["B", "kB", "MB", "GB", "TB"]));
  const millis = (v) => (v === 0 ? "0 ms" : v < 0.001 ? `${number(v * 1e6)} ns` : scaled(v * 1000, ["µs", "ms", "s"]));
  const rate = (v) => `${number(v)}/s`;
  const cores = (v) => `${v.toFixed(2)} cores`;
  // Without the digits that an axis does not need: 2 ms, 0.5 cores.
  const trimmed = (write) => (v) => write(v).replace(/(\.\d*?)0+(?=\D|$)/, "$1").replace(/\.(?=\D|$)/, "");
  const short = (v) => (v >= 1e6 ? `${+(v / 1e6).toPrecision(3)}M` : v >= 1e4 ? `${+(v / 1e3).toPrecision(3)}k` : trimmed(number)(v));

  // ---- what is plotted
  const PLOTS = {
    connections: {
      title: "Connections", about: "open at each moment, as both ends count them", unit: "connections", write: count, tick: short, area: true,
      series: [
        { name: "open, as the generator counts", of: (t) => t.open, colour: 1 },
        { name: "online, as the server tells", of: (t) => t.server_online, colour: 2, join: true, dash: "6 5" },
      ],
    },
    rates: {
      title: "Rates", about: "what happened in each second", unit: "a second", write: rate, tick: short,
      series: [
        { name: "connections opened", of: (t, span) => t.opened / span, colour: 3 },
        { name: "requests", of: (t, span) => t.requests / span, colour: 1 },
        { name: "answers and deliveries", of: (t, span) => t.answers / span, colour: 2 },
      ],
    },
    latency: {
      title: "Latency over time", about: "of each second, all kinds that the scenario measures",
      unit: "latency", write: millis, tick: trimmed(millis), log: true,
      series: [
        { name: "p50", of: (t) => t.p50, colour: 1 },
        { name: "p99", of: (t) => t.p99, colour: 2 },
        { name: "max", of: (t) => t.max, colour: 6, thin: true },
      ],
    },
    errors: {
      title: "Errors over time", about: "of all causes, in each second", unit: "errors", write: count, tick: short, whole: true,
      series: [{ name: "errors", of: (t) => t.errors, colour: 5, area: true }],
    },
    cpu: {
      title: "CPU", about: "1.0 is one core wholly busy", unit: "cores busy", write: cores, tick: trimmed(number),
      series: [
        { name: "generator", of: (t) => t.generator_cpu, colour: 1 },
        { name: "server", of: (t) => t.server_cpu, colour: 2, join: true },
      ],
    },
    memory: {
      title: "Memory", about: "kernel memory is the whole machine's, above what it was before the run",
      unit: "memory", write: bytes, tick: trimmed(bytes),
      series: [
        { name: "server (Pss)", of: (t) => t.server_memory, colour: 1, join: true },
        { name: "kernel", of: (t) => t.kernel_memory, colour: 3, join: true },
      ],
    },
    distribution: {
      title: "Latency by percentile", about: "each step to the right looks at ten times fewer, slower answers",
      unit: "latency", write: millis, tick: trimmed(millis), log: true, percentile: true,
    },
  };

  const finite = (v) => v !== null && v !== undefined && Number.isFinite(v);
  const label = (run, name) => (pair ? `${run.label} ${name}` : name);
  const nines = (quantile) => -Math.log10(1 - quantile);
  const percent = (quantile) => `${+(quantile * 100).toFixed(6)}%`;

  // A curve: points of x and y; y is null where there is a gap.
  function curves(plot) {
    return plot.percentile ? distributions() : overTime(plot);
  }
  function overTime(plot) {
    const all = [];
    runs.forEach((run, r) => plot.series.forEach((series, s) => {
      let before = 0;
      const points = run.outcome.timeline.map((t) => {
        const span = t.at > before ? t.at - before : 1;
        before = t.at;
        const y = series.of(t, span);
        return { x: t.at, y: finite(y) ? y : null, phase: t.phase };
      });
      const seen = points.filter((p) => p.y !== null);
      if (seen.length === 0) return;
      all.push({
        name: label(run, series.name), points: series.join ? seen : points, thin: series.thin,
        colour: pair ? r + 1 : series.colour, dash: pair ? DASHES[s] : series.dash || "",
        area: !pair && (series.area || (plot.area && s === 0)),
      });
    }));
    return all;
  }
  function distributions() {
    const all = [];
    const kinds = [...new Set(runs.flatMap((run) => run.outcome.latencies.map((l) => l.name)))];
    runs.forEach((run, r) => run.outcome.latencies.forEach((l) => {
      if (!l.count) return;
      let known = (l.distribution || []).filter(([q, v]) => finite(q) && finite(v) && q >= 0 && q <= 1);
      if (known.length < 2) known = [[0, l.min], [0.5, l.p50], [0.9, l.p90], [0.99, l.p99], [0.999, l.p999], [1, l.max]];
      // The largest sample has no percentile of its own: it stands where one in `count` is.
      const last = nines(1 - 1 / Math.max(l.count, 2));
      const points = known.map(([q, v]) => ({ x: Math.min(q < 1 ? nines(q) : last, last), y: v, quantile: q }))
        .filter((p, i, all) => i + 1 === all.length || p.x < last);
      const k = kinds.indexOf(l.name);
      all.push({
        name: label(run, l.name), points, count: l.count,
        colour: pair ? r + 1 : (k % 6) + 1, dash: pair ? DASHES[k % 6] : k >= 6 ? DASHES[1] : "",
      });
    }));
    return all;
  }

  // ---- axes
  function nice(step) {
    const power = 10 ** Math.floor(Math.log10(step));
    const lead = step / power;
    return (lead <= 1 ? 1 : lead <= 2 ? 2 : lead <= 5 ? 5 : 10) * power;
  }
  function linear(max, ticks, whole) {
    let step = nice((max || 1) / ticks);
    if (whole) step = Math.max(1, step);
    const top = Math.max(step, Math.ceil(max / step - 1e-9) * step);
    const marks = [];
    for (let i = 0; i * step <= top * 1.0001; i++) marks.push(i * step);
    return { marks, at: (v) => v / top };
  }
  function logarithmic(min, max) {
    // From 1, 2 or 5 of a decade to another such; marks at each of them, or at decades alone where those are many.
    const decade = (v) => 10 ** Math.floor(Math.log10(v) + 1e-9);
    const down = (v) => [5, 2, 1].map((lead) => lead * decade(v)).find((mark) => mark <= v * 1.0001);
    const up = (v) => [1, 2, 5, 10].map((lead) => lead * decade(v)).find((mark) => mark >= v * 0.9999);
    const bottom = down(min), top = Math.max(up(max), bottom * 10);
    const span = Math.log10(top / bottom);
    const leads = span <= 2.4 ? [1, 2, 5] : [1];
    const marks = [];
    for (let d = decade(bottom); d <= top * 1.0001; d *= span > 7 ? 100 : 10) {
      leads.map((lead) => lead * d).filter((m) => m >= bottom * 0.9999 && m <= top * 1.0001).forEach((m) => marks.push(m));
    }
    return { marks, at: (v) => Math.log10(Math.max(v, bottom) / bottom) / span };
  }
  function timeAxis(end, width) {
    const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];
    const step = steps.find((s) => end / s <= width / 62) || 86400;
    const marks = [];
    for (let v = 0; v <= end + 1e-9; v += step) marks.push(v);
    const clock = end > 120;
    const two = (v) => String(v).padStart(2, "0");
    const write = (v) => (!clock ? String(v) : v >= 3600 ? `${Math.floor(v / 3600)}:${two(Math.floor(v / 60) % 60)}:${two(v % 60)}` : `${Math.floor(v / 60)}:${two(v % 60)}`);
    return { marks, write, unit: clock ? "time since the start, min:s" : "time since the start, s" };
  }
  function percentileAxis(end, width) {
    const all = [[0, "0%"], [nines(0.5), "50%"], [1, "90%"], [2, "99%"], [3, "99.9%"], [4, "99.99%"], [5, "99.999%"], [6, "99.9999%"], [7, "99.99999%"]];
    // Each needs its room.
    let last = -Infinity;
    const marks = all.filter(([x]) => x <= end + 1e-9).filter(([x, text]) => {
      const at = (x / end) * width;
      const fits = at - last > 16 + text.length * 4;
      if (fits) last = at + text.length * 3.4;
      return fits;
    });
    return { marks: marks.map(([x]) => x), write: (x) => all.find(([y]) => y === x)[1], unit: "percentile" };
  }

  // ---- elements
  function make(parent, name, attributes, text) {
    const svg = ["svg", "g", "path", "line", "rect", "circle", "text"].includes(name);
    const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    if (parent) parent.append(node);
    return node;
  }
  const colour = (n) => `var(--s${n})`;

  // ---- one figure
  const figures = [];
  function Figure(node) {
    const plot = PLOTS[node.dataset.plot];
    const all = curves(plot);
    const hidden = new Set();
    const isTime = !plot.percentile;
    let canvas, layer, tip, view, cursor = -1;

    make(node, "h3", {}, plot.title);
    make(node, "p", { class: "about" }, plot.about || " ");
    if (all.length === 0) {
      make(node, "div", { class: "empty" }, node.dataset.empty || "Nothing was recorded.");
      return;
    }
    const legend = make(node, "div", { class: "legend" });
    all.forEach((curve) => {
      const button = make(legend, "button", { type: "button", "aria-pressed": "true", title: "Show or hide this curve" });
      const swatch = make(button, "svg", { viewBox: "0 0 22 10", "aria-hidden": "true" });
      make(swatch, "path", { d: "M1 5H21", stroke: colour(curve.colour), "stroke-width": 2.5, "stroke-dasharray": curve.dash });
      make(button, "span", {}, curve.name);
      button.onclick = () => {
        if (!hidden.delete(curve)) hidden.add(curve);
        button.setAttribute("aria-pressed", String(!hidden.has(curve)));
        draw();
      };
    });

    function describe() {
      const parts = all.map((c) => {
        const values = c.points.map((p) => p.y).filter((y) => y !== null);
        return `${c.name}: from ${plot.write(Math.min(...values))} to ${plot.write(Math.max(...values))}`;
      });
      return `${plot.title}. ${parts.join("; ")}. Arrow keys read single values; the table below has them all.`;
    }

    function draw() {
      const width = Math.max(260, node.clientWidth - 2 * parseFloat(getComputedStyle(node).paddingLeft));
      const height = width < 420 ? 230 : 270;
      const shown = all.filter((c) => !hidden.has(c));
      const values = shown.flatMap((c) => c.points.map((p) => p.y)).filter((y) => y !== null);
      const max = values.reduce((a, b) => Math.max(a, b), 0);
      const min = values.filter((v) => v > 0).reduce((a, b) => Math.min(a, b), Infinity);
      const log = plot.log && min < Infinity && max / min > 20;
      const bandsAbove = isTime && !pair;
      const yAxis = log ? logarithmic(min, max) : linear(max, height / 55, plot.whole);
      const texts = yAxis.marks.map(plot.tick);
      const left = 12 + Math.max(...texts.map((t) => t.length)) * 6.9, right = 16, top = bandsAbove ? 36 : 22, bottom = 40;
      const w = width - left - right, h = height - top - bottom;
      const lasts = isTime ? runs.map(({ outcome }) => outcome.timeline.at(-1)?.at ?? 0) : all.map((c) => c.points.at(-1).x);
      const end = Math.max(...lasts, isTime ? 1 : nines(0.9));
      const xAxis = isTime ? timeAxis(end, w) : percentileAxis(end, w);
      const X = (v) => left + (v / end) * w, Y = (v) => top + h - yAxis.at(v) * h;
      const n = (v) => Math.round(v * 10) / 10;

      if (canvas) canvas.remove();
      canvas = make(null, "svg", { class: "canvas", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", tabindex: 0, "aria-label": describe() });
      legend.after(canvas);
      if (bandsAbove) bands(canvas, X, top, h);
      yAxis.marks.forEach((v, i) => {
        make(canvas, "line", { class: "gridline", x1: left, x2: left + w, y1: n(Y(v)), y2: n(Y(v)) });
        make(canvas, "text", { x: left - 7, y: n(Y(v)) + 4, "text-anchor": "end" }, texts[i]);
      });
      make(canvas, "text", { class: "unit", x: 0, y: 11 }, plot.unit + (log ? ", logarithmic" : ""));
      xAxis.marks.forEach((v) => {
        make(canvas, "line", { class: "axis", x1: n(X(v)), x2: n(X(v)), y1: top + h, y2: top + h + 5 });
        const text = xAxis.write(v);
        const beyond = X(v) + text.length * 3.6 > width;
        make(canvas, "text", { x: beyond ? width : n(X(v)), y: top + h + 18, "text-anchor": beyond ? "end" : "middle" }, text);
      });
      make(canvas, "line", { class: "axis", x1: left, x2: left + w, y1: top + h, y2: top + h });
      make(canvas, "text", { class: "unit", x: left + w, y: height - 3, "text-anchor": "end" }, xAxis.unit);

      shown.forEach((curve) => {
        let path = "", area = "", pen = false, from = 0, last = 0;
        const close = () => { if (pen) area += `L${n(X(last))} ${top + h}L${n(X(from))} ${top + h}Z`; };
        curve.points.forEach((p, i) => {
          if (p.y === null) { close(); pen = false; return; }
          const alone = !pen && (i + 1 === curve.points.length || curve.points[i + 1].y === null);
          const to = `${n(X(p.x))} ${n(Y(p.y))}`;
          if (!pen) from = p.x;
          path += (pen ? "L" : "M") + to;
          if (alone) make(canvas, "circle", { cx: n(X(p.x)), cy: n(Y(p.y)), r: 3, fill: colour(curve.colour) });
          area += (pen ? "L" : "M") + to;
          pen = true; last = p.x;
        });
        close();
        if (curve.area) make(canvas, "path", { class: "area", d: area, fill: colour(curve.colour) });
        make(canvas, "path", { class: curve.thin ? "curve thin" : "curve", d: path, stroke: colour(curve.colour), "stroke-dasharray": curve.dash });
      });
      layer = make(canvas, "g", { "aria-hidden": "true" });
      view = { shown, X, Y, left, top, w, h, end, width };

      const nearest = (event) => {
        const box = canvas.getBoundingClientRect();
        const x = ((event.clientX - box.left) / box.width) * width;
        return ((x - left) / w) * end;
      };
      canvas.onpointermove = canvas.onpointerdown = (event) => point(nearest(event));
      canvas.onpointerleave = () => hide();
      canvas.onblur = () => hide();
      canvas.onkeydown = (event) => {
        const guide = leader(shown.length ? shown : all).points;
        const step = { ArrowRight: 1, ArrowLeft: -1, PageDown: 10, PageUp: -10, Home: -guide.length, End: guide.length }[event.key];
        if (event.key === "Escape") hide();
        if (!step) return;
        event.preventDefault();
        cursor = Math.min(guide.length - 1, Math.max(0, cursor + step));
        point(guide[cursor].x);
      };
    }

    // The same moment in all figures that have a time; the figure itself has the read-out.
    function point(x) {
      const found = read(x, true);
      if (isTime) figures.forEach((other) => { if (other !== self && other.isTime) other.read(found, false); });
    }
    function hide() {
      cursor = -1;
      figures.forEach((figure) => figure.clear());
    }
    function clear() {
      if (layer) layer.replaceChildren();
      if (tip) { tip.remove(); tip = null; }
    }

    // The curve whose points the cursor steps along: it has the most of them, or reaches furthest.
    function leader(shown) {
      const reach = (curve) => (isTime ? curve.points.length : curve.points.at(-1).x);
      return shown.reduce((a, b) => (reach(b) > reach(a) ? b : a));
    }

    function read(x, speak) {
      clear();
      if (view.shown.length === 0) return x;
      const closest = (points) => points.reduce((a, b) => (Math.abs(b.x - x) < Math.abs(a.x - x) ? b : a));
      const guide = leader(view.shown);
      const at = closest(guide.points);
      const there = at.x;
      make(layer, "line", { class: "cross", x1: view.X(there), x2: view.X(there), y1: view.top, y2: view.top + view.h });
      const rows = view.shown.map((curve) => {
        const p = closest(curve.points);
        const far = Math.abs(p.x - there) > view.end / 8 || (isTime && p.x !== there && there > curve.points.at(-1).x);
        const value = far ? null : p.y;
        if (value !== null) make(layer, "circle", { class: "dot", cx: view.X(p.x), cy: view.Y(value), r: 4.5, fill: colour(curve.colour) });
        return [curve.name, value === null ? NOTHING : plot.write(value)];
      });
      if (speak) {
        const when = isTime ? `at ${trimmed(number)(there)} s${!pair && at.phase ? ` · ${at.phase}` : ""}` : `${percent(at.quantile)} are this fast or faster`;
        tip = make(node, "div", { class: "tip", role: "status" });
        make(tip, "div", { class: "when" }, when);
        const body = make(make(tip, "table"), "tbody");
        rows.forEach(([name, value]) => { const row = make(body, "tr"); make(row, "th", { scope: "row" }, name); make(row, "td", {}, value); });
        const px = canvas.offsetLeft || parseFloat(getComputedStyle(node).paddingLeft);
        const y = canvas.getBoundingClientRect().top - node.getBoundingClientRect().top;
        const x0 = px + view.X(there);
        const flip = x0 + 16 + tip.offsetWidth > node.clientWidth;
        tip.style.left = `${Math.max(4, flip ? x0 - 14 - tip.offsetWidth : x0 + 14)}px`;
        tip.style.top = `${y + view.top + 4}px`;
      }
      return there;
    }

    function bands(canvas, X, top, h) {
      let from = 0, phase = null, odd = false;
      const ticks = runs[0].outcome.timeline;
      const band = (to) => {
        if (phase === null) return;
        const x = X(from), width = X(to) - x;
        if (odd) make(canvas, "rect", { class: "band", x, y: top, width, height: h });
        if (width > phase.length * 6 + 6) make(canvas, "text", { class: "phase", x: x + width / 2, y: top - 6, "text-anchor": "middle" }, phase);
        odd = !odd;
      };
      let before = 0;
      ticks.forEach((t) => {
        if (t.phase !== phase) { band(before); from = before; phase = t.phase; }
        before = t.at;
      });
      band(before);
    }

    // All values as text, made when it is asked for.
    const details = make(node, "details");
    make(details, "summary", {}, "Data as a table");
    details.ontoggle = () => {
      if (details.children.length > 1) return;
      const wide = make(details, "div", { class: "wide", tabindex: 0 });
      const table = make(wide, "table");
      const head = make(make(table, "thead"), "tr");
      make(head, "th", { scope: "col" }, isTime ? "second" : "percentile");
      all.forEach((c) => make(head, "th", { scope: "col" }, c.name));
      const key = (p) => (isTime ? p.x : p.quantile);
      const keys = [...new Set(all.flatMap((c) => c.points.map(key)))].sort((a, b) => a - b);
      const every = Math.ceil(keys.length / 600);
      const maps = all.map((c) => new Map(c.points.map((p) => [key(p), p.y])));
      const body = make(table, "tbody");
      keys.filter((_, i) => i % every === 0).forEach((k) => {
        const row = make(body, "tr");
        make(row, "th", { scope: "row" }, isTime ? trimmed(number)(k) : percent(k));
        maps.forEach((m) => { const v = m.get(k); make(row, "td", {}, finite(v) ? plot.write(v) : NOTHING); });
      });
      if (every > 1) make(details, "p", { class: "about" }, `Every ${every}th row; the JSON has them all.`);
    };

    const self = { draw, read, clear, isTime, node };
    figures.push(self);
    draw();
  }

  // ---- the page
  document.querySelectorAll("figure.plot").forEach((node) => Figure(node));
  if (window.ResizeObserver) {
    const widths = new Map();
    const observer = new ResizeObserver((entries) => entries.forEach(({ target }) => {
      if (widths.get(target) === target.clientWidth) return;
      const first = !widths.has(target);
      widths.set(target, target.clientWidth);
      if (!first) figures.find((f) => f.node === target).draw();
    }));
    figures.forEach((f) => observer.observe(f.node));
  }
  window.addEventListener("beforeprint", () => figures.forEach((f) => f.draw()));

  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
  const toggle = document.getElementById("theme");
  const name = () => { toggle.textContent = isDark() ? "☀ Light" : "☾ Dark"; root.dataset.shown = isDark() ? "dark" : "light"; };
  toggle.onclick = () => { root.dataset.theme = isDark() ? "light" : "dark"; name(); };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
  name();

  const save = document.getElementById("save");
  if (save) save.onclick = () => {
    const link = make(null, "a", { download: "run.json" });
    link.href = URL.createObjectURL(new Blob([JSON.stringify(runs[0].outcome, null, 2)], { type: "application/json" }));
    link.click();
    URL.revokeObjectURL(link.href);
  };
  root.dataset.plots = figures.length;
})();
