"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  const count = data.content.length;
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
  const x = new Float32Array(bytes(data.x));
  const y = new Float32Array(bytes(data.y));
  const message = new Uint32Array(bytes(data.message));
  const fields = data.fields.map((field) => ({ ...field, codes: new Float32Array(bytes(field.codes)) }));
  const narrow = matchMedia("(max-width: 820px)");

  const COLOURS = {
    light: ["#3b76af", "#e07b28", "#4a9b4f", "#c43c45", "#8662b5", "#93614f", "#d874b6", "#5f6b78", "#a5a02a", "#2aa5b8",
      "#7fa7dc", "#e9a86b", "#87c67f", "#e58d8c", "#b7a2d6", "#bf9b90", "#edb1d6", "#a7b0ba", "#ceca76", "#8fd0dc"],
    dark: ["#6ba6e0", "#f2994a", "#6cc070", "#ee6c74", "#ab8ad8", "#bb8a76", "#ee9bd1", "#97a3b1", "#cdc850", "#4fc6d9",
      "#4777b3", "#b56a24", "#3d8f47", "#b34149", "#7653a6", "#8a5f4f", "#b85c9b", "#67727e", "#8f8b2b", "#27899a"],
  };
  const RAMP = { light: ["#c9d4f2", "#7f9fd9", "#4a6db5", "#3b3f8f", "#2a1a5e"], dark: ["#2f3358", "#5055a0", "#5f8fc9", "#7fc8c9", "#f2f0a6"] };
  const NONE = { light: "#c5c8cd", dark: "#4a505a" };

  // Elements are made with text, never with markup: sentences may hold any.
  const make = (name, attributes = {}, ...children) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else if (value !== null) element.setAttribute(key, value);
    }
    element.append(...children);
    return element;
  };
  const number = (value) => value.toLocaleString("en-US");
  const theme = () => document.documentElement.dataset.theme;
  document.documentElement.dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";

  const details = (row) => {
    const said = fields
      .filter((field) => field.name !== "cluster" && !Number.isNaN(field.codes[row]))
      .map((field) => `${field.name} ${shown(field, field.codes[row])}`);
    return [data.messageIds[message[row]], ...said].join(" · ");
  };
  const shown = (field, value) =>
    field.kind === "category" ? field.values[value]
      : field.kind === "time" ? new Date(value * 1000).toISOString().slice(0, 10) : number(Math.round(value));
  const short = (text) => (text.length > 400 ? `${text.slice(0, 400)}…` : text);
  const sentence = (row) =>
    make("li", {}, make("button", { type: "button", title: "Show on the map", onclick: () => visit([row]) }, short(data.content[row])));

  // ---- The map -------------------------------------------------------------------------------------------------
  const canvas = $("canvas");
  let plot = null;
  let field = fields[0];
  let isolated = null;
  let matched = null;
  let pinned = null;

  const range = (of) => {
    const known = Array.from(of.codes.filter((value) => !Number.isNaN(value))).sort((a, b) => a - b);
    return [known[0], known[Math.floor((known.length - 1) * 0.99)]];
  };
  const steps = 64;
  const mix = (colours, at) => {
    const place = at * (colours.length - 1);
    const left = Math.min(Math.floor(place), colours.length - 2);
    const part = (hex, i) => parseInt(hex.slice(1 + 2 * i, 3 + 2 * i), 16);
    return `#${[0, 1, 2].map((i) => Math.round(part(colours[left], i) * (1 - place + left) + part(colours[left + 1], i) * (place - left)).toString(16).padStart(2, "0")).join("")}`;
  };
  // Numbers become 64 colours of a ramp, so that both kinds are drawn as categories; the last colour is for none.
  const colouring = () => {
    if (field.kind === "category") return { colours: COLOURS[theme()], codes: field.codes };
    const [low, high] = range(field);
    const colours = Array.from({ length: steps }, (_, i) => mix(RAMP[theme()], i / (steps - 1)));
    const codes = field.codes.map((value) =>
      Number.isNaN(value) ? steps : Math.round(Math.min(1, Math.max(0, (value - low) / (high - low || 1))) * (steps - 1)));
    return { colours: [...colours, NONE[theme()]], codes };
  };

  const pointSize = () => (count > 20000 ? 3 : count > 5000 ? 4 : 6) * (narrow.matches ? 0.8 : 1);
  const draw = async () => {
    legend();
    marks();
    if (!plot) return;
    const { colours, codes } = colouring();
    plot.set({
      backgroundColor: getComputedStyle($("map")).getPropertyValue("--map").trim(),
      pointColor: colours,
      pointColorActive: colours,
      pointColorHover: theme() === "dark" ? "#ffffff" : "#000000",
    });
    await plot.draw({ x, y, valueA: codes }, { zDataType: "categorical" });
    await choose();
    labels();
  };

  // What is searched for or isolated stays, the rest fades.
  const choose = async () => {
    if (!plot) return;
    const rows = [];
    if (matched || isolated !== null) {
      for (const row of matched ?? Array.from({ length: count }, (_, i) => i)) {
        if (isolated === null || field.codes[row] === isolated) rows.push(row);
      }
    }
    if (rows.length) plot.select(rows, { preventEvent: true });
    else plot.deselect({ preventEvent: true });
    labels();
  };
  // The map's height spans 2 in the camera's units, whatever its width.
  const bounds = (values) => [values.reduce((a, b) => Math.min(a, b), Infinity), values.reduce((a, b) => Math.max(a, b), -Infinity)];
  const fit = () => {
    const { width, height } = canvas.getBoundingClientRect();
    const [[left, right], [bottom, top]] = [bounds(x), bounds(y)];
    const scale = 1.84 / Math.max(top - bottom, ((right - left) * height) / width, 0.01);
    plot.view(Float32Array.of(scale, 0, 0, 0, 0, scale, 0, 0, 0, 0, 1, 0, (-scale * (left + right)) / 2, (-scale * (bottom + top)) / 2, 0, 1));
  };

  const centres = () => {
    const middle = (values) => Float32Array.from(values).sort()[values.length >> 1];
    const rows = field.values.map(() => []);
    field.codes.forEach((code, row) => rows[code].push(row));
    const middles = rows.map((members) => [middle(members.map((row) => x[row])), middle(members.map((row) => y[row]))]);
    // A label stands at the row nearest to the middle, so that it lies on its points.
    const best = rows.map(() => [Infinity, -1]);
    for (let row = 0; row < count; row++) {
      const [atX, atY] = middles[field.codes[row]];
      const far = (x[row] - atX) ** 2 + (y[row] - atY) ** 2;
      if (far < best[field.codes[row]][0]) best[field.codes[row]] = [far, row];
    }
    return best.map(([, row]) => row);
  };
  let labelled = null;
  const labels = () => {
    const box = $("labels");
    box.replaceChildren();
    if (!plot || field.name !== "cluster" || matched || isolated !== null) return;
    labelled ??= centres();
    const taken = [];
    labelled.forEach((row, code) => {
      const [left, top] = plot.getScreenPosition(row);
      const label = make("span", { style: `left:${left}px;top:${top}px` }, narrow.matches ? field.values[code].split(" · ").slice(0, 2).join(" · ") : field.values[code]);
      box.append(label);
      const at = label.getBoundingClientRect();
      const inside = box.getBoundingClientRect();
      const out = at.left < inside.left || at.right > inside.right || at.top < inside.top || at.bottom > inside.bottom;
      if (out || taken.some((other) => at.left < other.right && at.right > other.left && at.top < other.bottom && at.bottom > other.top)) label.remove();
      else taken.push(at);
    });
  };

  const tooltip = (row) => {
    const box = $("tooltip");
    box.hidden = row === null;
    if (row === null) return;
    box.replaceChildren(short(data.content[row]), make("small", {}, details(row)));
    const [left, top] = plot.getScreenPosition(row);
    const { width, height } = canvas.getBoundingClientRect();
    box.style.left = `${Math.max(8, Math.min(left + 12, width - box.offsetWidth - 8))}px`;
    box.style.top = `${top + 16 + box.offsetHeight < height ? top + 14 : Math.max(8, top - box.offsetHeight - 14)}px`;
  };

  const visit = async (rows) => {
    if (!plot) return;
    $("map").scrollIntoView({ behavior: "smooth", block: "nearest" });
    await plot.zoomToPoints(rows, { padding: rows.length === 1 ? 0.1 : 0.25, transition: true, transitionDuration: 600 });
    if (rows.length === 1) {
      // One point has no extent to zoom to: some of its surroundings are shown.
      await plot.zoomToLocation([x[rows[0]], y[rows[0]]], 0.25, { transition: false });
      pinned = rows[0];
      plot.hover(pinned, { preventEvent: true });
      tooltip(pinned);
    }
    labels();
  };

  // The library moves the map by mouse and wheel only: one finger moves it, two zoom, a tap shows the nearest point.
  const touches = new Map();
  const touch = () => {
    let moved = false;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "mouse") return;
      if (touches.size === 0) moved = false;
      touches.set(event.pointerId, [event.clientX, event.clientY]);
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = touches.get(event.pointerId);
      if (!before) return;
      const now = [event.clientX, event.clientY];
      if (!moved && Math.hypot(now[0] - before[0], now[1] - before[1]) < 6) return;
      moved = true;
      const { left, top, width, height } = canvas.getBoundingClientRect();
      const view = Float32Array.from(plot.get("cameraView"));
      const others = [...touches].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
      if (others.length) {
        const [other] = others;
        const scale = Math.hypot(now[0] - other[0], now[1] - other[1]) / Math.max(1, Math.hypot(before[0] - other[0], before[1] - other[1]));
        const atX = ((2 * (other[0] - left)) / width - 1) * (width / height);
        const atY = 1 - (2 * (other[1] - top)) / height;
        for (const i of [0, 1, 4, 5]) view[i] *= scale;
        view[12] = scale * (view[12] - atX) + atX;
        view[13] = scale * (view[13] - atY) + atY;
      } else {
        view[12] += (2 * (now[0] - before[0])) / height;
        view[13] -= (2 * (now[1] - before[1])) / height;
      }
      touches.set(event.pointerId, now);
      tooltip(null);
      plot.view(view);
    });
    const end = (event) => {
      if (!touches.delete(event.pointerId) || moved || event.type !== "pointerup") return;
      const { left, top } = canvas.getBoundingClientRect();
      let best = [30 ** 2, null];
      for (let row = 0; row < count; row++) {
        const place = plot.getScreenPosition(row);
        const far = (place[0] - event.clientX + left) ** 2 + (place[1] - event.clientY + top) ** 2;
        if (far < best[0]) best = [far, row];
      }
      pinned = best[1];
      tooltip(pinned);
    };
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
  };

  const start = async () => {
    try {
      const { width, height } = $("map").getBoundingClientRect();
      plot = scatterplot({ canvas, width, height, pointSize: pointSize(), colorBy: "valueA", opacity: count > 20000 ? 0.5 : 0.8,
        pointSizeSelected: 2, pointOutlineWidth: 0, opacityInactiveScale: 0.3, opacityInactiveMax: 0.3 });
      if (!plot) throw new Error("no WebGL");
    } catch {
      plot = null;
      canvas.hidden = true;
      $("no-map").hidden = false;
      $("hint").hidden = true;
      await draw();
      return;
    }
    plot.subscribe("pointOver", (row) => { pinned = null; tooltip(row); });
    plot.subscribe("pointOut", () => pinned === null && tooltip(null));
    // A click shows a point, a lasso (shift and drag) lists what is in it; neither takes the place of a search.
    plot.subscribe("select", ({ points }) => {
      if (points.length > 1) found(points);
      else { pinned = points[0]; tooltip(pinned); }
      choose();
    });
    plot.subscribe("deselect", () => { pinned = null; tooltip(null); choose(); });
    plot.subscribe("view", () => { if (pinned === null) tooltip(null); else tooltip(pinned); labels(); });
    new ResizeObserver(() => {
      const size = $("map").getBoundingClientRect();
      plot.set({ width: size.width, height: size.height, pointSize: pointSize() });
      labels();
    }).observe($("map"));
    touch();
    await draw();
    fit();
    labels();
  };

  // ---- Colour, legend, search ----------------------------------------------------------------------------------
  const legend = () => {
    const box = $("legend");
    box.replaceChildren();
    if (field.kind !== "category") {
      const [low, high] = range(field);
      const colours = RAMP[theme()].join(",");
      box.append(make("div", { class: "ramp", style: `background:linear-gradient(90deg,${colours})` }),
        make("div", { class: "ends" }, make("span", {}, shown(field, low)), make("span", {}, `${shown(field, high)}${field.kind === "number" ? " and more" : ""}`)));
      return;
    }
    const counts = field.values.map(() => 0);
    field.codes.forEach((code) => { counts[code] += 1; });
    field.values.forEach((value, code) => {
      const press = () => { isolated = isolated === code ? null : code; legend(); choose(); };
      box.append(make("button", { type: "button", "aria-pressed": String(isolated === code), title: "Show these alone", onclick: press },
        make("i", { style: `background:${COLOURS[theme()][code]}` }), make("span", {}, value), make("small", {}, number(counts[code]))));
    });
  };
  fields.forEach((one, i) => $("colour").append(make("option", { value: i }, one.name)));
  $("colour").addEventListener("change", async (event) => {
    field = fields[event.target.value];
    isolated = null;
    await draw();
  });

  const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  let folded = null;
  const search = async () => {
    const words = plain($("search").value).split(/\s+/).filter(Boolean);
    folded ??= data.content.map(plain);
    let rows = null;
    if (words.length) {
      rows = [];
      folded.forEach((text, row) => words.every((word) => text.includes(word)) && rows.push(row));
    }
    found(rows);
    tooltip(null);
    await choose();
  };
  const found = (rows) => {
    matched = rows;
    $("matches").hidden = !matched;
    if (matched) {
      $("match-count").textContent = `${number(matched.length)} ${matched.length === 1 ? "sentence" : "sentences"}`;
      $("match-list").replaceChildren(...matched.slice(0, 200).map(sentence));
    }
  };
  let waiting = null;
  $("search").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(search, 120); });
  $("reset").addEventListener("click", async () => {
    $("search").value = "";
    isolated = null;
    pinned = null;
    legend();
    await search();
    if (plot) fit();
    labels();
  });
  $("theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = theme() === "dark" ? "light" : "dark";
    draw();
  });

  // ---- What was found ------------------------------------------------------------------------------------------
  const marks = () => document.querySelectorAll("[data-cluster]").forEach((card) =>
    card.style.setProperty("--mark", COLOURS[theme()][card.dataset.cluster]));

  document.title = data.title;
  $("title").textContent = data.title;
  const [name, version, precision] = data.model;
  $("subtitle").textContent = `${name} · version ${version} · ${precision} · ${data.dimension} dimensions`;
  $("hint").textContent = `${data.projection} map${count < data.total ? `, a sample of ${number(count)}` : ""}${matchMedia("(pointer: coarse)").matches ? "" : " · scroll to zoom, drag to move"}`;
  const dead = data.deadLetters.reduce((sum, cause) => sum + cause.letters, 0);
  const where = count < data.total ? " in the sample" : "";
  const facts = [["sentences", data.total], ["messages", data.messages], [`clusters${where}`, data.clusters.length],
    [`near-duplicate groups${where}`, data.duplicateGroups], ["truncated", data.truncated]];
  if (data.deadLettersGiven) facts.push(["dead letters", dead]);
  $("numbers").append(...facts.map(([what, value]) => make("div", { class: "number" }, make("b", {}, number(value)), make("span", { class: "quiet" }, what))));

  const codes = fields[0].codes;
  const members = (code) => Array.from({ length: count }, (_, row) => row).filter((row) => codes[row] === code);
  $("clusters").append(...data.clusters.map((cluster, code) => make("article", { class: "card", "data-cluster": code },
    make("h3", {}, cluster.label, make("small", {}, number(cluster.size))),
    make("ol", { class: "sentences" }, ...cluster.central.map(sentence)),
    make("button", { type: "button", style: "margin:6px 6px 0;font-size:13px;padding:2px 9px", onclick: () => visit(members(code)) }, "Show on the map"))));

  $("duplicates-note").textContent = data.duplicates.length
    ? `Different sentences of cosine ${data.duplicateThreshold} or more: ${number(data.duplicateGroups)} groups${data.duplicates.length < data.duplicateGroups ? `, the largest ${data.duplicates.length} here` : ""}.`
    : `No two different sentences have a cosine of ${data.duplicateThreshold} or more.`;
  $("duplicates").append(...data.duplicates.map((group) => make("article", { class: "card" },
    make("h3", {}, `${number(group.size)} sentences`, make("small", {}, `cosine from ${group.least.toFixed(3)}`)),
    make("ol", { class: "sentences" }, ...group.rows.slice(0, 4).map(sentence)),
    ...(group.rows.length > 4 ? [make("details", { style: "margin-left:6px" }, make("summary", { class: "quiet" }, `${group.size - 4} more`),
      make("ol", { class: "sentences" }, ...group.rows.slice(4).map(sentence)))] : []))));

  const svg = (what, attributes, ...children) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", what);
    Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
    element.append(...children);
    return element;
  };
  const UNITS = { length: "Characters of a sentence", tokens: "Word pieces that the encoder read of a sentence" };
  Object.entries(data.histograms).forEach(([what, { edges, counts }]) => {
    const most = Math.max(...counts);
    const step = 480 / counts.length;
    const chart = svg("svg", { viewBox: "0 0 500 170", role: "img", "aria-label": UNITS[what] });
    counts.forEach((value, i) => {
      const last = i === counts.length - 1;
      const height = value ? Math.max(1, (value / most) * 130) : 0;
      chart.append(svg("rect", { x: 10 + i * step, y: 145 - height, width: Math.max(1, step - 1.5), height, rx: 1.5 },
        svg("title", {}, `${number(edges[i])} ${last ? "and more" : `to ${number(edges[i + 1] - 1)}`}: ${number(value)}`)));
    });
    chart.append(svg("line", { x1: 10, x2: 490, y1: 145.5, y2: 145.5 }), svg("text", { x: 10, y: 10 }, `most: ${number(most)}`));
    [0, 0.25, 0.5, 0.75].forEach((at) => {
      const i = Math.round(at * counts.length);
      chart.append(svg("text", { x: 10 + i * step, y: 161 }, number(edges[i])));
    });
    chart.append(svg("text", { x: 490, y: 161, "text-anchor": "end" }, number(edges[edges.length - 1])));
    $("histograms").append(make("div", { class: "chart" }, make("h3", {}, UNITS[what]), chart));
  });
  $("truncated").append(make("p", {}, data.truncated
    ? `${number(data.truncated)} of ${number(data.total)} sentences (${((100 * data.truncated) / data.total).toFixed(2)}%) were longer than the encoder read.`
    : "The encoder read every sentence to its end."));
  if (data.truncatedRows.length) $("truncated").append(make("details", {}, make("summary", {}, "Show some"), make("ol", { class: "sentences" }, ...data.truncatedRows.map(sentence))));

  $("dead-letters").append(dead
    ? make("table", {}, make("tr", {}, ...["stage", "cause", "an input", "count"].map((head) => make("th", {}, head))),
      ...data.deadLetters.map((cause) => make("tr", {}, make("td", {}, cause.stage), make("td", {}, cause.cause, make("pre", {}, cause.message === cause.cause ? "" : cause.message)),
        make("td", {}, make("pre", {}, cause.example)), make("td", { class: "count" }, number(cause.letters)))))
    : make("p", { class: "quiet" }, data.deadLettersGiven ? "None: every input became rows." : "Not read; give their files with --dead_letters."));
  if (data.run.length) {
    $("run-section").hidden = false;
    $("run").append(...data.run.map(([what, value]) => make("tr", {}, make("th", {}, what), make("td", {}, value))));
  }

  const ready = start();
  // For whoever drives the page from outside, a test or a console.
  window.report = { data, ready, plot: () => plot, screen: (row) => plot.getScreenPosition(row) };
})();
