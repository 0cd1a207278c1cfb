// Law: the page is whole without this file. With it, the page looks again when the server has another
// one, and now and then without; what a person has opened, read and focused stays, and a page that can
// no longer know says so.
"use strict";

const EVERY_MS = 60_000;
const AGAIN_MS = 5_000;
const PATIENCE_MS = 10_000;

const live = document.getElementById("live");
let news = null;
let looking = false;
let missed = false;
let timer = 0;

function tell(isLive) {
  const says = isLive ? "live" : "not live, may be out of date";
  if (live.textContent !== says) live.textContent = says;
  live.classList.toggle("lost", !isLive);
  live.hidden = false;
}

function tagOf() {
  return document.querySelector("main").dataset.tag;
}

async function look() {
  if (looking) { missed = true; return; }
  looking = true;
  missed = false;
  let known = false;
  try {
    const headers = { "If-None-Match": `"${tagOf()}.${document.body.dataset.who}"` };
    const answer = await fetch("/", { headers, redirect: "manual", signal: AbortSignal.timeout(PATIENCE_MS) });
    if (answer.type === "opaqueredirect") {
      location.assign("/login");
    } else if (answer.ok) {
      show(new DOMParser().parseFromString(await answer.text(), "text/html"));
      known = true;
    } else if (answer.status === 304) {
      known = true;
    }
  } catch {
    // Whatever kept it from us, what stands here is old.
  }
  looked(known);
}

function looked(known) {
  tell(known && news !== null && news.readyState === EventSource.OPEN);
  looking = false;
  clearTimeout(timer);
  timer = setTimeout(look, missed ? 0 : known ? EVERY_MS : AGAIN_MS);
}

function alike(place, one) {
  const name = one.getAttribute("aria-label");
  const text = (it) => (name === null ? it.textContent === one.textContent : it.getAttribute("aria-label") === name);
  return [...place.querySelectorAll(one.localName)].find(text);
}

function show(fresh) {
  const old = document.querySelector("main");
  const main = fresh.querySelector("main");
  const added = [];
  for (const one of main.querySelectorAll("article")) {
    const before = document.getElementById(one.id);
    if (before) one.querySelector("details").open = before.querySelector("details").open;
    else added.push(one.querySelector("h3").textContent);
  }
  document.title = fresh.title;
  if (main.isEqualNode(old)) return;

  const held = document.activeElement;
  for (const one of old.querySelectorAll("input[aria-label]")) {
    const same = alike(main, one); // what is half typed
    if (same) same.value = one.value;
  }
  const home = held.closest("article");
  const read = [...old.querySelectorAll("article")].find((one) => one.getBoundingClientRect().bottom > 0);
  const stood = read && read.getBoundingClientRect().top;
  old.replaceWith(main);
  // At the top the newest shall be seen; further down nothing may move under a reader's eyes.
  const stands = scrollY > 0 && read && document.getElementById(read.id);
  if (stands) scrollBy(0, stands.getBoundingClientRect().top - stood);
  const again = home && document.getElementById(home.id);
  // Never another thing: a key meant for one plan must not approve the other one.
  if (again) {
    const same = alike(again, held) || again.querySelector("summary");
    same.focus({ preventScroll: true });
    if (same.localName === "input" && same.value) same.setSelectionRange(held.selectionStart, held.selectionEnd);
  }
  if (added.length) document.getElementById("said").textContent = `New: ${added.join("; ")}`;
}

function follow() {
  if (news) news.close();
  const source = news = new EventSource("/changes");
  source.addEventListener("changed", ({ data }) => {
    if (data === tagOf() && !looking) looked(true);
    else look();
  });
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) setTimeout(() => { if (news === source) follow(); }, AGAIN_MS);
    look();
  });
}

// A browser gives a server few connections: a tab that nobody sees holds none.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) news?.close();
  else follow();
});

const named = document.getElementById(location.hash.slice(1));
if (named && named.matches("article")) named.querySelector("details").open = true;
if (document.hidden) look();
else follow();
