// Emails and phone numbers are hashed before they leave the page. The server does the same without this script.
"use strict";

const readEmail = (text) => {
  const plain = text.toLowerCase().normalize("NFC");
  return /^[^\s@]+@[^\s@]+\.[^\s@]+$/.test(plain) ? plain : "";
};

// Digits alone may also be an order number, such as 0012345678: the server knows which numbers exist.
const readPhone = (text) => {
  if (/^\d+$/.test(text)) return "";
  const plain = text.replace(/\(0\)|[\s()./\u2010-\u2015-]/gi, "").replace(/^00/, "+");
  return /^\+[1-9]\d{6,14}$/.test(plain) ? plain : "";
};

const search = document.querySelector("form[data-search]");
if (search && window.crypto && crypto.subtle) {
  const field = search.elements.term;
  field.addEventListener("input", () => field.setCustomValidity(""));
  search.addEventListener("submit", async (event) => {
    // Without invisible characters: joiners, direction marks, the byte-order mark.
    const text = field.value.replace(/\p{Cf}/gu, "").trim();
    const person = readEmail(text) || readPhone(text);
    const isUnreadable = !person && (text.includes("@") || /^(tel:)?\+[\d\s()./\u2010-\u2015-]+$/i.test(text));
    if (!person && !isUnreadable) return;
    event.preventDefault();
    if (isUnreadable) {
      field.setCustomValidity(search.dataset.search);
      field.reportValidity();
      return;
    }
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(person));
    field.value = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
    search.submit();
  });
}
