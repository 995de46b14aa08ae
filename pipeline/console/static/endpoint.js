// A photo that is chosen, dropped or picked is counted without a new page. Without this script the form sends it.
"use strict";

(() => {
  const answer = document.getElementById("answer");
  // The photo that was asked for last: an answer to an earlier one may come after its answer.
  let newest = 0;

  function say(text, kind) {
    const notice = document.createElement("div");
    notice.className = `notice ${kind}`;
    const line = document.createElement("p");
    line.textContent = text;
    notice.append(line);
    answer.replaceChildren(notice);
  }

  // The answer is a whole page, of which one part is taken; a refusal is one line of text.
  function show(text, isPage) {
    const page = isPage ? new DOMParser().parseFromString(text, "text/html") : null;
    const part = page ? page.getElementById("answer") || page.getElementById("content") : null;
    if (part) answer.replaceChildren(...part.childNodes);
    else say(text.trim(), "bad");
    answer.scrollIntoView({ block: "nearest" });
  }

  async function count(form, fill) {
    const data = new FormData(form);
    fill(data);
    const photo = data.get("photo");
    const limit = Number(form.dataset.limit);
    if (photo && photo.size > limit) {
      say(`${photo.name} has ${(photo.size / 1e6).toFixed(1)} MB; the endpoint takes ${(limit / 1e6).toFixed(1)} MB: choose a smaller photo.`, "bad");
      return;
    }
    newest += 1;
    const mine = newest;
    answer.classList.add("waiting");
    say("Counting ...", "busy");
    try {
      const response = await fetch(form.getAttribute("action"), { method: "POST", body: data });
      const text = await response.text();
      if (mine === newest) show(text, (response.headers.get("content-type") || "").startsWith("text/html"));
    } catch {
      if (mine === newest) say("The console does not answer.", "bad");
    } finally {
      if (mine === newest) answer.classList.remove("waiting");
    }
  }

  const zone = (event) => (event.target instanceof Element ? event.target.closest("[data-drop]") : null);
  const carriesFiles = (event) => [...event.dataTransfer.types].includes("Files");

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("form[data-count]")) return;
    event.preventDefault();
    const pressed = event.submitter;
    count(form, (data) => {
      if (!pressed || !pressed.name) return;
      // A photo of the test split was picked, in the place of one that was chosen before.
      data.set(pressed.name, pressed.value);
      data.delete("photo");
      form.reset();
    });
  });

  document.addEventListener("change", (event) => {
    const input = event.target;
    if (input.matches("form[data-count] input[type=file]") && input.files.length) input.form.requestSubmit();
  });

  // The event of an image does not bubble. Who may not read the photos can still pick one, and has the reason then.
  document.addEventListener("error", (event) => {
    if (!(event.target instanceof HTMLImageElement) || !event.target.closest(".pick")) return;
    const text = document.createElement("em");
    text.textContent = "cannot be shown";
    event.target.replaceWith(text);
  }, true);

  // A file that is dropped next to the field would replace the page.
  document.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    const over = zone(event);
    event.dataTransfer.dropEffect = over ? "copy" : "none";
    if (over) over.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    const left = zone(event);
    if (left && !left.contains(event.relatedTarget)) left.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    const dropped = zone(event);
    if (!dropped) return;
    dropped.classList.remove("over");
    const [file] = event.dataTransfer.files;
    if (file) count(dropped.closest("form"), (data) => data.set("photo", file, file.name));
  });
})();
