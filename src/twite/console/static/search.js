// Emails and phone numbers are hashed before they leave the page. The server does the same without this script.
"use strict";

const search = document.querySelector("form[data-search]");
if (search && window.crypto && crypto.subtle) {
  search.addEventListener("submit", async (event) => {
    const field = search.elements.term;
    const text = field.value.trim();
    let person = "";
    if (/^[^\s@]+@[^\s@]+$/.test(text)) person = text.toLowerCase().normalize("NFC");
    else if (/^\+[\d\s()./-]+$/.test(text)) person = `+${text.replace(/\D/g, "")}`;
    if (!person) return;
    event.preventDefault();
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(person));
    field.value = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
    search.submit();
  });
}
