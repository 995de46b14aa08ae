// Filters the lines of a log that are shown already; the form above searches the whole log, on the server.
"use strict";

(() => {
  const box = document.querySelector(".filter");
  const input = document.getElementById("filter");
  const count = document.getElementById("filtered");
  if (!box) return;

  function apply() {
    const lines = [...document.querySelectorAll("#lines .line")];
    const text = input.value.toLowerCase();
    let shown = 0;
    for (const line of lines) {
      line.hidden = text !== "" && !line.textContent.toLowerCase().includes(text);
      if (!line.hidden) shown += 1;
    }
    box.hidden = lines.length === 0;
    count.textContent = text ? `${shown} of ${lines.length}` : "";
  }

  input.addEventListener("input", apply);
  document.addEventListener("replaced", apply);
  apply();
  // The newest lines are at the end.
  const lines = document.getElementById("lines");
  if (lines) lines.scrollTop = lines.scrollHeight;
})();
