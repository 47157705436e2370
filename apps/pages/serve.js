// SPDX-License-Identifier: MIT
// Sends a photo and shows the answer. Names of classes and layers only ever go through textContent and attributes.
const state = { photo: null, target: null, asked: 0, most: 0 };

function complain(text) {
  $("error").textContent = text || "";
  $("error").hidden = !text;
}

// The JSON of an answer; an error's sentence is thrown.
async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("The server does not answer: is it still running?");
  }
  const json = await answer.json().catch(() => ({ error: `the server answered ${answer.status}` }));
  if (!answer.ok) throw new Error(json.hint ? `${json.error} (${json.hint})` : json.error);
  return json;
}

async function add(file) {
  if (!file) return;
  complain();
  if (state.most && file.size > state.most) return complain(`${file.name} is too large: the limit is ${state.most >> 20} MB`);
  const mine = ++state.asked;
  $("result").classList.add("busy");
  $("drop").setAttribute("aria-busy", "true");
  try {
    const photo = await ask("/api/photos", { method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" } });
    if (mine !== state.asked) return;
    state.photo = photo;
    state.target = photo.classes[0].index;
    $("photo").src = `/api/photos/${photo.id}/picture.png`;
    $("photo").alt = file.name;
    $("explore").href = `/api/photos/${photo.id}/explore`;
    $("verdict").textContent = `${photo.classes[0].name}, ${percent(photo.classes[0].probability)}`;
    $("shown").textContent = "the model's input" + shownHow(photo);
    showClasses();
    $("drop").classList.add("small");
    $("drop").querySelector("h2").textContent = "Drop another photo";
    $("result").hidden = false;
    await explain();
  } catch (error) {
    complain(error.message);
  } finally {
    $("result").classList.remove("busy");
    $("drop").removeAttribute("aria-busy");
    $("file").value = "";
  }
}

// For a photo with an EXIF orientation.
function shownHow(photo) {
  if (!photo.exif_orientation) return "";
  return photo.exif_rotated ? ", turned upright" : ", as stored: its EXIF data asks for a rotation (--exif-rotate turns it)";
}

function showClasses() {
  $("classes").replaceChildren(...state.photo.classes.map((one) => {
    const bar = element("i");
    bar.style.width = percent(one.probability).replace(" ", "");
    return element("label", { class: "class" },
      element("input", { type: "radio", name: "class", value: one.index, checked: one.index === state.target,
                         "aria-label": `${one.name}, ${percent(one.probability)}`, onchange: () => { state.target = one.index; explain(); } }),
      element("span", { class: "name", title: one.name }, one.name), element("span", { class: "bar", "aria-hidden": "true" }, bar),
      element("span", { class: "share mono" }, percent(one.probability)));
  }));
}

async function explain() {
  if (!state.photo) return;
  const mine = ++state.asked;
  const question = new URLSearchParams({ layer: $("layer").value, method: $("method").value, colormap: $("colormap").value, class: state.target });
  $("why").classList.add("busy");
  try {
    const why = await ask(`/api/photos/${state.photo.id}/why?${question}`);
    if (mine !== state.asked) return;
    complain();
    $("why").src = why.image;
    $("why").alt = `Evidence for ${why.class}: ${why.method} at ${why.layer}`;
    $("caption").textContent = why.method === "guided" ? `evidence for ${why.class}` : `evidence for ${why.class} at ${why.layer}`;
    $("note").textContent = why.note;
    $("note").hidden = !why.note;
  } catch (error) {
    if (mine === state.asked) complain(error.message);
  } finally {
    if (mine === state.asked) $("why").classList.remove("busy");
  }
}

function fill(id, names, chosen) {
  $(id).replaceChildren(...names.map((name) => element("option", { selected: name === chosen }, name)));
  $(id).addEventListener("change", explain);
}

const prefersDark = matchMedia("(prefers-color-scheme: dark)");
function setTheme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  $("theme").setAttribute("aria-pressed", dark);
}

function listen() {
  $("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme !== "dark"));
  prefersDark.addEventListener("change", (event) => setTheme(event.matches));
  $("file").addEventListener("change", (event) => add(event.target.files[0]));
  const over = (on) => (event) => { event.preventDefault(); $("drop").classList.toggle("over", on); };
  document.addEventListener("dragover", over(true));
  document.addEventListener("dragleave", over(false));
  document.addEventListener("drop", (event) => {
    over(false)(event);
    add(event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", (event) => add(event.clipboardData.files[0]));
}

async function start() {
  setTheme(prefersDark.matches);
  listen();
  try {
    const about = await ask("/api/about");
    $("model").textContent = `${about.arch} at ${about.size} pixels, ${about.classes.length} classes`;
    $("kinds").textContent = `JPEG, PNG, WebP, BMP or GIF, up to ${about.most_bytes >> 20} MB. It stays on this machine.`;
    state.most = about.most_bytes;
    fill("layer", about.layers, "layer4");
    fill("method", about.methods, "gradcam");
    fill("colormap", about.colormaps, "magma");
    document.documentElement.dataset.ready = "true";
  } catch (error) {
    complain(error.message);
  }
}

start();
