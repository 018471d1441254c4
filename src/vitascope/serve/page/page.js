"use strict";

const at = (id) => document.getElementById(id);
const PICTURES_SHOWN = 24; // more make a page that no one scrolls through; the rest is in the download
const BLUE_TO_YELLOW = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
let tasks = [], models = [], files = [], job = null, urls = [];

function make(kind, text, name) {
  const made = document.createElement(kind);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
}

async function ask(path, options = {}) {
  const token = at("token").value.trim();
  const headers = { ...(options.headers || {}), ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  const answer = await fetch(path, { ...options, headers }).catch(() => { throw new Error("The service does not answer. See that it runs, then try again."); });
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({}));
  if (answer.status === 401) at("secret").hidden = false;
  throw new Error([told.message || `The service answered ${answer.status}.`, told.hint || ""].join(" ").trim());
}

const read = async (path) => (await ask(path)).json();
const task = () => tasks.find((one) => one.name === at("task").value);

function say(text, bad = false) {
  at("said").textContent = text;
  at("said").style.color = bad ? "var(--bad)" : "";
}

async function load() {
  try {
    [tasks, models] = [await read("v1/tasks"), await read("v1/models")];
  } catch (error) {
    say(error.message, true);
    return;
  }
  say("");
  at("task").replaceChildren(...tasks.map((one) => new Option(one.title, one.name)));
  showTask();
}

function showTask() {
  const one = task();
  at("summary").textContent = one.summary;
  const fitting = models.filter((model) => model.task === one.name);
  const options = fitting.map((model) => new Option(model.title, model.id));
  if (one.model_is_automatic) options.unshift(new Option("Chosen by the image", "auto"));
  at("model").replaceChildren(...options);
  showModel();
}

function showModel() {
  const model = models.find((one) => one.id === at("model").value);
  at("limits").textContent = model ? [model.data_is_simulated ? "Trained on simulated images only." : "", model.summary].join(" ").trim() : "";
}

function choose(list) {
  files = [...list];
  const shown = files.slice(0, 50).map((file) => make("li", `${file.name} (${(file.size / 1e6).toFixed(1)} MB)`));
  if (files.length > 50) shown.push(make("li", `and ${files.length - 50} more`));
  at("chosen").replaceChildren(...shown);
}

async function start(event) {
  event.preventDefault();
  if (!tasks.length) { await load(); return; }
  if (!files.length) { say("Choose an image first.", true); return; }
  const form = new FormData();
  form.append("task", at("task").value);
  const params = { model: at("model").value };
  if (at("pixel").value) params.pixel_size_um = Number(at("pixel").value);
  form.append("params", JSON.stringify(params));
  if (at("plate").checked) form.append("plate", ".");
  for (const file of files) form.append("image", file, file.name);
  busy(true);
  at("answer").hidden = true;
  say("Sending the images …");
  try {
    const headers = { "Idempotency-Key": crypto.getRandomValues(new Uint32Array(4)).join("-") };
    job = await (await ask("v1/jobs", { method: "POST", body: form, headers })).json();
    await follow();
  } catch (error) {
    say(error.message, true);
  }
  job = null;
  busy(false);
}

function busy(is) {
  at("ask").disabled = is;
  at("start").disabled = is;
  at("cancel").hidden = at("bar").hidden = !is;
  at("bar").value = 0;
}

async function readPatiently(path) { // a line that fails for a moment ends no job
  for (let left = 5; ; left--) {
    try {
      return await read(path);
    } catch (error) {
      if (!left) throw error;
      await new Promise((done) => setTimeout(done, 1000));
    }
  }
}

async function follow() {
  for (;;) {
    job = await readPatiently(`v1/jobs/${job.id}`);
    const p = job.progress;
    at("bar").value = p.fraction;
    say(p.images > 1 ? `Image ${p.image} of ${p.images}: ${p.stage}` : p.stage);
    if (!["queued", "running"].includes(job.state)) break;
    await new Promise((done) => setTimeout(done, 400));
  }
  if (job.state === "cancelled") { say("Cancelled: nothing half-done was left behind."); return; }
  const failed = job.state === "failed";
  if (!failed || Object.keys(job.counts).length) {
    say("Loading the results …");
    await show(await read(`v1/jobs/${job.id}/result`), await read(`v1/jobs/${job.id}/files`));
  }
  say(failed ? [job.error.message, job.error.hint].join(" ") : "Done.", failed);
}

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const short = (value) => (Number.isInteger(value) ? value : Number(value.toPrecision(3))).toLocaleString("en", { maximumSignificantDigits: 15 });

async function show(rows, all) {
  urls.forEach((url) => URL.revokeObjectURL(url));
  urls = [];
  const one = task(), id = job.id;
  at("downloads").replaceChildren(...["results.csv", "objects.csv", "results.parquet", "provenance.json"]
    .filter((name) => all.some((file) => file.name === name))
    .map((name) => download(`v1/jobs/${id}/result/${name}`, name)));
  at("heat").replaceChildren(...(at("plate").checked ? [heat(rows, one)] : []));
  at("cards").replaceChildren();
  at("answer").hidden = false;
  const pictures = byImage(all);
  let left = PICTURES_SHOWN;
  for (const row of rows) {
    const made = card(row, one), maps = make("div", undefined, "maps");
    made.append(maps);
    at("cards").append(made);
    for (const [title, name, saved] of pictures.get(row.image) || pictures.get(`${row.well}/${row.field}`) || []) {
      if (left <= 0 && !saved) continue;
      const figure = left-- > 0 ? await picture(id, name, title) : make("figure");
      if (saved) figure.append(download(`v1/jobs/${id}/result/${name}`, name, "Save picture"));
      maps.append(figure);
    }
  }
}

// Pictures as [title, name, whether they are one file], by the image's name, or by well and field where the result is a plate's
function byImage(all) {
  const found = new Map(), add = (key, one) => found.set(key, [...(found.get(key) || []), one]);
  for (const { name } of all) {
    const plain = name.match(/^([^/]+)\/([^/]+?)(\.ome)?\.\w+$/);
    const inPlate = name.match(/^([^/]+)\.ome\.zarr\/([A-Z]+)\/(\d+)\/([^/]+)(?:\/labels\/([^/]+))?\/zarr\.json$/);
    if (plain && !plain[1].endsWith(".zarr")) add(plain[2], [plain[1], name, true]);
    if (inPlate && inPlate[4] !== "labels") add(`${inPlate[2]}${inPlate[3].padStart(2, "0")}/${inPlate[4]}`, [inPlate[5] || inPlate[1], name.replace(/\/zarr\.json$/, ""), false]);
  }
  return found;
}

function card(row, one) {
  const made = make("div", undefined, "card"), text = make("div");
  const where = [row.well, row.time !== null && row.time !== undefined ? `time ${row.time}` : ""].filter(Boolean).join(", ");
  text.append(make("h2", where ? `${row.image} (${where})` : row.image));
  const value = row[one.headline], low = row[one.low], high = row[one.high], number = make("p", undefined, "number");
  if (isNumber(value)) {
    const said = one.headline_text && row[one.headline_text] ? `${row[one.headline_text]}, ` : "";
    number.append(`${said}${short(value)} ${row.unit || ""} `);
    if (isNumber(low) && isNumber(high)) {
      const level = isNumber(row.interval_level) ? `, ${Math.round(100 * row.interval_level)} % interval` : "";
      number.append(make("small", `${short(low)} to ${short(high)}${level}`));
    }
    text.append(make("div", one.headline_title, "quiet"), number);
  }
  const [words, kind] = badge(row);
  text.append(make("span", words, `badge ${kind}`));
  if (row.flags) text.append(" ", make("span", row.flags.replaceAll("_", " ").replaceAll(";", ", "), "quiet"));
  if (row.message) text.append(make("p", row.message));
  made.append(text);
  return made;
}

function badge(row) {
  const flags = (row.flags || "").split(";");
  if (row.status === "REJECTED") return ["Cannot be judged", "bad"];
  if (row.status === "FAILED" || row.status === "INCOMPLETE") return ["Failed", "bad"];
  if (flags.includes("outside_model")) return ["Outside what the model knows", "bad"];
  if (flags.includes("unsure")) return ["Unsure", "warn"];
  return row.status === "WARN" ? ["Look at the remarks", "warn"] : ["Fits the model", ""];
}

async function picture(id, name, title) {
  const figure = make("figure"), image = make("img");
  image.alt = `${title} (${name})`;
  try {
    const url = URL.createObjectURL(await (await ask(`v1/jobs/${id}/preview/${name}`)).blob());
    urls.push(url);
    image.src = url;
    figure.append(image);
  } catch (error) {
    figure.append(make("span", error.message));
  }
  figure.append(make("figcaption", title));
  return figure;
}

function download(path, name, words) {
  const button = make("button", words || `Save ${name}`);
  button.type = "button";
  button.title = name;
  button.addEventListener("click", async () => {
    try {
      const url = URL.createObjectURL(await (await ask(path)).blob()), link = make("a");
      link.href = url;
      link.download = name.split("/").pop();
      link.click();
      setTimeout(() => URL.revokeObjectURL(url), 60000);
    } catch (error) {
      say(error.message, true);
    }
  });
  return button;
}

function heat(rows, one) {
  const wells = new Map();
  for (const row of rows) if (row.well && isNumber(row[one.headline])) wells.set(row.well, [...(wells.get(row.well) || []), row[one.headline]]);
  const means = new Map([...wells].map(([well, values]) => [well, values.reduce((a, b) => a + b, 0) / values.length]));
  if (!means.size) return make("p", "No well has a number.");
  const letters = [...means.keys()].map((well) => well.replace(/\d+/, "")), numbers = [...means.keys()].map((well) => Number(well.replace(/\D+/, "")));
  const rank = (text) => [...text].reduce((sum, letter) => 26 * sum + letter.charCodeAt(0) - 64, 0);
  const [most, widest] = [Math.max(8, ...letters.map(rank)), Math.max(12, ...numbers)];
  const values = [...means.values()], low = Math.min(...values), high = Math.max(...values);
  const table = make("table", undefined, "heat"), head = make("tr");
  head.append(make("th"), ...Array.from({ length: widest }, (_, n) => make("th", String(n + 1))));
  table.append(make("caption", `${one.headline_title}: ${short(low)} to ${short(high)}`), head);
  for (let r = 1; r <= most; r++) {
    const letter = r > 26 ? `A${String.fromCharCode(38 + r)}` : String.fromCharCode(64 + r), line = make("tr");
    line.append(make("th", letter));
    for (let c = 1; c <= widest; c++) {
      const cell = make("td"), mean = means.get(`${letter}${String(c).padStart(2, "0")}`);
      if (mean !== undefined) {
        const part = high > low ? (mean - low) / (high - low) : 0.5;
        cell.textContent = short(mean);
        cell.style.background = colour(part);
        cell.style.color = part < 0.6 ? "#fff" : "#000";
      }
      line.append(cell);
    }
    table.append(line);
  }
  return table;
}

function colour(part) {
  const place = part * (BLUE_TO_YELLOW.length - 1), k = Math.min(BLUE_TO_YELLOW.length - 2, Math.floor(place));
  const mixed = BLUE_TO_YELLOW[k].map((from, n) => Math.round(from + (place - k) * (BLUE_TO_YELLOW[k + 1][n] - from)));
  return `rgb(${mixed.join(",")})`;
}

at("form").addEventListener("submit", start);
at("task").addEventListener("change", showTask);
at("model").addEventListener("change", showModel);
at("token").addEventListener("change", load);
at("images").addEventListener("change", () => choose(at("images").files));
at("cancel").addEventListener("click", () => job && ask(`v1/jobs/${job.id}`, { method: "DELETE" }).catch((error) => say(error.message, true)));
at("drop").addEventListener("keydown", (event) => { if (["Enter", " "].includes(event.key)) { event.preventDefault(); at("images").click(); } });
for (const kind of ["dragover", "dragleave", "drop"]) {
  at("drop").addEventListener(kind, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") choose(event.dataTransfer.files);
  });
}
load();
