// Law: the page is whole without this file. With it, the page looks again when the server has news,
// and keeps which timelines a person has opened.
"use strict";

const live = document.getElementById("live");
let asked = false;
let again = false;

async function look() {
  if (asked) { again = true; return; }
  asked = true;
  try {
    const answer = await fetch("/", { headers: { Accept: "text/html" }, redirect: "error" });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const kept = new Map();
    for (const one of document.querySelectorAll("article")) {
      kept.set(one.id, one.querySelector("details").open);
    }
    const focused = document.activeElement && document.activeElement.closest("article");
    for (const one of fresh.querySelectorAll("article")) {
      if (kept.has(one.id)) one.querySelector("details").open = kept.get(one.id);
    }
    document.getElementById("incidents").replaceWith(fresh.getElementById("incidents"));
    document.title = fresh.title;
    if (focused) {
      const button = document.querySelector(`#${CSS.escape(focused.id)} button, #${CSS.escape(focused.id)} summary`);
      if (button) button.focus();
    }
  } catch {
    live.hidden = true;
  } finally {
    asked = false;
    if (again) { again = false; look(); }
  }
}

const news = new EventSource("/changes");
news.addEventListener("changed", look);
news.addEventListener("open", () => { live.hidden = false; });
news.addEventListener("error", () => { live.hidden = true; });
