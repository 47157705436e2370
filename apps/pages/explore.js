// SPDX-License-Identifier: MIT
// What the page does with the document of apps/pages/explore.h. Names in it are data: they only ever go through textContent and setAttribute.
const data = JSON.parse(document.getElementById("data").textContent);
const PAGE = 64;

const state = {
  module: "", call: 0, kind: "activation", channel: 0, target: 0, over: "cam", sort: "weight", common: false, relu: false, alpha: 0.6,
  colors: "magma", shown: PAGE, cell: null,
};

// ---- small things ------------------------------------------------------------------------------------------------------------------

function number(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1e5 || size < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(4)));
}

const plural = (n, word) => `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;
const title = (name) => name || "the whole network";

function table(name) {
  const hex = data.colors[name];
  const colors = new Uint8Array(768);
  for (let i = 0; i < 768; ++i) colors[i] = parseInt(hex.slice(2 * i, 2 * i + 2), 16);
  return colors;
}
const tables = Object.fromEntries(Object.keys(data.colors).map((name) => [name, table(name)]));

// ---- the document ------------------------------------------------------------------------------------------------------------------

const modules = new Map(data.modules.map((one) => [one.name, { ...one, children: [], captures: [] }]));
for (const one of modules.values()) {
  if (one.name === "") continue;
  const dot = one.name.lastIndexOf(".");
  modules.get(dot < 0 ? "" : one.name.slice(0, dot)).children.push(one);
}
data.captures.forEach((capture) => modules.get(capture.module).captures.push(capture));

const capture = () => modules.get(state.module).captures[state.call];
const channels = () => capture()[state.kind] || capture().activation;
const cells = (of) => ({ width: Math.ceil(of.width / of.shrink), height: Math.ceil(of.height / of.shrink) });
const hasPlaces = () => capture().height * capture().width > 1;

const decoded = new Map();  // image -> its grey values and width
async function pixelsOf(index) {
  if (!decoded.has(index)) {
    const image = new Image();
    image.src = "data:image/png;base64," + data.images[index];
    decoded.set(index, image.decode().then(() => {
      const canvas = element("canvas", { width: image.width, height: image.height });
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(image, 0, 0);
      const rgba = context.getImageData(0, 0, image.width, image.height).data;
      const grey = new Uint8Array(image.width * image.height);
      for (let i = 0; i < grey.length; ++i) grey[i] = rgba[4 * i];
      return { grey, width: image.width };
    }));
  }
  return decoded.get(index);
}

// The values of one channel: {values, width, height, lo, hi}.
async function channelValues(of, kind, channel) {
  const { width, height } = cells(of);
  const text = of[kind];
  const { grey, width: stride } = await pixelsOf(text.image);
  const left = (channel % text.columns) * width, top = Math.floor(channel / text.columns) * height;
  const lo = text.lo[channel], hi = text.hi[channel];
  const values = new Float32Array(width * height);
  for (let y = 0; y < height; ++y)
    for (let x = 0; x < width; ++x) values[y * width + x] = lo + grey[(top + y) * stride + left + x] / 255 * (hi - lo);
  return { values, width, height, lo, hi };
}

function camValues(of, target) {
  const map = of.maps[target];
  if (!map) return null;
  const bytes = Uint8Array.from(atob(map.bytes), (c) => c.charCodeAt(0));
  const { width, height } = cells(of);
  const values = Float32Array.from(bytes, (b) => map.lo + b / 255 * (map.hi - map.lo));
  if (!state.relu) return { values, width, height, lo: map.lo, hi: map.hi };
  return { values: values.map((v) => Math.max(v, 0)), width, height, lo: 0, hi: Math.max(map.hi, 0) };
}

// ---- drawing -----------------------------------------------------------------------------------------------------------------------

const share = (v, lo, hi) => hi > lo ? Math.min(255, Math.max(0, Math.floor((v - lo) / (hi - lo) * 256))) : 0;

// Unscaled, one pixel per cell.
function paintCells(canvas, map, lo, hi) {
  canvas.width = map.width;
  canvas.height = map.height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(map.width, map.height);
  const colors = tables[state.colors];
  map.values.forEach((v, i) => {
    const color = 3 * share(v, lo, hi);
    image.data.set([colors[color], colors[color + 1], colors[color + 2], 255], 4 * i);
  });
  context.putImageData(image, 0, 0);
}

// Interpolated between the centres of its cells, constant beyond the outer ones, then coloured, as in `mirilla gradcam`.
function stretched(map, side) {
  const out = new Float32Array(side * side);
  const at = (i, n) => Math.min(n - 1, Math.max(0, (i + 0.5) * n / side - 0.5));
  for (let y = 0; y < side; ++y) {
    const v = at(y, map.height), top = Math.floor(v), low = Math.min(top + 1, map.height - 1), t = v - top;
    for (let x = 0; x < side; ++x) {
      const u = at(x, map.width), left = Math.floor(u), right = Math.min(left + 1, map.width - 1), s = u - left;
      const above = map.values[top * map.width + left] * (1 - s) + map.values[top * map.width + right] * s;
      const below = map.values[low * map.width + left] * (1 - s) + map.values[low * map.width + right] * s;
      out[y * side + x] = above * (1 - t) + below * t;
    }
  }
  return { values: out, width: side, height: side, lo: map.lo, hi: map.hi };
}

const photo = new Image();
const layer = element("canvas");

// A request that waited for an image is not shown if a newer one followed: turns.picture, .cell and .tiles count the requests.
const turns = { picture: 0, cell: 0, tiles: 0 };

async function drawPicture() {
  const mine = ++turns.picture;
  const wanted = state.over === "cam" ? camValues(capture(), state.target)
    : state.over === "channel" && hasPlaces() ? await channelValues(capture(), state.kind, state.channel) : null;
  if (mine !== turns.picture) return;
  const canvas = $("base"), context = canvas.getContext("2d");
  context.globalAlpha = 1;
  context.drawImage(photo, 0, 0, canvas.width, canvas.height);
  if (wanted) {
    const smooth = state.over === "cam" ? stretched(wanted, 256) : wanted;
    paintCells(layer, smooth, smooth.lo, smooth.hi);
    context.imageSmoothingEnabled = state.over === "cam";
    context.globalAlpha = state.alpha;
    context.drawImage(layer, 0, 0, canvas.width, canvas.height);
  }
  const what = state.over === "cam" ? `Grad-CAM at ${title(state.module)} for ${data.classes[state.target].name}`
    : state.over === "channel" ? `${state.kind} of channel ${state.channel} of ${title(state.module)}` : "alone";
  $("picture").setAttribute("aria-label", `${data.file}, ${wanted || state.over === "none" ? what : "alone: this module has one value per channel"}. ` +
    "Arrow keys move from cell to cell.");
  drawMarks();
}

// The chosen cell's square, and the part of the picture that it depends on: its receptive field.
function drawMarks() {
  const canvas = $("marks"), context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (!state.cell || !hasPlaces()) return;
  const { width, height } = cells(capture());
  const w = canvas.width / width, h = canvas.height / height;
  const x = state.cell.x * w, y = state.cell.y * h;
  const field = modules.get(state.module).field * canvas.width / data.size;
  const rectangle = (left, top, wide, high, dash) => {
    for (const [color, line] of [["#000", 5], ["#fff", 2]]) {
      context.setLineDash(dash);
      context.strokeStyle = color;
      context.lineWidth = line;
      context.strokeRect(left, top, wide, high);
    }
  };
  rectangle(x + w / 2 - field / 2, y + h / 2 - field / 2, field, field, [8, 6]);
  rectangle(x, y, w, h, []);
}

async function tellCell() {
  const mine = ++turns.cell, of = capture();
  if (!hasPlaces()) {
    $("readout").textContent = `${title(state.module)} has no places: only one number per channel.`;
    return;
  }
  const field = modules.get(state.module).field;
  if (!state.cell) {
    $("readout").textContent = `${of.height} x ${of.width} cells, each with a receptive field of ${field} x ${field} pixels; the picture has ${data.size} x ${data.size}. Point at a cell.`;
    return;
  }
  const { x, y } = state.cell, { width, height } = cells(of);
  const one = await channelValues(of, of[state.kind] ? state.kind : "activation", state.channel);
  if (mine !== turns.cell) return;
  const cam = camValues(of, state.target);
  const span = (i, n) => `${Math.round(i * data.size / n)}-${Math.round((i + 1) * data.size / n) - 1}`;
  $("readout").textContent = `row ${y}, column ${x}: channel ${state.channel} is ${number(one.values[y * width + x])}` +
    (cam ? `, Grad-CAM ${number(cam.values[y * width + x])}` : "") +
    `. Pixels ${span(x, width)} x ${span(y, height)}, receptive field ${field} x ${field}.`;
}

function pointAt(cell) {
  if (cell && state.cell && cell.x === state.cell.x && cell.y === state.cell.y) return;
  state.cell = cell;
  drawMarks();
  drawTileMarks();
  tellCell();
}

function cellUnder(event, of) {
  const shown = event.currentTarget.querySelector("canvas"), box = shown.getBoundingClientRect(), { width, height } = cells(of);
  const at = (position, length, n) => Math.min(n - 1, Math.max(0, Math.floor(position / length * n)));
  return { x: at(event.clientX - box.left, box.width, width), y: at(event.clientY - box.top, box.height, height) };
}

// ---- choices -----------------------------------------------------------------------------------------------------------------------

function pills(id, name, choices, chosen, choose) {
  $(id).replaceChildren(...choices.map(({ value, text, disabled }) => element("label", {},
    element("input", { type: "radio", name, value, checked: value === chosen, disabled, onchange: () => choose(value) }), text)));
}

function showChoices() {
  const of = capture();
  $("calls").hidden = of.calls < 2;
  pills("calls", "call", Array.from({ length: of.calls }, (_, i) => ({ value: i, text: `call ${i + 1} of ${of.calls}` })), state.call,
        (value) => { state.call = value; update(); });
  pills("over", "over", [{ value: "cam", text: "Grad-CAM", disabled: !hasPlaces() }, { value: "channel", text: "channel", disabled: !hasPlaces() },
                         { value: "none", text: "picture" }], state.over, (value) => { state.over = value; drawPicture(); });
  pills("values", "values", [{ value: "activation", text: "activation" }, { value: "gradient", text: "gradient", disabled: !of.gradient }],
        state.kind, (value) => { state.kind = value; showNumbers(); showTiles(); drawPicture(); tellCell(); });
}

function showClasses() {
  $("classes").replaceChildren(...data.classes.map((one, i) => {
    const bar = element("i");
    bar.style.width = percent(one.probability).replace(" ", "");
    return element("label", { class: "class" },
      element("input", { type: "radio", name: "class", value: i, checked: i === state.target,
                         "aria-label": `${one.name}, ${percent(one.probability)}`, onchange: () => chooseClass(i) }),
      element("span", { class: "name", title: one.name }, one.name), element("span", { class: "bar", "aria-hidden": "true" }, bar),
      element("span", { class: "share mono" }, percent(one.probability)));
  }));
}

function chooseClass(target) {
  state.target = target;
  showTiles();
  drawPicture();
  tellCell();
}

// ---- the module ----------------------------------------------------------------------------------------------------------------------

function showModule() {
  const module = modules.get(state.module), of = capture();
  $("name").textContent = title(state.module);
  const parts = [module.kind, hasPlaces() ? `${of.height} x ${of.width} places, ${plural(of.channels, "channel")}` : plural(of.channels, "value"),
                 plural(module.parameters, "parameter")];
  if (hasPlaces()) parts.push(`receptive field ${module.field} x ${module.field} pixels`);
  $("about").textContent = parts.join(" · ");
}

function showNumbers() {
  const text = channels();
  $("statistics-title").textContent = text === capture().activation ? "Activation" : `Gradient of ${targetName()}'s logit`;
  const facts = { "minimum": number(text.min), "mean": number(text.mean_all), "maximum": number(text.max), "std. deviation": number(text.std),
                  "zeros": percent(text.zeros) };
  if (text.not_finite) facts["not finite"] = String(text.not_finite);
  $("facts").replaceChildren(...Object.entries(facts).map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
  drawHistogram(text.histogram);
}

const targetName = () => data.classes.find((one) => one.index === data.target).name;

function drawHistogram({ lo, hi, counts }) {
  const canvas = $("histogram"), context = canvas.getContext("2d"), most = Math.max(...counts);
  const style = getComputedStyle(document.documentElement), color = (name) => style.getPropertyValue(name);
  context.clearRect(0, 0, canvas.width, canvas.height);
  const width = canvas.width / counts.length;
  counts.forEach((count, i) => {
    const height = count ? Math.max(2, Math.log1p(count) / Math.log1p(most) * (canvas.height - 4)) : 0;  // so that few values are visible too
    context.fillStyle = color(lo <= 0 && i === Math.floor(-lo / (hi - lo || 1) * counts.length) ? "--accent" : "--soft");
    context.fillRect(i * width + 1, canvas.height - height - 1, width - 2, height);
  });
  context.fillStyle = color("--line");
  context.fillRect(0, canvas.height - 1, canvas.width, 1);
  $("histogram-lo").textContent = number(lo);
  $("histogram-hi").textContent = number(hi);
  const peak = counts.indexOf(most), edge = (i) => number(lo + i / counts.length * (hi - lo));
  canvas.setAttribute("aria-label", `Histogram, heights logarithmic: from ${number(lo)} to ${number(hi)}, most values from ${edge(peak)} to ${edge(peak + 1)}`);
}

// ---- channels ------------------------------------------------------------------------------------------------------------------------

const SORTS = { weight: "evidence for the class", mean: "mean", hi: "largest value", number: "channel number" };

function score(channel) {
  const of = capture();
  if (state.sort === "weight") return (of.weights[state.target] || [])[channel] * of.activation.mean[channel];
  return state.sort === "number" ? -channel : channels()[state.sort][channel];
}

function sorted() {
  const order = Array.from({ length: capture().channels }, (_, i) => i);
  const scores = order.map(score);
  return order.sort((a, b) => scores[b] - scores[a] || a - b);
}

async function showTiles() {
  const mine = ++turns.tiles, of = capture(), kind = of[state.kind] ? state.kind : "activation", order = sorted();
  const shown = order.slice(0, state.shown), text = of[kind];
  if (!order.includes(state.channel)) state.channel = order[0];
  const lo = Math.min(...text.lo), hi = Math.max(...text.hi);
  const { width, height } = cells(of);
  $("channels-note").textContent = `${shown.length} of ${plural(of.channels, "channel")}; below each is its ` +
    (state.sort === "weight" ? `weight for ${data.classes[state.target].name} times its mean activation` : `mean ${kind}`) +
    (of.shrink > 1 ? `. Shown at ${height} x ${width}: each cell is the mean of ${of.shrink} x ${of.shrink} places.` : ".");
  $("more").hidden = shown.length >= order.length;
  $("more").textContent = `Show ${Math.min(PAGE * 2, order.length - shown.length)} more`;
  const old = $("tiles").contains(document.activeElement);
  const focus = shown.includes(state.channel) ? state.channel : shown[0];
  await pixelsOf(text.image);
  const made = await Promise.all(shown.map(async (channel) => {
    const value = state.sort === "weight" ? score(channel) : text.mean[channel];
    const map = await channelValues(of, kind, channel);
    const canvas = element("canvas", { "aria-hidden": "true" });
    if (state.common) paintCells(canvas, map, lo, hi); else paintCells(canvas, map, map.lo, map.hi);
    return element("div", { class: "tile", role: "option", tabindex: channel === focus ? 0 : -1, id: `channel-${channel}`,
                            "data-channel": channel, "aria-selected": channel === state.channel ? "true" : "false",
                            "aria-label": `channel ${channel}, ${number(value)}`, onclick: () => chooseChannel(channel),
                            onpointermove: (event) => hasPlaces() && pointAt(cellUnder(event, of)), onpointerleave: () => pointAt(null) },
                   canvas, element("span", { "aria-hidden": "true" }, element("b", {}, String(channel)), value.toPrecision(2)));
  }));
  if (mine !== turns.tiles) return;
  $("tiles").replaceChildren(...made);
  if (old) $(`channel-${focus}`).focus();
}

// The cell under the pointer, in the chosen channel's tile.
async function drawTileMarks() {
  const tile = document.getElementById(`channel-${state.channel}`);
  if (!tile) return;
  const canvas = tile.querySelector("canvas"), of = capture(), kind = of[state.kind] ? state.kind : "activation", text = of[kind];
  const map = await channelValues(of, kind, state.channel);
  if (state.common) paintCells(canvas, map, Math.min(...text.lo), Math.max(...text.hi)); else paintCells(canvas, map, map.lo, map.hi);
  if (!state.cell || !hasPlaces()) return;
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(state.cell.x, state.cell.y, 1, 1);
}

function chooseChannel(channel) {
  state.channel = channel;
  for (const tile of $("tiles").children) {
    const chosen = Number(tile.dataset.channel) === channel;
    tile.setAttribute("aria-selected", chosen);
    tile.tabIndex = chosen ? 0 : -1;
    if (chosen) tile.focus();
  }
  if (hasPlaces() && state.over !== "channel") {
    state.over = "channel";
    showChoices();
  }
  drawPicture();
  tellCell();
}

function tilesKey(event) {
  const tiles = [...$("tiles").children], at = tiles.indexOf(document.activeElement);
  if (at < 0) return;
  const columns = tiles.filter((tile) => tile.offsetTop === tiles[0].offsetTop).length;
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns };
  let to = event.key === "Home" ? 0 : event.key === "End" ? tiles.length - 1 : event.key in steps ? at + steps[event.key] : -1;
  if (to < 0 || to >= tiles.length) return;
  event.preventDefault();
  chooseChannel(Number(tiles[to].dataset.channel));
}

// ---- the tree ------------------------------------------------------------------------------------------------------------------------

function treeItem(module, level) {
  const short = module.name === "" ? data.arch : module.name.slice(module.name.lastIndexOf(".") + 1);
  const parent = module.children.length > 0;
  const item = element("li", { role: "treeitem", "aria-level": level, "data-name": module.name, tabindex: -1, "aria-selected": "false",
                               "aria-expanded": parent ? String(level < 2) : undefined, "aria-label": `${short}, ${module.kind}` },
    element("div", { class: "node" }, element("span", { class: "twist", "aria-hidden": "true" }, parent ? "\u25B6" : ""),
            element("span", {}, short), element("span", { class: "kind" }, module.kind)));
  if (parent) item.append(element("ul", { role: "group" }, ...module.children.map((child) => treeItem(child, level + 1))));
  return item;
}

const itemOf = (name) => [...document.querySelectorAll("[role=treeitem]")].find((item) => item.dataset.name === name);
const visible = () => [...document.querySelectorAll("[role=treeitem]")].filter((item) => !item.parentElement.closest("[aria-expanded=false]"));

function focusItem(item) {
  for (const other of document.querySelectorAll("[role=treeitem]")) other.tabIndex = other === item ? 0 : -1;
  item.focus();
}

function treeKey(event) {
  const item = event.target.closest("[role=treeitem]"), all = visible(), at = all.indexOf(item);
  const expanded = item.getAttribute("aria-expanded"), above = item.parentElement.closest("[role=treeitem]");
  const go = (to) => { if (to) focusItem(to); };
  if (event.key === "ArrowDown") go(all[at + 1]);
  else if (event.key === "ArrowUp") go(all[at - 1]);
  else if (event.key === "Home") go(all[0]);
  else if (event.key === "End") go(all[all.length - 1]);
  else if (event.key === "ArrowRight") expanded === "false" ? item.setAttribute("aria-expanded", "true") : expanded && go(all[at + 1]);
  else if (event.key === "ArrowLeft") expanded === "true" ? item.setAttribute("aria-expanded", "false") : go(above);
  else if (event.key === "Enter" || event.key === " ") choose(item.dataset.name);
  else if (event.key.length === 1 && /\S/.test(event.key) && !event.ctrlKey && !event.metaKey && !event.altKey) {
    const rest = [...all.slice(at + 1), ...all.slice(0, at + 1)];
    go(rest.find((one) => one.getAttribute("aria-label").startsWith(event.key.toLowerCase())));
  } else return;
  event.preventDefault();
  event.stopPropagation();
}

function treeClick(event) {
  const item = event.target.closest("[role=treeitem]");
  if (!item) return;
  const again = item.getAttribute("aria-selected") === "true" || event.target.classList.contains("twist");
  if (again && item.hasAttribute("aria-expanded")) item.setAttribute("aria-expanded", item.getAttribute("aria-expanded") !== "true");
  else if (item.hasAttribute("aria-expanded")) item.setAttribute("aria-expanded", "true");
  focusItem(item);
  if (!event.target.classList.contains("twist")) choose(item.dataset.name);
}

function choose(name) {
  state.module = name;
  state.call = modules.get(name).captures.length - 1;
  state.channel = -1;
  state.shown = PAGE;
  state.cell = null;
  for (const item of document.querySelectorAll("[role=treeitem]")) item.setAttribute("aria-selected", item.dataset.name === name);
  update();
}

function update() {
  if (!capture()[state.kind]) state.kind = "activation";
  if (state.channel < 0) state.channel = sorted()[0];
  showChoices();
  showModule();
  showNumbers();
  showTiles();
  drawPicture();
  tellCell();
}

// ---- light and dark, and the start ---------------------------------------------------------------------------------------------------

const prefersDark = matchMedia("(prefers-color-scheme: dark)");
function setTheme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  $("theme").setAttribute("aria-pressed", dark);
  if (state.module || $("name").textContent) drawHistogram(channels().histogram);
}

function start() {
  document.title = `${data.file}: every module of ${data.arch}`;
  $("file").textContent = `${data.file} · ${data.arch} at ${data.size} pixels`;
  $("colors").append(...Object.keys(data.colors).map((name) => element("option", {}, name)));
  $("sort").append(...Object.entries(SORTS).map(([value, text]) => element("option", { value }, text)));
  $("tree").append(treeItem(modules.get(""), 1));
  $("tree").addEventListener("keydown", treeKey);
  $("tree").addEventListener("click", treeClick);
  $("tiles").addEventListener("keydown", tilesKey);
  $("colors").addEventListener("change", (event) => { state.colors = event.target.value; showTiles(); drawPicture(); });
  $("sort").addEventListener("change", (event) => { state.sort = event.target.value; showTiles(); });
  $("common").addEventListener("change", (event) => { state.common = event.target.checked; showTiles(); });
  $("relu").addEventListener("change", (event) => { state.relu = event.target.checked; drawPicture(); });
  $("alpha").addEventListener("input", (event) => { state.alpha = event.target.value / 100; drawPicture(); });
  $("more").addEventListener("click", () => { state.shown += 2 * PAGE; showTiles(); });
  $("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme !== "dark"));
  prefersDark.addEventListener("change", (event) => setTheme(event.matches));
  $("picture").addEventListener("pointermove", (event) => hasPlaces() && pointAt(cellUnder(event, capture())));
  $("picture").addEventListener("pointerleave", () => pointAt(null));
  $("picture").addEventListener("keydown", (event) => {
    const step = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
    if (!step || !hasPlaces()) return;
    event.preventDefault();
    const { width, height } = cells(capture()), from = state.cell || { x: 0, y: 0 }, move = state.cell ? step : [0, 0];
    pointAt({ x: Math.min(width - 1, Math.max(0, from.x + move[0])), y: Math.min(height - 1, Math.max(0, from.y + move[1])) });
  });
  state.target = Math.max(0, data.classes.findIndex((one) => one.index === data.target));
  showClasses();
  setTheme(prefersDark.matches);
  const first = modules.has("layer4") ? "layer4" : [...modules.keys()].find((name) => name !== "");
  itemOf(first).tabIndex = 0;
  choose(first);
}

photo.onload = () => { start(); document.documentElement.dataset.ready = "true"; };
photo.src = data.picture;
