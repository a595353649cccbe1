// New requests of a preview session as they come: the page is loaded again, and its list replaced.
"use strict";

const list = document.getElementById("requests");
const state = document.getElementById("told");
const EVERY = 2000;
let timer = null;

// A document that the browser has parsed itself: nothing here makes markup of text.
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
