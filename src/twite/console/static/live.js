// Add new conversions as they arrive. All content is inserted as text, never as markup.
"use strict";

const table = document.querySelector("table[data-new]");
const pause = document.getElementById("pause");
const status = document.getElementById("status");
const MOST = 200;
let stream = null;
let latest = table ? table.dataset.latest : "0";

function badge(text, tone) {
  const made = document.createElement("span");
  made.className = `badge ${["ok", "warn", "bad", "wait"].includes(tone) ? tone : "none"}`;
  made.textContent = text;
  return made;
}

function line(one) {
  const row = document.createElement("tr");
  row.className = "fresh";
  const link = document.createElement("a");
  link.href = `/console/live/${encodeURIComponent(one.number)}`;
  link.textContent = one.id;
  const cells = [one.at, link, badge(one.state, one.tone), one.event, one.worth, one.source, one.pixel, one.reason];
  cells.forEach((held, index) => {
    const cell = document.createElement("td");
    if (index === 1) cell.className = "id";
    if (index === 4) cell.className = "right";
    if (index === 7) cell.className = "wide";
    cell.append(held);
    if (index === 4 && one.flag) cell.append(" ", badge(one.flag, "warn"));
    row.append(cell);
  });
  return row;
}

function begin() {
  const join = table.dataset.new.includes("?") ? "&" : "?";
  stream = new EventSource(`${table.dataset.new}${join}after=${latest}`);
  stream.onmessage = (event) => {
    latest = event.lastEventId;
    for (const one of JSON.parse(event.data)) table.tBodies[0].prepend(line(one));
    while (table.tBodies[0].rows.length > MOST) table.tBodies[0].deleteRow(-1);
  };
}

function end() {
  if (stream) stream.close();
  stream = null;
}

if (table && pause && window.EventSource) {
  pause.hidden = false;
  pause.addEventListener("click", () => {
    if (stream) end();
    else begin();
    pause.setAttribute("aria-pressed", String(!stream));
    pause.textContent = stream ? "Pause" : "Resume";
    status.textContent = stream ? "New conversions appear automatically." : "Paused.";
  });
  status.textContent = "New conversions appear automatically.";
  begin();
  window.addEventListener("pagehide", end);
}
