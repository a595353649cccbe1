// Show new requests of a preview session: load the page again, and replace its list.
"use strict";

const list = document.getElementById("requests");
const state = document.getElementById("status");
const EVERY = 2000;
let timer = null;

// The browser has parsed this document itself: no code here turns text into markup.
function look() {
  if (document.hidden) return;
  const request = new XMLHttpRequest();
  request.responseType = "document";
  request.onload = () => {
    const fresh = request.status === 200 && request.response && request.response.getElementById("requests");
    if (fresh) replace(fresh);
    else end();
  };
  request.open("GET", location.href);
  request.send();
}

function replace(fresh) {
  if (fresh.dataset.version === list.dataset.version) return;
  const open = new Set([...list.querySelectorAll("details[open]")].map((each) => each.id));
  for (const each of fresh.querySelectorAll("details")) each.open = open.has(each.id);
  list.replaceChildren(...fresh.childNodes);
  list.dataset.version = fresh.dataset.version;
}

function end() {
  clearInterval(timer);
  state.textContent = "The session has ended.";
}

if (list && state) {
  state.textContent = "New requests appear automatically.";
  timer = setInterval(look, EVERY);
}
