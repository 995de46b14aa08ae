// Live regions, running times, and a question before what cannot be undone. Without it every page still works.
"use strict";

// ------------------------------------------------------------------------------------------------ live regions
const live = document.body.dataset.live;
const connection = document.getElementById("connection");

function say(text) {
  connection.textContent = text;
  connection.hidden = !text;
}

// What a region became while the person was busy in it: shown once that ends.
const held = new Map();
// Where a button of the mouse is down: a swap would take the click, or the beginning of a selection.
let pressed = null;

// Whether the person types, chooses, selects or is asked something in a region.
function isBusy(region) {
  const active = document.activeElement;
  if (region.contains(active) && active.matches("input:not([type=hidden]), textarea, select")) return true;
  if (region.contains(pressed) || region.querySelector("form[data-asking]")) return true;
  const selection = document.getSelection();
  return !selection.isCollapsed && selection.containsNode(region, true);
}

function catchUp() {
  for (const [id, html] of [...held]) {
    const region = document.getElementById(id);
    if (region) replace(region, html);
  }
  tick();
}

function isEdited(input) {
  const isBox = input.type === "checkbox" || input.type === "radio";
  return isBox ? input.checked !== input.defaultChecked : input.value !== input.defaultValue;
}

// A region keeps the person's place: open details, the focused element, what is typed, how far a part was scrolled. A
// stream begins with every region; one that is as it was stays.
function replace(region, html) {
  if (isBusy(region)) {
    held.set(region.id, html);
    return;
  }
  held.delete(region.id);
  const focused = region.contains(document.activeElement) ? document.activeElement : null;
  const next = document.createElement("template");
  next.innerHTML = html;
  if (next.innerHTML === region.innerHTML) return;
  const open = new Set([...region.querySelectorAll("details[open][id]")].map((each) => each.id));
  const edited = [...region.querySelectorAll("input[id], textarea[id]")].filter(isEdited);
  // Read before the swap: what is no longer in the page is scrolled nowhere.
  const scrolled = [...region.querySelectorAll("[data-scroll][id]")].map((each) => ({
    id: each.id,
    top: each.scrollTop,
    left: each.scrollLeft,
    atEnd: each.scrollTop + each.clientHeight >= each.scrollHeight - 4,
  }));
  region.innerHTML = html;
  for (const id of open) {
    const details = document.getElementById(id);
    if (details) details.open = true;
  }
  for (const before of scrolled) {
    const now = document.getElementById(before.id);
    if (!now) continue;
    now.scrollTop = before.atEnd ? now.scrollHeight : before.top;
    now.scrollLeft = before.left;
  }
  for (const before of edited) {
    const now = document.getElementById(before.id);
    if (!now) continue;
    if (before.type === "file") now.files = before.files;
    else now.value = before.value;
    now.checked = before.checked;
  }
  if (focused) {
    const again = focused.id
      ? document.getElementById(focused.id)
      : [...region.querySelectorAll("a")].find((each) => each.getAttribute("href") === focused.getAttribute("href"));
    if (again) again.focus({ preventScroll: true });
  }
  region.dispatchEvent(new CustomEvent("replaced", { bubbles: true }));
}

document.addEventListener("selectionchange", catchUp);
// The next element has the focus a moment later, and a click comes after its button is up.
document.addEventListener("focusout", () => setTimeout(catchUp));
document.addEventListener("pointerdown", (event) => { pressed = event.target; });
for (const name of ["pointerup", "pointercancel"]) {
  document.addEventListener(name, () => setTimeout(() => {
    pressed = null;
    catchUp();
  }));
}

let source = null;
let ended = false;

function listen() {
  source = new EventSource(`/live?page=${encodeURIComponent(live)}`);
  source.addEventListener("open", () => say(""));
  source.addEventListener("region", (event) => {
    const { id, html } = JSON.parse(event.data);
    const region = document.getElementById(id);
    if (region) replace(region, html);
    tick();
  });
  source.addEventListener("state", (event) => say(JSON.parse(event.data).problem));
  source.addEventListener("end", () => {
    source.close();
    source = null;
    ended = true;
  });
  source.addEventListener("error", () => {
    say(source.readyState === EventSource.CLOSED
      ? "The console has ended, or was started again: open the address that it prints."
      : "The console does not answer; this page shows what it read last.");
  });
}

// A hidden page asks for nothing; shown again, it is brought up to date.
function listenWhileShown() {
  if (!document.hidden) listen();
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      if (source) source.close();
    } else if (source || !ended) {
      listen();
    }
  });
}

// ------------------------------------------------------------------------------------------------ running times
function words(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  const two = (number) => String(number).padStart(2, "0");
  if (minutes < 60) return `${minutes} min ${two(Math.floor(seconds % 60))} s`;
  return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
}

function tick() {
  for (const time of document.querySelectorAll("[data-since]")) {
    time.textContent = words(Math.max(0, (Date.now() - Date.parse(time.dataset.since)) / 1000));
  }
  for (const time of document.querySelectorAll("[data-until]")) {
    time.textContent = words(Math.max(0, (Date.parse(time.dataset.until) - Date.now()) / 1000));
  }
}

// ---------------------------------------------------------------------------------------------------- questions
document.addEventListener("submit", (event) => {
  const form = event.target;
  const question = form.dataset.ask;
  if (!question || form.dataset.sure) return;
  event.preventDefault();
  const dialog = document.createElement("dialog");
  const text = document.createElement("p");
  text.id = "question";
  text.textContent = question;
  dialog.setAttribute("aria-labelledby", text.id);
  const actions = document.createElement("div");
  actions.className = "actions";
  const yes = document.createElement("button");
  yes.textContent = event.submitter ? event.submitter.textContent : "Yes";
  const no = document.createElement("button");
  no.textContent = "Cancel";
  no.className = "quiet";
  actions.append(no, yes);
  dialog.append(text, actions);
  document.body.append(dialog);
  no.addEventListener("click", () => dialog.close());
  yes.addEventListener("click", () => {
    dialog.close();
    // Once: a browser may show this very page again by its button Back.
    form.dataset.sure = "yes";
    form.requestSubmit(event.submitter);
    delete form.dataset.sure;
  });
  form.dataset.asking = "yes";
  dialog.addEventListener("close", () => {
    delete form.dataset.asking;
    dialog.remove();
    catchUp();
  });
  dialog.showModal();
});

if (live) listenWhileShown();
setInterval(tick, 1000);
