// SPDX-License-Identifier: MIT OR Apache-2.0
// Renews the page as the server tells, without losing focus, selection or what is folded out; puts
// times into the reader's own; and does what buttons say without leaving the page.
"use strict";

function times(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (!isNaN(at)) time.textContent = at.toLocaleString();
  }
}

// Makes `old` like `fresh`, touching only what differs. Children with an id are found by it.
function become(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) {
    old.replaceWith(fresh);
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const { name } of [...old.attributes]) {
    // What somebody has folded out stays so.
    if (!fresh.hasAttribute(name) && !(name === "open" && old.nodeName === "DETAILS")) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  if (old.nodeName === "TIME" && old.dateTime === fresh.dateTime && old.dataset.done) return;
  const named = new Map();
  for (const child of old.children) if (child.id) named.set(child.id, child);
  let at = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    const known = wanted.id ? named.get(wanted.id) : undefined;
    if (known) {
      if (known === at) at = at.nextSibling;
      else old.insertBefore(known, at);
      become(known, wanted);
    } else if (at && !wanted.id && !at.id) {
      const next = at.nextSibling;
      become(at, wanted);
      at = next;
    } else {
      old.insertBefore(wanted, at);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

const main = document.getElementById("main");
const link = document.getElementById("link");
const said = document.getElementById("said");

function renew(html) {
  const focus = document.activeElement && document.activeElement.id;
  const fresh = document.createElement("main");
  fresh.id = "main";
  fresh.innerHTML = html;
  times(fresh);
  become(main, fresh);
  const again = focus && document.activeElement === document.body && document.getElementById(focus);
  if (again) again.focus({ preventScroll: true });
}

function say(text, bad) {
  said.textContent = text;
  said.classList.toggle("bad", bad);
}

function state(text, name) {
  if (link.textContent === text) return;
  link.textContent = text;
  link.className = "link " + name;
}

if (link) {
  const source = new EventSource("/status/live");
  source.addEventListener("main", (event) => {
    state("live", "live");
    renew(event.data);
  });
  source.addEventListener("error", () => state("connection lost, trying again", "lost"));
  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!form.classList.contains("act")) return;
    event.preventDefault();
    const button = event.submitter;
    if (button && button.dataset.ask && !confirm(button.dataset.ask)) return;
    try {
      const answer = await fetch(form.action, {
        method: "POST",
        body: new URLSearchParams(new FormData(form)),
        headers: { Accept: "text/plain" },
      });
      const text = (await answer.text()).trim();
      say(answer.ok ? text : "Not done: " + text, !answer.ok);
    } catch (error) {
      say("Not done: the server does not answer", true);
    }
  });
}
times(document);
