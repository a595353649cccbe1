// Keep a page current: when the server says "changed", load the page again, and morph its main part.
"use strict";

const main = document.querySelector("main[data-changes], main[data-waiting]");
const line = document.getElementById("live");
const words = line && line.querySelector("[role=status]");
const toggle = line && line.querySelector("[role=switch]");
const SIGN_IN = "/console/sign-in";
// Load at most once a second, and for at most a tenth of the time.
const LEAST = 1000;
const SHARE = 10;
// How often a page loads itself that waits for an operation of which the store knows nothing.
const WAITING = 1500;
// Streams end regularly. Only a longer interruption is shown.
const GRACE = 2500;
const AGAIN = 5000;
const STATES = {
  connected: "Connected",
  reconnecting: "Reconnecting…",
  paused: "Paused",
  "signed-out": "Signed out. This page no longer changes.",
  ended: "This page no longer exists.",
  settled: "Settled",
};
let stream = null;
let loading = false;
let wanted = false;
let stopped = false;
let next = 0;
let timer = 0;
let grace = 0;
let waiting = 0;

const isOn = () => toggle.getAttribute("aria-checked") === "true";

function say(state) {
  if (line.dataset.state === state) return;
  line.dataset.state = state;
  words.textContent = STATES[state];
}

function connect() {
  if (stream || stopped || document.hidden || !isOn()) return;
  wait();
  if (!main.dataset.changes) return;
  stream = new EventSource(main.dataset.changes);
  stream.onopen = () => {
    clearTimeout(grace);
    grace = 0;
    say("connected");
  };
  stream.onmessage = refresh;
  stream.onerror = () => {
    if (!grace) grace = setTimeout(() => say("reconnecting"), GRACE);
    // The server answered something else. Loading the page shows whether the session has ended.
    if (stream.readyState === EventSource.CLOSED) {
      close();
      refresh();
      setTimeout(connect, AGAIN);
    }
  };
}

function close() {
  if (stream) stream.close();
  stream = null;
}

// Close the stream, and load nothing until it is opened again.
function rest() {
  close();
  for (const one of [timer, grace, waiting]) clearTimeout(one);
  timer = grace = waiting = 0;
  wanted = false;
}

function stop(state) {
  stopped = true;
  rest();
  toggle.hidden = true;
  say(state);
  if (state === "signed-out") {
    const link = document.createElement("a");
    link.href = location.href;
    link.textContent = "Sign in";
    words.append(" ", link);
  }
}

function refresh() {
  wanted = true;
  if (!loading && !timer && !stopped) timer = setTimeout(load, Math.max(0, next - performance.now()));
}

// The browser parses the page: no code here turns text into markup, which Trusted Types forbid.
function load() {
  timer = 0;
  wanted = false;
  loading = true;
  const begun = performance.now();
  const request = new XMLHttpRequest();
  request.responseType = "document";
  request.onloadend = () => {
    const end = performance.now();
    loading = false;
    next = end + Math.max(LEAST, SHARE * (end - begun));
    arrive(request);
    if (wanted) refresh();
    wait();
  };
  request.open("GET", location.href);
  // Notices wait for the page that the user opens.
  request.setRequestHeader("X-Twite-Live", "1");
  request.send();
}

function arrive(request) {
  if (stopped || !isOn()) return;
  if (request.responseURL && new URL(request.responseURL).pathname === SIGN_IN) stop("signed-out");
  else if (request.status >= 400 && request.status < 500 && request.status !== 429) stop("ended");
  else if (request.status === 200 && request.response) morph(request.response);
}

function morph(page) {
  const fresh = page.getElementById("main");
  if (!fresh) return;
  document.title = page.title;
  const isNew = !main.dataset.changes;
  Idiomorph.morph(main, fresh, {
    callbacks: {
      beforeNodeMorphed: (old) => !isKept(old),
      beforeNodeRemoved: (old) => !isOwn(old),
      beforeAttributeUpdated: (name, element) => !(name === "open" && element.localName === "details"),
      afterNodeAdded: (added) => {
        if (added.localName === "tr") added.classList.add("fresh");
      },
    },
  });
  document.dispatchEvent(new Event("morphed"));
  if (isNew) connect();  // a page that has waited may have become a live one
  if (!("changes" in fresh.dataset || "waiting" in fresh.dataset)) stop("settled");
}

// The notices and the state line: the server's copies are empty.
const isOwn = (node) => node.id === "live" || node.id === "said";

// Also what the user typed, chose or is about to choose.
function isKept(node) {
  if (isOwn(node)) return true;
  if (!(node instanceof Element && node.matches("input, select, textarea"))) return false;
  // What was typed into a refused form is in the first page only, not in those that are loaded after it.
  if (node === document.activeElement || "typed" in node.dataset) return true;
  if (node.localName === "select") return [...node.options].some((one) => one.selected !== one.defaultSelected);
  if (node.type === "checkbox" || node.type === "radio") return node.checked !== node.defaultChecked;
  return node.value !== node.defaultValue;
}

function wait() {
  clearTimeout(waiting);
  waiting = 0;
  const waits = "waiting" in main.dataset && isOn() && !stopped && !document.hidden;
  if (waits) waiting = setTimeout(refresh, WAITING);
}

if (main && line && window.EventSource) {
  line.hidden = false;
  toggle.addEventListener("click", () => {
    toggle.setAttribute("aria-checked", String(!isOn()));
    if (isOn()) connect();
    else {
      rest();
      say("paused");
    }
  });
  // A hidden tab asks for nothing. Once it is shown, a new stream says whether the page is old.
  document.addEventListener("visibilitychange", () => (document.hidden ? rest() : connect()));
  window.addEventListener("pagehide", rest);
  window.addEventListener("pageshow", connect);
  connect();
}
