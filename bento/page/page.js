// The page for people. Everything shown comes from this server's own API; text is set as text, never as HTML.
"use strict";

const PAGE = 50;
const LISTED = 500; // what a release's list holds at most, unless the contract says otherwise
const $ = (id) => document.getElementById(id);
const state = { entity: "customer", whole: false, rows: [], shown: [], sort: "rank", down: false, first: 0, total: 0, asOf: "" };

async function ask(path, body) {
  const options = body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  let answer;
  try {
    answer = await fetch(path, { ...options, cache: "no-store" });
  } catch {
    throw new Error("The server does not answer. Is it still running?");
  }
  const value = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    const told = value.error || {};
    throw Object.assign(new Error(told.message || `The server answered ${answer.status}.`), { hint: told.hint || "" });
  }
  return value;
}

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

const money = (value) => value.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const ended = (text) => /[.!?]$/.test(text) ? text : `${text}.`;
const percent = (value) => `${(100 * value).toFixed(1)}%`;
const plain = (value) => value === null ? "none" : typeof value === "boolean" ? (value ? "yes" : "no")
  : typeof value === "number" ? String(Math.round(value * 1000) / 1000) : String(value);

function failure(error) {
  const box = element("div", undefined, "error");
  box.append(element("p", error.message));
  if (error.hint) box.append(element("p", error.hint));
  return box;
}

async function showModel() {
  try {
    const model = await ask("/model");
    state.entity = model.entity.name;
    state.whole = model.entity.dtype === "integer";
    // Unless the threshold was chosen by the contract's costs, it is not advice about whom to contact.
    state.threshold = model.costs_given ? model.threshold : undefined;
    $("key-heading").textContent = state.entity;
    const auc = model.metrics && model.metrics.auc;
    $("model").textContent = `${model.name} version ${model.version}, in production since ${model.since.slice(0, 10)}`
      + (auc ? `, AUC ${auc.toFixed(3)} at its decision.` : ".")
      + (model.overridden ? ` Promoted against its decision by ${model.overridden.by}: ${ended(model.overridden.reason)}` : "")
      + (model.pending ? ` Version ${model.pending.version} waits for an approval until ${model.pending.lapses.slice(0, 10)}.` : "")
      + (model.proposal ? ` ${model.proposal.sentence}` : "")
      + (model.campaign ? ` Contacting: ${model.campaign.sentence}` : "")
      + (model.warnings || []).map((one) => ` Warning of ${one.as_of}: ${one.sentence}`).join("")
      + (model.refused_release ? ` A newer release was refused, this one goes on: ${model.refused_release}.` : "");
    $("canary").hidden = !model.canary;
    if (model.canary) $("canary").textContent = `Version ${model.canary.version} answers ${percent(model.canary.share)} of the customers as a canary since ${model.canary.since.slice(0, 10)}.`;
    $("shadows").hidden = !(model.shadows || []).length;
    showShadows(model.shadows || []);
    $("stand-down").hidden = !model.stand_down;
    if (model.stand_down) $("stand-down").textContent = `The model stands down: do not act on this list. ${model.stand_down_reason || ""}`;
  } catch (error) {
    $("model").textContent = error.message;
  }
}

function showShadows(shadows) {
  const count = shadows.length === 1 ? "1 shadow scores" : `${shadows.length} shadows score`;
  $("shadows").querySelector("summary").textContent = `${count} what this version answers.`;
  const lines = shadows.map((one) => {
    const line = element("li");
    line.append(element("strong", one.name), ` ${one.off || one.shows || ""}`);
    return line;
  });
  $("shadows").querySelector("ul").replaceChildren(...lines);
}

function chart(features, contributions) {
  const box = document.createDocumentFragment();
  const names = Object.keys(features);
  const push = contributions || {};
  const most = Math.max(...names.map((name) => Math.abs(push[name] || 0)), 1e-9);
  names.sort((a, b) => Math.abs(push[b] || 0) - Math.abs(push[a] || 0));
  for (const name of names) {
    const row = element("div", undefined, "feature");
    row.append(element("span", name.replaceAll("_", " "), "name"), element("span", plain(features[name]), "value"));
    if (contributions) row.append(bar(push[name] || 0, most));
    box.append(row);
  }
  return box;
}

function bar(value, most) {
  const draw = (tag, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, set] of Object.entries(attributes)) made.setAttribute(name, set);
    return made;
  };
  const picture = draw("svg", { viewBox: "-50 0 100 4", preserveAspectRatio: "none", role: "img",
    "aria-label": value > 0 ? "raises the risk" : value < 0 ? "lowers the risk" : "does not move the risk" });
  const width = 49 * Math.abs(value) / most;
  picture.append(draw("line", { x1: 0, x2: 0, y1: 0, y2: 4, class: "axis" }),
    draw("rect", { x: value < 0 ? -width : 0, y: 0.5, width, height: 3, class: value > 0 ? "up" : "down" }));
  return picture;
}

async function showCustomer(key) {
  const place = $("customer");
  place.replaceChildren(element("p", "Looking …"));
  try {
    const found = await ask("/predict", { [state.entity]: state.whole && /^-?\d+$/.test(key) ? Number(key) : key });
    const history = await ask(`/customers/${encodeURIComponent(key)}`).catch(() => ({}));
    place.replaceChildren(customer(key, found, history.history || [], history.to_contact));
  } catch (error) {
    place.replaceChildren(failure(error));
  }
}

function customer(key, found, history, toContact) {
  const card = $("template-customer").content.cloneNode(true);
  const part = (selector) => card.querySelector(selector);
  part("h3").textContent = key;
  part(".verdict").append(percent(found.probability), " ", element("small", toContact === undefined ? verdict(found) : planned(toContact)));
  part(".meter").setAttribute("aria-label", `Probability ${percent(found.probability)}`);
  part(".fill").style.width = percent(found.probability);
  // Null: this server does not know who has left.
  // With contacts the plan says who is contacted, not the threshold.
  const threshold = found.already_left === false && toContact === undefined ? state.threshold : undefined;
  part(".threshold").hidden = threshold === undefined;
  if (threshold !== undefined) part(".threshold").style.left = percent(threshold);
  const group = found.already_left ? "Not in the list"
    : found.already_left === null ? "Whether this customer has already left is not known here"
    : found.decile === null ? "Not ranked yet" : `Risk group ${found.decile} of 10 (1 is the highest)`;
  part(".legend").textContent = group
    + (threshold === undefined ? "." : `; contact from ${percent(threshold)}.`)
    + (found.features_as_of === null ? " Features as given." : ` Features of ${found.features_as_of}${found.stale ? ", which is out of date" : ""}.`);
  part(".reasons").replaceChildren(...(found.reasons || []).map((reason) => element("li", reason)));
  part(".chart").append(chart(found.features_used, found.contributions));
  part(".history-title").hidden = history.length === 0;
  part(".history").replaceChildren(...history.map((month) => {
    const group = month.already_left ? "had already left" : `group ${month.decile}`;
    const trained = month.trained_on ? ", a training row of this version" : "";
    return element("li", `${month.as_of}: ${percent(month.probability)}, ${group}, version ${month.version}${trained}`);
  }));
  part(".model").textContent = `Answered by ${found.model.name} version ${found.model.version}.`;
  return card;
}

function planned(toContact) {
  return toContact === null ? "contacts are not planned yet" : toContact ? "to contact" : "not on the list of who to contact";
}

function verdict(found) {
  if (found.already_left) return "has already left";
  if (found.already_left === null || state.threshold === undefined) return found.decile === null ? "" : `decile ${found.decile}`;
  return found.prediction === 1 ? "likely to leave: contact" : "likely to stay";
}

async function loadList() {
  try {
    const found = await ask(`/customers/at-risk?top=${LISTED}&offset=0`);
    state.rows = found.customers.map((row) => ({ ...row, key: String(row[state.entity]) }));
    state.total = found.customers_scored;
    state.asOf = found.as_of;
    if (found.as_of === null) {
      $("list-note").textContent = "No month has been scored yet.";
      return showList();
    }
    state.losses = state.rows.some((row) => row.expected_loss !== undefined);
    $("list-title").textContent = found.to_contact ? "To contact" : state.losses ? "Highest expected loss" : "Most likely to leave";
    $("loss-heading").hidden = !state.losses;
    const left = found.already_left ? ` ${found.already_left.toLocaleString("en")} of them have already left.` : "";
    const trained = state.rows.filter((row) => row.trained_on).length;
    $("list-note").textContent = `${state.rows.length.toLocaleString("en")} listed of ${state.total.toLocaleString("en")} customers on ${found.as_of}, by version ${found.version}.${left}`
      + (trained ? ` *\u00a0marks ${trained.toLocaleString("en")} customers whose outcome the version saw in training: do not trust their probability.` : "");
    $("list-warning").hidden = !found.list_note;
    $("list-warning").textContent = found.list_note || "";
    showList();
  } catch (error) {
    $("list-note").replaceChildren(failure(error));
  }
}

function showList() {
  const wanted = $("search").value.trim().toLowerCase();
  const said = (row) => `${row.key} ${(row.reasons || []).join(" ")}`.toLowerCase();
  state.shown = state.rows.filter((row) => !wanted || said(row).includes(wanted));
  const order = (a, b) => a[state.sort] < b[state.sort] ? -1 : a[state.sort] > b[state.sort] ? 1 : a.rank - b.rank;
  state.shown.sort((a, b) => state.down ? order(b, a) : order(a, b));
  state.first = Math.min(state.first, Math.max(0, Math.floor((state.shown.length - 1) / PAGE) * PAGE));
  const page = state.shown.slice(state.first, state.first + PAGE);
  document.querySelector("#list tbody").replaceChildren(...page.map(listed));
  for (const heading of document.querySelectorAll("#list th[scope]")) {
    const sorts = heading.querySelector("[data-sort]");
    if (sorts) heading.setAttribute("aria-sort", sorts.dataset.sort !== state.sort ? "none" : state.down ? "descending" : "ascending");
  }
  $("range").textContent = page.length ? `${state.first + 1} to ${state.first + page.length} of ${state.shown.length}` : "Nobody matches.";
  $("earlier").disabled = state.first === 0;
  $("later").disabled = state.first + PAGE >= state.shown.length;
}

function listed(row) {
  const line = document.createElement("tr");
  const key = element("td");
  const look = element("button", row.key);
  look.type = "button";
  look.addEventListener("click", () => { $("key").value = row.key; showCustomer(row.key); $("lookup-title").scrollIntoView({ block: "nearest" }); });
  key.append(look, row.trained_on ? "\u00a0*" : "");
  const probability = element("td", percent(row.probability), "number");
  const strip = element("span", undefined, "probability");
  strip.style.width = percent(row.probability);
  probability.append(strip);
  const reasons = element("ol");
  reasons.append(...(row.reasons || []).map((reason) => element("li", reason)));
  const why = element("td");
  why.append(reasons);
  line.append(element("td", row.rank, "number"), key, probability);
  if (state.losses) line.append(element("td", money(row.expected_loss), "number"));
  line.append(why);
  return line;
}

function csv() {
  // A cell that starts like a formula would be run by a spreadsheet: a quote before it keeps it text.
  const cell = (value) => `"${String(value).replace(/^([=+\-@\t\r])/, "'$1").replaceAll('"', '""')}"`;
  const losses = (row) => state.losses ? [row.expected_loss] : [];
  const heading = ["rank", state.entity, "probability", ...(state.losses ? ["expected_loss"] : [])];
  const lines = [[...heading, "reason_1", "reason_2", "reason_3"].join(",")];
  for (const row of state.shown) {
    lines.push([row.rank, cell(row.key), row.probability, ...losses(row), ...(row.reasons || []).map(cell)].join(","));
  }
  return new Blob([lines.join("\r\n") + "\r\n"], { type: "text/csv;charset=utf-8" });
}

$("lookup").addEventListener("submit", (event) => { event.preventDefault(); showCustomer($("key").value.trim()); });
$("search").addEventListener("input", () => { state.first = 0; showList(); });
$("earlier").addEventListener("click", () => { state.first -= PAGE; showList(); });
$("later").addEventListener("click", () => { state.first += PAGE; showList(); });
$("download").addEventListener("click", (event) => {
  const address = URL.createObjectURL(csv());
  event.currentTarget.href = address;
  event.currentTarget.download = `at_risk_${state.asOf}.csv`;
  setTimeout(() => URL.revokeObjectURL(address), 10000);
});
for (const heading of document.querySelectorAll("[data-sort]")) {
  heading.addEventListener("click", () => {
    state.down = state.sort === heading.dataset.sort ? !state.down : ["probability", "expected_loss"].includes(heading.dataset.sort);
    state.sort = heading.dataset.sort;
    showList();
  });
}
showModel().then(loadList);
