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
  menu.addEventListener("click", () => {
    const open = navigation.classList.toggle("open");
    menu.setAttribute("aria-expanded", String(open));
  });
}

// Filters are folded on narrow screens, where they would fill the page, unless one is wrong.
if (window.matchMedia("(max-width: 52rem)").matches) {
  for (const fold of document.querySelectorAll("details[data-fold]:not(:has([role=alert]))")) fold.open = false;
}

// A named time range and its limits exclude each other: <select data-clears="names of fields">.
document.addEventListener("input", (event) => {
  const field = event.target;
  for (const select of field.form ? field.form.querySelectorAll("select[data-clears]") : []) {
    const names = select.dataset.clears.split(" ");
    if (field === select) for (const name of names) field.form.elements[name].value = "";
    else if (names.includes(field.name)) select.value = "";
  }
});

// The steps of a chart are one stop of the Tab key; arrow keys move between them.
document.addEventListener("keydown", (event) => {
  const step = event.target.closest(".plot a.step");
  if (!step) return;
  const steps = [...step.closest(".plot").querySelectorAll("a.step")];
  const here = steps.indexOf(step);
  const keys = { ArrowLeft: here - 1, ArrowRight: here + 1, Home: 0, End: steps.length - 1 };
  const to = steps[keys[event.key]];
  if (!to) return;
  event.preventDefault();
  to.focus();
});

// A tick at a pixel or a conversion chooses "only" these, and "all" removes the ticks.
document.addEventListener("change", (event) => {
  const { name, value, checked, form } = event.target;
  for (const [choice, ticks, some] of [["sees", "pixel", "some"], ["which", "delivery", "ticked"]]) {
    const radios = form && form.elements[choice];
    if (!(radios instanceof RadioNodeList)) continue;
    if (name === ticks && checked) radios.value = some;
    if (name === choice && value === "all") for (const tick of form.querySelectorAll(`input[name=${ticks}]`)) tick.checked = false;
  }
});

// "Select all" of a table: <input type="checkbox" data-all="name">.
document.addEventListener("change", (event) => {
  const all = event.target.closest("input[data-all]");
  if (all) for (const one of document.getElementsByName(all.dataset.all)) one.checked = all.checked;
});

// The question of a button, with the number of conversions that are chosen: "Discard # of 4 …", of which data-whole are all.
function question(button) {
  const { ask, whole } = button.dataset;
  if (!whole) return ask;
  const isAll = button.form.elements.which.value === "all";
  return ask.replace("#", isAll ? whole : button.form.querySelectorAll("input[name=delivery]:checked").length);
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  // Ask before an action that cannot be undone: <button data-ask="…?">.
  if (button.dataset.ask && !window.confirm(question(button))) event.preventDefault();
  // Copy the text of another element: <button data-copy="id" hidden>.
  if (button.dataset.copy) {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
  }
  if ("copyLink" in button.dataset) {
    await navigator.clipboard.writeText(location.href);
    button.textContent = "Copied";
  }
});

// Buttons that need this script are hidden until now. A page that was loaded again hides them, too.
function show() {
  for (const button of document.querySelectorAll("button[data-copy], button[data-copy-link]")) button.hidden = !navigator.clipboard;
}
document.addEventListener("morphed", show);
show();
