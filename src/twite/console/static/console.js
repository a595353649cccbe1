// Conveniences. The console also works without this script.
"use strict";

// The browser's time zone. The next page shows times in it.
{
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  const secure = location.protocol === "https:" ? "; secure" : "";
  document.cookie = `twite-zone=${zone}; path=/console; max-age=31536000; samesite=lax${secure}`;
}

// The navigation on narrow screens.
const menu = document.querySelector("button.menu");
const navigation = document.getElementById("navigation");
if (menu && navigation) {
  menu.hidden = false;
  document.documentElement.classList.add("with-menu");
  menu.addEventListener("click", () => {
    const open = navigation.classList.toggle("open");
    menu.setAttribute("aria-expanded", String(open));
  });
}

// Filters are folded on narrow screens, where they would fill the page.
if (window.matchMedia("(max-width: 52rem)").matches) {
  for (const fold of document.querySelectorAll("details[data-fold]")) fold.open = false;
}

// A named time range and its limits exclude each other: <select data-clears="names of fields">.
for (const select of document.querySelectorAll("select[data-clears]")) {
  const limits = select.dataset.clears.split(" ").map((name) => select.form.elements[name]);
  select.addEventListener("change", () => limits.forEach((field) => { field.value = ""; }));
  for (const field of limits) field.addEventListener("input", () => { select.value = ""; });
}

// The steps of a chart are one stop of the Tab key; arrow keys move between them.
for (const plot of document.querySelectorAll(".time-chart .plot")) {
  const steps = [...plot.querySelectorAll("a.step")];
  steps.forEach((step, index) => {
    step.setAttribute("tabindex", index ? "-1" : "0");
    step.addEventListener("keydown", (event) => {
      const to = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: steps.length - 1 }[event.key];
      if (!steps[to]) return;
      event.preventDefault();
      step.setAttribute("tabindex", "-1");
      steps[to].setAttribute("tabindex", "0");
      steps[to].focus();
    });
  });
}

// "Select all" of a table: <input type="checkbox" data-all="name">.
document.addEventListener("change", (event) => {
  const all = event.target.closest("input[data-all]");
  if (all) for (const one of document.getElementsByName(all.dataset.all)) one.checked = all.checked;
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  // Ask before an action that cannot be undone: <button data-ask="…?">.
  if (button.dataset.ask && !window.confirm(button.dataset.ask)) event.preventDefault();
  // Copy the text of another element: <button data-copy="id" hidden>.
  if (button.dataset.copy) {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
  }
});

// Buttons that need this script are hidden until now. A page that was loaded again hides them, too.
function show() {
  for (const button of document.querySelectorAll("button[data-copy]")) button.hidden = !navigator.clipboard;
}
document.addEventListener("morphed", show);
show();
