// A trial under the pointer, or with the focus, is marked in the table, in the charts and at its curve.
"use strict";

const TRIAL = /(?:^| )(t[0-9]+)(?: |$)/;

function trialOf(element) {
  const marked = element instanceof Element ? element.closest("[class]") : null;
  for (let each = marked; each; each = each.parentElement) {
    const match = TRIAL.exec(each.getAttribute("class") || "");
    if (match) return match[1];
  }
  return "";
}

let shown = "";

function show(trial) {
  if (trial === shown) return;
  for (const each of document.querySelectorAll(".on")) each.classList.remove("on");
  shown = trial;
  if (trial) for (const each of document.querySelectorAll(`.${trial}`)) each.classList.add("on");
}

document.addEventListener("pointerover", (event) => show(trialOf(event.target)));
document.addEventListener("focusin", (event) => show(trialOf(event.target)));
document.addEventListener("replaced", () => {
  const trial = shown;
  shown = "";
  show(trial);
});
